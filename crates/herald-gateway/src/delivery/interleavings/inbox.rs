//! The truth: an inbox, and what became of each notice that ever stood in it.

use std::collections::VecDeque;

use herald_backplane::{InboxNotice, Page, Since};
use herald_core::{Cursor, Epoch, EventName, GapReason, Notice, Payload, Place, Position};

/// Why a notice is no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removed {
    /// By a limit, at this time.
    Limit(u64),
    /// With Redis' data, or its tail.
    Lost,
}

/// A notice's life. Its random part is its number, from 1 on: no two have the same.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) epoch: Epoch,
    pub(super) place: Place,
    pub(super) removed: Option<Removed>,
}

/// One user's inbox, by the rules of [`Since`] and nothing else.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) epoch: Epoch,
    tip: Place,
    floor: Position,
    kept: VecDeque<Place>,
    clock: u64,
    pub(super) lives: Vec<Life>,
    page_size: usize,
}

pub(super) fn notice() -> Notice {
    Notice {
        event: EventName::notice(),
        payload: Payload::from_trusted("null".into()),
        traceparent: None,
    }
}

impl Inbox {
    pub(super) fn new(page_size: usize) -> Self {
        Self {
            epoch: Epoch(1),
            tip: Place::ZERO,
            floor: Position::ZERO,
            kept: VecDeque::new(),
            clock: 1_000,
            lives: Vec::new(),
            page_size,
        }
    }

    pub(super) fn tip(&self) -> Cursor {
        Cursor { epoch: self.epoch, place: self.tip }
    }

    /// Appends a notice, `later` ms after the last event; gives where, and what stood before.
    pub(super) fn append(&mut self, later: u64) -> (Place, Place) {
        self.clock += later;
        let previous = self.tip;
        let random = u32::try_from(self.lives.len() + 1).unwrap();
        let place = Place { position: previous.position.next(self.clock), random };
        self.tip = place;
        self.kept.push_back(place);
        self.lives.push(Life { epoch: self.epoch, place, removed: None });
        (place, previous)
    }

    /// Keeps only the newest `keep`.
    pub(super) fn trim(&mut self, keep: usize, now: u64) {
        while self.kept.len() > keep {
            self.floor = self.remove(0, Removed::Limit(now)).position;
        }
    }

    /// Everything is gone and begins anew.
    pub(super) fn lose_all(&mut self, clock_back: bool) {
        self.lose_tail(usize::MAX);
        self.epoch = Epoch(self.epoch.0 + 1);
        (self.tip, self.floor) = (Place::ZERO, Position::ZERO);
        if clock_back {
            self.clock = 1_000;
        }
    }

    /// A replica took over that had not got the newest `count`. What comes next may be given the
    /// very positions of what was lost.
    pub(super) fn lose_tail(&mut self, count: usize) {
        for _ in 0..count.min(self.kept.len()) {
            self.remove(self.kept.len() - 1, Removed::Lost);
            // The place before: the floor's random part is not kept, as with 0.
            let floor = Place { position: self.floor, random: 0 };
            self.tip = self.kept.back().copied().unwrap_or(floor);
        }
    }

    fn remove(&mut self, at: usize, why: Removed) -> Place {
        let place = self.kept.remove(at).expect("there are more");
        self.lives[place.random as usize - 1].removed = Some(why);
        place
    }

    pub(super) fn page(&self, since: Since) -> Page {
        let floor = Place { position: self.floor, random: 0 };
        let (start, gap) = match since {
            Since::Start => (floor, None),
            Since::After(cursor) => match self.gap_at(cursor) {
                None => (cursor.place, None),
                gap => (floor, gap),
            },
        };
        let rest = self.kept.iter().filter(|place| place.position > start.position);
        let notices: Vec<_> = rest.clone().take(self.page_size).copied().collect();
        let more = rest.count() > notices.len();
        Page {
            epoch: self.epoch,
            start,
            gap,
            reached: if more { notices[notices.len() - 1] } else { self.tip },
            notices: notices
                .into_iter()
                .map(|place| InboxNotice {
                    place,
                    notice: notice(),
                    expires_at_ms: 0,
                    receipts: None,
                })
                .collect(),
            tip: self.tip,
            floor: self.floor,
        }
    }

    fn gap_at(&self, Cursor { epoch, place }: Cursor) -> Option<GapReason> {
        let Place { position, random } = place;
        if epoch != self.epoch || position > self.tip.position {
            return Some(GapReason::Reset);
        }
        if position == self.tip.position {
            let known = random == self.tip.random || (random == 0 && position == self.floor);
            return (!known).then_some(GapReason::Reset);
        }
        if position < self.floor {
            return Some(GapReason::Expired);
        }
        let there = position == self.floor || self.kept.contains(&place);
        (!there).then_some(GapReason::Reset)
    }
}
