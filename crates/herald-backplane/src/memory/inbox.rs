//! One user's inbox: ordered, bounded by count, bytes and age.

use std::{collections::VecDeque, time::Duration};

use herald_core::{Cursor, Epoch, InboxLimits, Notice, Place, Position};

use super::resolve::{Bounds, resolve};
use crate::{FoundNotice, InboxNotice, InboxState, Page, ReceiptsWanted, Since};

/// A notice on its way into an inbox.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) notice: Notice,
    /// When it stops being delivered, in milliseconds since 1970; 0 for never.
    pub(super) expires_at_ms: u64,
    /// Its stored size in bytes, which is what the limits count.
    pub(super) size: u64,
    pub(super) random: u32,
    pub(super) receipts: Option<ReceiptsWanted>,
}

#[derive(Debug)]
struct Entry {
    kept: InboxNotice,
    size: u64,
}

impl Entry {
    fn position(&self) -> Position {
        self.kept.place.position
    }

    fn is_expired(&self, now_ms: u64) -> bool {
        self.kept.expires_at_ms != 0 && self.kept.expires_at_ms <= now_ms
    }
}

/// The log itself, with what outlives its notices.
#[derive(Debug)]
pub(super) struct Inbox {
    bounds: Bounds,
    entries: VecDeque<Entry>,
    bytes: u64,
}

impl Inbox {
    /// An empty one, in a new life.
    pub(super) fn new() -> Self {
        Self {
            bounds: Bounds { epoch: Epoch::random(), tip: Place::ZERO, floor: Position::ZERO },
            entries: VecDeque::new(),
            bytes: 0,
        }
    }

    /// The last place given out.
    pub(super) fn tip(&self) -> Cursor {
        Cursor { epoch: self.bounds.epoch, place: self.bounds.tip }
    }

    /// Makes room and appends. Afterwards the inbox is within its limits; only
    /// the newest notice always stays, even if it alone is over a limit, since
    /// success means that it was accepted.
    pub(super) fn append(
        &mut self,
        incoming: Incoming,
        now_ms: u64,
        limits: &InboxLimits,
    ) -> Place {
        let Incoming { notice, expires_at_ms, size, random, receipts } = incoming;
        self.trim_age(now_ms, limits);
        while self.entries.len() >= limits.notices as usize || self.bytes + size > limits.bytes {
            if !self.remove_oldest() {
                break;
            }
        }
        let place = Place { position: self.bounds.tip.position.next(now_ms), random };
        self.bounds.tip = place;
        self.bytes += size;
        let kept = InboxNotice { place, notice, expires_at_ms, receipts };
        self.entries.push_back(Entry { kept, size });
        place
    }

    /// Removes what is older than the limit.
    pub(super) fn trim_age(&mut self, now_ms: u64, limits: &InboxLimits) {
        let oldest_kept = now_ms.saturating_sub(millis(limits.age));
        while self.entries.front().is_some_and(|entry| entry.position().ms < oldest_kept) {
            self.remove_oldest();
        }
    }

    /// Removes the oldest notice, which moves the floor; false if there is none.
    fn remove_oldest(&mut self) -> bool {
        let Some(entry) = self.entries.pop_front() else { return false };
        self.bytes -= entry.size;
        self.bounds.floor = entry.position();
        true
    }

    /// One page after `since`: at most `max_notices` of at most
    /// `limits.page_bytes` together, but at least one if there is any.
    pub(super) fn page(
        &self,
        since: Since,
        max_notices: u32,
        now_ms: u64,
        limits: &InboxLimits,
    ) -> Page {
        let Bounds { epoch, tip, floor } = self.bounds;
        let (start, gap) = resolve(since, &self.bounds, |position| self.random_at(position));
        let max_notices = max_notices.min(limits.page_notices).max(1) as usize;
        let first = self.entries.partition_point(|entry| entry.position() <= start.position);
        let mut page = Page { epoch, start, gap, notices: Vec::new(), reached: start, tip, floor };
        let mut bytes = 0;
        for entry in self.entries.range(first..) {
            if !entry.is_expired(now_ms) {
                bytes += entry.size;
                let full =
                    page.notices.len() == max_notices || bytes > u64::from(limits.page_bytes);
                if full && !page.notices.is_empty() {
                    return page;
                }
                page.notices.push(entry.kept.clone());
            }
            page.reached = entry.kept.place;
        }
        page.reached = tip;
        page
    }

    /// What is known of it as a whole.
    pub(super) fn state(&self) -> InboxState {
        let Bounds { epoch, tip, floor } = self.bounds;
        InboxState { epoch, tip, floor, notices: self.entries.len() as u64, bytes: self.bytes }
    }

