//! What one session has been given, and what to do next: pure, no IO, no clock.
//!
//! A session is *live* or *reading*. Live, it takes announcements: each says where its notice
//! stands and what stood before it, so the session knows whether it is the very next one. If it
//! is not, or nobody can tell, the session reads the inbox from its own place; while it reads,
//! announcements are only remembered, since the inbox holds the same notices in order.
//!
//! ```text
//!       announced: not the next one · audit: not at the tip · doubt · the socket's buffer is full
//!        ┌──────┐ ───────────────────────────────────────────────────▶ ┌─────────┐
//!        │ live │                                                      │ reading │ ◀┐ more, or heard of
//!        └──────┘ ◀─────────────────────────────────────────────────── └─────────┘ ─┘ something newer
//!                         read to the end, nothing newer heard of
//! ```
//!
//! The place moves over what the socket has taken and over what the inbox left out, and over
//! nothing else. So whatever is lost, doubled or overtaken on the way, each notice is given out
//! once and in the order of the inbox.

use herald_backplane::{Announced, Page, Since};
use herald_core::{Cursor, Epoch, GapReason, Place, Position};

/// Why a session reads its inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Doubt {
    /// An announcement did not continue from the session's place.
    Missed,
    /// The announcement came without its notice.
    NotInline,
    /// The announcement contradicts the session's place: the inbox began anew, or lost its tail.
    Reissued,
    /// The socket's buffer was full.
    Lagging,
    /// An audit found the inbox's tip elsewhere.
    Behind,
    /// An audit did not find the session registered.
    Unregistered,
    /// The gateway holds a new lease.
    Lease,
}

impl Doubt {
    /// All of them, to declare their figures.
    pub(crate) const ALL: [Self; 7] = [
        Self::Missed,
        Self::NotInline,
        Self::Reissued,
        Self::Lagging,
        Self::Behind,
        Self::Unregistered,
        Self::Lease,
    ];

    /// The reason as a label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Missed => "missed",
            Self::NotInline => "not_inline",
            Self::Reissued => "reissued",
            Self::Lagging => "lagging",
            Self::Behind => "behind",
            Self::Unregistered => "unregistered",
            Self::Lease => "lease",
        }
    }
}

/// What to do with an announced notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the next one: emit it, then say [`Delivery::emitted`] or [`Delivery::refused`].
    Emit,
    /// The session has it.
    Duplicate,
    /// A read is under way that will find it, or be repeated.
    Later,
    /// Read the inbox; the session is reading from now on.
    Read(Doubt),
}

/// Something was removed before the session got it, or the session's place is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Why.
    pub(crate) reason: GapReason,
    /// The place that could not be continued from; none if it was not readable.
    pub(crate) after: Option<Cursor>,
    /// What is kept begins after this place.
    pub(crate) floor: Cursor,
}

/// What follows a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read on.
    Read,
    /// The session is live.
    Live,
}

/// Above every position: something newer is to be expected, wherever it stands.
const ANYWHERE: Position = Position { ms: u64::MAX, seq: u32::MAX };

/// The state of one session's delivery.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// How far the session was served; none before the first page of who asked for all.
    at: Option<Cursor>,
    mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Live,
    Reading {
        /// The highest position announced since the read under way began. What was announced
        /// before is in that read or gone for good, so only this is a reason to read again.
        heard: Option<Position>,
    },
}

impl Delivery {
    /// A session that begins at `since` and is to read first.
    pub(crate) fn new(since: Since) -> Self {
        let at = match since {
            Since::Start => None,
            Since::After(cursor) => Some(cursor),
        };
        Self { at, mode: Mode::Reading { heard: None } }
    }

    /// How far the session was served. [`Place::ZERO`] of no epoch before the first page.
    pub(crate) fn cursor(&self) -> Cursor {
        self.at.unwrap_or(Cursor { epoch: Epoch(0), place: Place::ZERO })
    }

    /// Judges an announcement.
    pub(crate) fn announced(&mut self, announced: &Announced) -> Verdict {
        let position = announced.place.position;
        if let Mode::Reading { heard } = &mut self.mode {
            *heard = (*heard).max(Some(position));
            return Verdict::Later;
        }
        let verdict = self.judge(announced);
        if let Verdict::Read(_) = verdict {
            self.mode = Mode::Reading { heard: Some(position) };
        }
        verdict
    }

