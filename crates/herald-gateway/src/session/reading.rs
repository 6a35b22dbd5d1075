//! What a session reads of its inbox, and how that is emitted.

use std::sync::Arc;

use herald_backplane::{Clock, InboxNotice, Page, Since};
use herald_core::GapReason;

use super::{Flow, Session, Stage, Waiting, drop_unreadable};
use crate::{
    broadcast,
    delivery::{Gap, Next},
    emit::{self, Outcome, Packet},
    figures::{self, Figures},
};

/// What is to be asked of the backplane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    /// Register and read in one step, or only read.
    pub(crate) register: bool,
    /// From where.
    pub(crate) since: Since,
}

/// How far the emission of a page came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more of it; let others run in between.
    More,
    /// The socket's queue is full: come back later. `some` if it took anything before.
    Full {
        /// Whether anything was taken.
        some: bool,
    },
    /// All of it was emitted, and this follows.
    Done(Next),
    /// The session has ended.
    Gone,
}

impl Session {
    /// What to ask of the backplane now; `None` once the session has ended. It counts as asked.
    pub(crate) fn begin(&self) -> Option<Request> {
        let mut flow = self.lock();
        if flow.gone {
            return None;
        }
        let register = std::mem::take(&mut flow.register);
        flow.attempted |= register;
        Some(Request { register, since: flow.delivery.begin_read() })
    }

    /// What was asked for was not answered, or with an error.
    pub(crate) fn failed(&self, request: Request) {
        self.lock().register |= request.register;
    }

    /// A page has come. The client is told first where it begins and what it missed.
    pub(crate) fn accept(
        self: &Arc<Self>,
        page: &Page,
        clock: &Clock,
        figures: &Figures,
    ) -> Outcome {
        let mut flow = self.lock();
        let mut gap = flow.delivery.accept(page);
        if let Stage::New { malformed } = flow.stage {
            let start = flow.delivery.cursor();
            flow.began = Some(start);
            flow.stage = Stage::Replaying;
            flow.connecting = None;
            flow.waiting.push_back(Waiting::Ready(start));
            figures::connects(self.record.namespace.as_str()).increment(1);
            if malformed {
                gap = Some(Gap { reason: GapReason::Malformed, after: None, floor: start });
            }
        }
        if let Some(gap) = gap {
            figures::gaps(gap.reason).increment(1);
            flow.waiting.push_back(Waiting::Gap(gap));
        }
        self.flush_locked(&mut flow, clock, figures)
    }

    /// Hands over what the socket refused before; a notice only if it has not expired meanwhile.
    pub(crate) fn flush(self: &Arc<Self>, clock: &Clock, figures: &Figures) -> Outcome {
        self.flush_locked(&mut self.lock(), clock, figures)
    }

    fn flush_locked(
        self: &Arc<Self>,
        flow: &mut Flow,
        clock: &Clock,
        figures: &Figures,
    ) -> Outcome {
        while let Some(waiting) = flow.waiting.pop_front() {
            let outcome = match &waiting {
                Waiting::Ready(cursor) => emit::ready(&self.socket, &self.user, self.id(), *cursor),
                Waiting::Gap(gap) => emit::gap(&self.socket, &self.user, gap),
                // The place moves over it, as over what the inbox leaves out.
                Waiting::Notice(notice) if clock.is_past(notice.expires_at_ms) => Outcome::Taken,
                Waiting::Notice(notice) => self.emit_read(notice, flow, figures),
            };
            match outcome {
                Outcome::Taken | Outcome::Unreadable => {
                    match waiting {
                        Waiting::Notice(notice) => flow.delivery.emitted(notice.place),
                        // From here on it gets broadcasts.
                        Waiting::Ready(_) => broadcast::join(&self.socket, self.id()),
                        Waiting::Gap(_) => {}
                    }
                }
                Outcome::Full => {
                    flow.waiting.push_front(waiting);
                    flow.lags(figures);
                    return Outcome::Full;
                }
                Outcome::Gone => return Outcome::Gone,
            }
        }
        // Most sessions wait for nothing ever again: half a kilobyte each.
        flow.waiting.shrink_to_fit();
        Outcome::Taken
    }

    /// Emits at most `most` notices of an accepted page, of which `done` were looked at before.
    pub(crate) fn emit_page(
        self: &Arc<Self>,
        page: &Page,
        done: &mut usize,
        most: usize,
        figures: &Figures,
    ) -> Progress {
        let mut flow = self.lock();
        if flow.gone {
            return Progress::Gone;
        }
        let from = *done;
        for notice in page.notices.iter().skip(from).take(most) {
            if flow.delivery.wants(notice.place) {
                match self.emit_read(notice, &mut flow, figures) {
                    Outcome::Taken | Outcome::Unreadable => flow.delivery.emitted(notice.place),
                    Outcome::Full => {
                        // Only this one is kept, to see when there is room again: whole pages of
                        // many slow sockets would be much memory. The inbox has the rest.
                        flow.waiting.push_back(Waiting::Notice(notice.clone()));
                        flow.delivery.refused();
                        flow.lags(figures);
                        return Progress::Full { some: *done > from };
                    }
                    Outcome::Gone => return Progress::Gone,
                }
            }
            *done += 1;
        }
        if *done < page.notices.len() {
            return Progress::More;
        }
        let next = flow.delivery.finish(page);
        if next == Next::Live {
            flow.stage = Stage::Settled;
            flow.catching_up = false;
            flow.keeps_up(figures);
        }
        Progress::Done(next)
    }

    fn emit_read(
        self: &Arc<Self>,
        notice: &InboxNotice,
        flow: &mut Flow,
        figures: &Figures,
    ) -> Outcome {
        let replayed = flow.stage != Stage::Settled;
        let packet = Packet::new(&notice.notice, notice.place);
        let outcome = self.hand_over_read(flow, &packet, notice, replayed);
        match outcome {
            Outcome::Taken if replayed => figures.replayed.increment(1),
            Outcome::Taken => {
                figures.repaired.increment(1);
                if let Some(age) = figures::age(notice.place.position.ms, self.receipts.now_ms()) {
                    figures.repaired_seconds.record(age);
                }
            }
            Outcome::Unreadable => drop_unreadable(&packet, figures),
            Outcome::Full | Outcome::Gone => {}
        }
        outcome
    }
}