    /// The notice that stands at `place`, expired or not.
    pub(super) fn find(&self, place: Place) -> Option<FoundNotice> {
        let at = self.entries.binary_search_by_key(&place.position, Entry::position).ok()?;
        let Entry { kept, size } = &self.entries[at];
        (kept.place == place).then(|| FoundNotice { notice: kept.clone(), size: *size })
    }

    fn random_at(&self, position: Position) -> Option<u32> {
        let at = self.entries.binary_search_by_key(&position, Entry::position).ok()?;
        Some(self.entries[at].kept.place.random)
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use herald_core::{EventName, Payload};

    use super::*;

    fn incoming(random: u32, size: u64, expires_at_ms: u64) -> Incoming {
        let payload = Payload::from_trusted("null".into());
        let notice = Notice { event: EventName::notice(), payload, traceparent: None };
        Incoming { notice, expires_at_ms, size, random, receipts: None }
    }

    fn randoms(page: &Page) -> Vec<u32> {
        page.notices.iter().map(|kept| kept.place.random).collect()
    }

    fn all(inbox: &Inbox, now_ms: u64) -> Page {
        inbox.page(Since::Start, 100, now_ms, &InboxLimits::default())
    }

    #[test]
    fn eviction_stops_as_soon_as_the_new_one_fits() {
        let limits = InboxLimits { notices: 4, bytes: 100, ..InboxLimits::default() };
        let mut inbox = Inbox::new();
        for random in 1..=4 {
            inbox.append(incoming(random, 25, 0), 10, &limits);
        }
        assert_eq!(randoms(&all(&inbox, 10)), [1, 2, 3, 4]);
        inbox.append(incoming(5, 26, 0), 10, &limits);
        assert_eq!(randoms(&all(&inbox, 10)), [3, 4, 5]);
        assert_eq!(inbox.bytes, 76);
        assert_eq!(inbox.bounds.floor, Position { ms: 10, seq: 1 });
    }

    #[test]
    fn the_newest_stays_even_if_it_alone_is_over_a_limit() {
        let limits = InboxLimits { notices: 0, bytes: 10, ..InboxLimits::default() };
        let mut inbox = Inbox::new();
        inbox.append(incoming(1, 5, 0), 10, &limits);
        inbox.append(incoming(2, 50, 0), 10, &limits);
        assert_eq!(randoms(&all(&inbox, 10)), [2]);
        inbox.append(incoming(3, 5, 0), 10, &limits);
        assert_eq!(randoms(&all(&inbox, 10)), [3]);
        assert_eq!(inbox.bytes, 5);
    }

    #[test]
    fn age_removes_what_is_older_and_keeps_what_is_just_as_old() {
        let limits = InboxLimits { age: Duration::from_millis(100), ..InboxLimits::default() };
        let mut inbox = Inbox::new();
        inbox.append(incoming(1, 1, 0), 1_000, &limits);
        inbox.append(incoming(2, 1, 0), 1_001, &limits);
        inbox.trim_age(1_100, &limits);
        assert_eq!(randoms(&all(&inbox, 1_100)), [1, 2]);
        inbox.trim_age(1_101, &limits);
        assert_eq!(randoms(&all(&inbox, 1_101)), [2]);
        inbox.trim_age(9_999, &limits);
        let page = all(&inbox, 9_999);
        assert_eq!(page.floor, page.tip.position);
        assert_eq!(page.reached, page.tip);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_take_positions_along() {
        let limits = InboxLimits::default();
        let mut inbox = Inbox::new();
        let first = inbox.append(incoming(1, 1, 0), 1_000, &limits);
        let second = inbox.append(incoming(2, 1, 0), 400, &limits);
        assert_eq!(second.position, Position { ms: 1_000, seq: 1 });
        assert!(second.position > first.position);
    }

    #[test]
    fn expired_notices_are_left_out_and_passed() {
        let limits = InboxLimits { page_notices: 2, ..InboxLimits::default() };
        let mut inbox = Inbox::new();
        for (random, expires) in [(1, 50), (2, 0), (3, 0), (4, 50), (5, 0), (6, 50)] {
            inbox.append(incoming(random, 1, expires), 10, &limits);
        }
        let first = inbox.page(Since::Start, 9, 50, &limits);
        assert_eq!(randoms(&first), [2, 3]);
        assert_eq!(first.reached.random, 4, "nobody needs to come back for an expired one");
        assert!(first.more());
        let second = inbox.page(Since::After(first.cursor()), 9, 50, &limits);
        assert_eq!((randoms(&second), second.gap), (vec![5], None));
        assert!(!second.more());
        assert_eq!(randoms(&inbox.page(Since::Start, 9, 49, &limits)), [1, 2]);
    }
}