    fn judge(&self, announced: &Announced) -> Verdict {
        let Cursor { epoch, place: at } = self.cursor();
        let Place { position, random } = announced.place;
        if position == at.position && position != Position::ZERO {
            // Without its random part (0) the place is the floor, which nothing is announced at.
            return if random == at.random || at.random == 0 {
                Verdict::Duplicate
            } else {
                Verdict::Read(Doubt::Reissued)
            };
        }
        if position < at.position {
            // The first notice of an inbox, below our place: an inbox that began anew on a clock
            // that went back, or (harmless) a very late duplicate.
            return if announced.previous == Position::ZERO {
                Verdict::Read(Doubt::Reissued)
            } else {
                Verdict::Duplicate
            };
        }
        if announced.previous != at.position || epoch == Epoch(0) {
            return Verdict::Read(Doubt::Missed);
        }
        if announced.previous_random.is_some_and(|random| random != at.random) && at.random != 0 {
            return Verdict::Read(Doubt::Reissued);
        }
        match announced.notice {
            Some(_) => Verdict::Emit,
            None => Verdict::Read(Doubt::NotInline),
        }
    }

    /// Anything may have been missed: the session reads, and if it already does, once more.
    pub(crate) fn doubt(&mut self) {
        self.mode = Mode::Reading { heard: Some(ANYWHERE) };
    }

    /// The place that an audit compares with the inbox's tip; none while the session reads.
    pub(crate) fn settled(&self) -> Option<Cursor> {
        (self.mode == Mode::Live).then(|| self.cursor())
    }

    /// An audit found the inbox's last place to be `tip`, after the session stood at `was`.
    /// Whether the session is to read for it; it is reading from now on.
    pub(crate) fn audited(&mut self, was: Cursor, tip: Cursor) -> bool {
        if let Mode::Reading { heard } = &mut self.mode {
            // What is being read may be older than what the audit saw.
            *heard = (*heard).max(Some(tip.place.position));
            return false;
        }
        let at = self.cursor();
        // Announcements overtake audits: who has moved since may be there, or beyond.
        let beyond = at != was && at.epoch == tip.epoch && at.place.position > tip.place.position;
        if at == tip || beyond {
            return false;
        }
        self.mode = Mode::Reading { heard: None };
        true
    }

    /// A read begins now: where from. What it is answered must be given to
    /// [`accept`](Self::accept) before the next one begins.
    pub(crate) fn begin_read(&mut self) -> Since {
        if let Mode::Reading { heard } = &mut self.mode {
            *heard = None;
        }
        self.at.map_or(Since::Start, Since::After)
    }

    /// A page has come; what the client is to be told before its notices.
    pub(crate) fn accept(&mut self, page: &Page) -> Option<Gap> {
        let start = Cursor { epoch: page.epoch, place: page.start };
        let gap = page.gap.map(|reason| Gap { reason, after: self.at, floor: start });
        self.at = Some(start);
        gap
    }

    /// Whether a notice of the accepted page is still to be emitted.
    pub(crate) fn wants(&self, place: Place) -> bool {
        place.position > self.cursor().place.position
    }

    /// The socket has taken the notice at `place`.
    pub(crate) fn emitted(&mut self, place: Place) {
        if let Some(at) = &mut self.at {
            at.place = place;
        }
    }

    /// The socket's buffer is full: the place stays, the inbox keeps the notice.
    pub(crate) fn refused(&mut self) {
        if self.mode == Mode::Live {
            self.doubt();
        }
    }

    /// Everything of the accepted page was emitted.
    pub(crate) fn finish(&mut self, page: &Page) -> Next {
        let reached = page.cursor();
        self.at = Some(reached);
        let newer = match self.mode {
            Mode::Live => return Next::Live,
            Mode::Reading { heard } => heard > Some(reached.place.position),
        };
        if newer || page.more() {
            return Next::Read;
        }
        self.mode = Mode::Live;
        Next::Live
    }
}

#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod tests;
