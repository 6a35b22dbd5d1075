//! What one session owes to those who want receipts: pure, but for the hold on tasks that await
//! acknowledgements.
//!
//! A notice is *owed* from when the session is told of it until it is handed to the socket, and
//! *given* from then on. Given notices are remembered for a while, so that a retry is answered with
//! what happened and nothing else. Of notices that nobody wants to hear of, nothing is here.

use std::collections::VecDeque;

use herald_backplane::{ReceiptState, ReceiptsWanted};
use herald_core::{Place, limits::LONGEST_WAIT};
use tokio::task::AbortHandle;

/// Notices owed at a time; beyond, the oldest is forgotten: nobody hears of it if the session ends.
const OWED: usize = 256;

/// Acknowledgements awaited at a time; beyond, the oldest is given up.
const PENDING: usize = 1_024;

/// Notices remembered of which nothing further is awaited.
const SETTLED: usize = 32;

/// Who wants to hear, and until when a wait of theirs can be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked {
    wanted: ReceiptsWanted,
    until_ms: u64,
}

impl Asked {
    /// At that time, in milliseconds since 1970 by the backplane's clock.
    pub(crate) fn at(wanted: ReceiptsWanted, at_ms: u64) -> Self {
        let longest = u64::try_from(LONGEST_WAIT.as_millis()).unwrap_or(u64::MAX);
        Self { wanted, until_ms: at_ms.saturating_add(longest) }
    }

    fn listens(&self, now_ms: u64) -> bool {
        self.until_ms > now_ms
    }
}

/// Whom to tell of a notice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) to: Vec<ReceiptsWanted>,
    /// Whether it is to be kept too.
    pub(crate) keep: bool,
}

impl Due {
    /// Of those who asked, who still listens.
    pub(crate) fn of(asked: &[Asked], now_ms: u64) -> Self {
        let listening = asked.iter().filter(|asked| asked.listens(now_ms));
        Self { to: listening.map(|asked| asked.wanted).collect(), keep: wants_acks(asked) }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.to.is_empty() && !self.keep
    }
}

/// Whether the client is to acknowledge.
pub(crate) fn wants_acks(asked: &[Asked]) -> bool {
    asked.iter().any(|asked| asked.wanted.acks)
}

#[derive(Debug)]
struct Given {
    place: Place,
    state: ReceiptState,
    at_ms: u64,
    asked: Vec<Asked>,
    /// There while an acknowledgement is awaited.
    awaiting: Option<AbortHandle>,
}

impl Given {
    /// Whom to tell of the acknowledgement, or of its absence.
    fn due(&self, now_ms: u64) -> Due {
        let of_acks: Vec<_> =
            self.asked.iter().filter(|asked| asked.wanted.acks).copied().collect();
        Due::of(&of_acks, now_ms)
    }
}

/// What is owed and given, each in the order of the inbox, mostly.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    owed: VecDeque<(Place, Asked)>,
    given: VecDeque<Given>,
}

impl Ledger {
    /// The session was told of a notice and will come to it. False if an older one had to make room
    /// that somebody may still wait for.
    pub(crate) fn owe(&mut self, place: Place, asked: Asked, now_ms: u64) -> bool {
        self.owed.retain(|(_, asked)| asked.listens(now_ms));
        let full = self.owed.len() >= OWED;
        if full {
            self.owed.pop_front();
        }
        self.owed.push_back((place, asked));
        !full
    }

    /// What is known of a notice that somebody asks for now, and since when. If it is yet to be
    /// acknowledged, they will hear of that too.
    pub(crate) fn known(&mut self, place: Place, asked: Asked) -> Option<(ReceiptState, u64)> {
        let given = self.given.iter_mut().rev().find(|given| given.place == place)?;
        let is_new = given.asked.iter().all(|known| known.wanted != asked.wanted);
        if given.awaiting.is_some() && is_new {
            given.asked.push(asked);
        }
        Some((given.state, given.at_ms))
    }

    /// Everybody who wants to hear of a notice that is about to be handed over: who sent it, and who
    /// asked since.
    pub(crate) fn asked_for(&self, place: Place, sender: Option<ReceiptsWanted>) -> Vec<Asked> {
        let since = self.owed.iter().filter(|(owed, _)| *owed == place).map(|(_, asked)| *asked);
        let mut all: Vec<Asked> = since.collect();
        if let Some(wanted) = sender
            && all.iter().all(|asked| asked.wanted != wanted)
        {
            all.push(Asked::at(wanted, place.position.ms));
        }
        all
    }

    /// The socket has taken the notice; `awaiting` its acknowledgement if there is to be one.
    /// Returns how many others are given up for it.
    pub(crate) fn give(
        &mut self,
        place: Place,
        at_ms: u64,
        asked: Vec<Asked>,
        awaiting: Option<AbortHandle>,
    ) -> u64 {
        self.owed.retain(|(owed, _)| *owed != place);
        let state = ReceiptState::Emitted;
        self.given.push_back(Given { place, state, at_ms, asked, awaiting });
        let mut given_up = 0;
        while self.given.iter().filter(|given| given.awaiting.is_some()).count() > PENDING {
            let oldest = self.given.iter_mut().find_map(|given| given.awaiting.take());
            let Some(oldest) = oldest else { break };
            oldest.abort();
            given_up += 1;
        }
        self.forget();
        given_up
    }

    /// The client has acknowledged; whom to tell.
    pub(crate) fn acked(&mut self, place: Place, at_ms: u64, now_ms: u64) -> Option<Due> {
        let given = self.pending(place)?;
        given.awaiting = None;
        (given.state, given.at_ms) = (ReceiptState::Acked, at_ms);
        let due = given.due(now_ms);
        self.forget();
        Some(due)
    }

    /// The client has not acknowledged in time. Returns whether that was awaited.
    pub(crate) fn not_acked(&mut self, place: Place) -> bool {
        let pending = self.pending(place).map(|given| given.awaiting = None);
        self.forget();
        pending.is_some()
    }

    fn pending(&mut self, place: Place) -> Option<&mut Given> {
        self.given.iter_mut().find(|given| given.place == place && given.awaiting.is_some())
    }

    /// The session has ended: whom to tell of which notices, and how many acknowledgements were
    /// awaited. Nothing is owed any more.
    pub(crate) fn end(&mut self, now_ms: u64) -> (Vec<(Place, Due)>, u64) {
        let mut dues = Vec::new();
        let mut awaited = 0;
        for given in self.given.drain(..) {
            let Some(awaiting) = &given.awaiting else { continue };
            awaiting.abort();
            awaited += 1;
            dues.push((given.place, given.due(now_ms)));
        }
        for (place, asked) in self.owed.drain(..) {
            dues.push((place, Due::of(&[asked], now_ms)));
        }
        dues.retain(|(_, due)| !due.is_nothing());
        (dues, awaited)
    }

    /// Forgets the oldest of which nothing is awaited.
    fn forget(&mut self) {
        let settled = |given: &Given| given.awaiting.is_none();
        let mut too_many =
            self.given.iter().filter(|given| settled(given)).count().saturating_sub(SETTLED);
        self.given.retain(|given| {
            let forgotten = too_many > 0 && settled(given);
            too_many -= usize::from(forgotten);
            !forgotten
        });
    }
}

#[cfg(test)]
mod tests {
    use herald_core::{NotifierId, Position};

    use super::*;

    const NOW: u64 = 1_000_000;
    const LATER: u64 = NOW + 30_000;

    fn place(nth: u64) -> Place {
        Place { position: Position { ms: NOW, seq: u32::try_from(nth).unwrap() }, random: 1 }
    }

    fn wanted(token: u64, acks: bool) -> ReceiptsWanted {
        ReceiptsWanted { notifier: NotifierId(1), token, acks }
    }

    fn asked(token: u64, acks: bool) -> Asked {
        Asked::at(wanted(token, acks), NOW)
    }

    fn task() -> Option<AbortHandle> {
        Some(tokio::spawn(std::future::pending::<()>()).abort_handle())
    }

    #[test]
    fn a_notice_is_owed_until_it_is_given() {
        let mut ledger = Ledger::default();
        assert!(ledger.owe(place(1), asked(1, false), NOW));
        assert!(ledger.owe(place(1), asked(2, true), NOW));
        assert!(ledger.owe(place(2), asked(3, false), NOW));
        let all = ledger.asked_for(place(1), Some(wanted(1, false)));
        assert_eq!(all, [asked(1, false), asked(2, true)], "each once");
        let all = ledger.asked_for(place(1), Some(wanted(9, false)));
        assert_eq!(all.len(), 3, "its sender is another");
        let due = Due::of(&all, NOW);
        assert_eq!((due.to.len(), due.keep), (3, true));
        ledger.give(place(1), NOW, all, None);
        assert_eq!(ledger.asked_for(place(1), None), []);
        let (dues, _) = ledger.end(NOW);
        let only = Due { to: vec![wanted(3, false)], keep: false };
        assert_eq!(dues, [(place(2), only)], "the other one was given");
        assert_eq!(ledger.end(NOW).0, [], "it ends once");
    }

    #[test]
    fn nobody_is_told_of_what_they_cannot_wait_for_any_more() {
        let due = Due::of(&[asked(1, false)], LATER - 1);
        assert_eq!(due.to, [wanted(1, false)]);
        assert!(Due::of(&[asked(1, false)], LATER).is_nothing());
        let due = Due::of(&[asked(1, true)], LATER);
        assert_eq!(due, Due { to: vec![], keep: true }, "what is kept is kept");
        let mut ledger = Ledger::default();
        ledger.owe(place(1), asked(1, false), NOW);
        ledger.owe(place(2), Asked::at(wanted(2, false), LATER), LATER);
        assert_eq!(ledger.owed.len(), 1);
    }

    #[tokio::test]
    async fn a_retry_learns_what_happened_and_hears_of_the_acknowledgement() {
        let mut ledger = Ledger::default();
        let first = asked(1, true);
        assert_eq!(ledger.known(place(1), first), None);
        ledger.give(place(1), NOW + 1, vec![first], task());
        let emitted = Some((ReceiptState::Emitted, NOW + 1));
        assert_eq!(ledger.known(place(1), asked(2, true)), emitted);
        assert_eq!(ledger.known(place(1), asked(3, false)), emitted);
        let due = ledger.acked(place(1), NOW + 2, NOW).unwrap();
        assert_eq!(due.to, [wanted(1, true), wanted(2, true)], "who waits for acknowledgements");
        assert_eq!(ledger.acked(place(1), NOW + 3, NOW), None, "once");
        assert_eq!(ledger.known(place(1), asked(4, true)), Some((ReceiptState::Acked, NOW + 2)));
        assert_eq!(ledger.end(NOW), (vec![], 0), "nothing is awaited");
    }

    #[tokio::test]
    async fn who_ends_is_gone_for_what_it_did_not_acknowledge() {
        let mut ledger = Ledger::default();
        let handle = task();
        ledger.give(place(1), NOW, vec![asked(1, true)], handle.clone());
        ledger.give(place(2), NOW, vec![asked(2, false)], None);
        ledger.give(place(3), NOW, vec![asked(3, true)], task());
        assert!(ledger.not_acked(place(3)) && !ledger.not_acked(place(3)));
        ledger.owe(place(4), asked(4, true), NOW);
        let (dues, awaited) = ledger.end(NOW);
        let due = |token| Due { to: vec![wanted(token, true)], keep: true };
        assert_eq!((dues, awaited), (vec![(place(1), due(1)), (place(4), due(4))], 1));
        tokio::task::yield_now().await;
        assert!(handle.unwrap().is_finished(), "nobody awaits it any more");
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let mut ledger = Ledger::default();
        let first = task();
        assert_eq!(ledger.give(place(0), NOW, vec![], first.clone()), 0);
        for nth in 1..PENDING as u64 {
            assert_eq!(ledger.give(place(nth), NOW, vec![], task()), 0);
        }
        assert_eq!(ledger.give(place(PENDING as u64), NOW, vec![], task()), 1);
        assert_eq!(ledger.known(place(0), asked(1, true)), Some((ReceiptState::Emitted, NOW)));
        tokio::task::yield_now().await;
        assert!(first.unwrap().is_finished());
        for nth in 0..1_000 {
            ledger.give(place(10_000 + nth), NOW, vec![], None);
        }
        assert_eq!(ledger.given.len(), PENDING + SETTLED);
        assert!(ledger.known(place(10_999), asked(1, true)).is_some());
        assert!(ledger.known(place(10_000), asked(1, true)).is_none());
        for nth in 0..OWED as u64 {
            assert!(ledger.owe(place(nth), asked(nth, false), NOW));
        }
        assert!(!ledger.owe(place(9_999), asked(1, false), NOW));
        assert_eq!(ledger.owed.len(), OWED);
    }
}
