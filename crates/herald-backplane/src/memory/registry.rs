//! Users: their inboxes and their sessions.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use herald_core::{GatewayId, InboxLimits, SessionId, SessionRecord, UserId};

use super::{clock::Now, ending::Endings, inbox::Inbox, keys::Keys, receipts::Receipts};

/// One user's record.
#[derive(Debug)]
pub(super) struct UserState {
    pub(super) inbox: Inbox,
    pub(super) keys: Keys,
    pub(super) receipts: Receipts,
    pub(super) endings: Endings,
    pub(super) sessions: BTreeMap<SessionId, SessionRecord>,
    /// The last time that a notice was appended or a session came or went.
    active: Instant,
}

impl UserState {
    fn trim_age(&mut self, now_ms: u64, limits: &InboxLimits) {
        self.inbox.trim_age(now_ms, limits);
        self.receipts.trim_age(now_ms, limits);
    }

    fn is_forgotten(&self, now: Instant, memory: Duration) -> bool {
        self.sessions.is_empty() && now.saturating_duration_since(self.active) >= memory
    }
}

/// All users that are remembered.
///
/// A record whose time is over counts as absent at once. Its memory is freed by
/// [`Registry::sweep`], a few records at a time, so that no call pays for many.
#[derive(Debug)]
pub(super) struct Registry {
    limits: InboxLimits,
    users: HashMap<UserId, UserState>,
    /// Every record once, with the time since which it waits for its next look.
    looks: VecDeque<(Instant, UserId)>,
}

impl Registry {
    pub(super) fn new(limits: InboxLimits) -> Self {
        Self { limits, users: HashMap::new(), looks: VecDeque::new() }
    }

    /// The user's record, if there is one. Changes nothing.
    pub(super) fn get(&self, user: &UserId, now: Now) -> Option<&UserState> {
        self.users.get(user).filter(|state| !state.is_forgotten(now.instant, self.limits.memory))
    }

    /// The user's record with what is too old removed, if there is one.
    pub(super) fn trimmed(&mut self, user: &UserId, now: Now) -> Option<&UserState> {
        let memory = self.limits.memory;
        let state =
            self.users.get_mut(user).filter(|state| !state.is_forgotten(now.instant, memory))?;
        state.trim_age(now.ms, &self.limits);
        Some(state)
    }

    /// The user's record, made if there is none, and active as of now.
    pub(super) fn active(&mut self, user: &UserId, now: Now) -> &mut UserState {
        self.sweep(now, 2);
        let state = self.users.entry(user.clone()).or_insert_with(|| {
            self.looks.push_back((now.instant, user.clone()));
            UserState {
                inbox: Inbox::new(),
                keys: Keys::default(),
                receipts: Receipts::default(),
                endings: Endings::default(),
                sessions: BTreeMap::new(),
                active: now.instant,
            }
        });
        if state.is_forgotten(now.instant, self.limits.memory) {
            state.inbox = Inbox::new();
            state.keys = Keys::default();
            state.receipts = Receipts::default();
            state.endings = Endings::default();
        }
        state.active = now.instant;
        state.trim_age(now.ms, &self.limits);
        state
    }

    /// Forgets what is kept for a user, but for its sessions and what keeps others out.
    pub(super) fn purge(&mut self, user: &UserId) {
        if let Some(state) = self.users.get_mut(user) {
            state.inbox = Inbox::new();
            state.keys = Keys::default();
            state.receipts = Receipts::default();
        }
    }

    /// Removes a session if `gateway` is the lease that it is registered under.
    pub(super) fn remove_session(
        &mut self,
        user: &UserId,
        session: SessionId,
        gateway: GatewayId,
        now: Now,
    ) -> bool {
        let Some(state) = self.users.get_mut(user) else { return false };
        if state.sessions.get(&session).is_none_or(|record| record.gateway != gateway) {
            return false;
        }
        state.sessions.remove(&session);
        state.active = now.instant;
        true
    }

    /// Frees what time has removed, for at most `records` of those that have
    /// waited longest. Two for every record made hold the records at no more
    /// than twice those that are to be remembered.
    pub(super) fn sweep(&mut self, now: Now, records: usize) {
        let every = self.limits.age.min(self.limits.memory);
        for _ in 0..records {
            let due = |(since, _): &mut (Instant, UserId)| {
                now.instant.saturating_duration_since(*since) >= every
            };
            let Some((_, user)) = self.looks.pop_front_if(due) else { return };
            let Some(state) = self.users.get_mut(&user) else { continue };
            if state.is_forgotten(now.instant, self.limits.memory) {
                self.users.remove(&user);
            } else {
                state.trim_age(now.ms, &self.limits);
                self.looks.push_back((now.instant, user));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use herald_core::Epoch;

    use super::*;

    const MEMORY: Duration = Duration::from_secs(60);

    struct Fixture {
        registry: Registry,
        began: Now,
    }

    impl Fixture {
        fn new() -> Self {
            let limits = InboxLimits {
                age: Duration::from_secs(10),
                memory: MEMORY,
                ..InboxLimits::default()
            };
            Self { registry: Registry::new(limits), began: Now::read() }
        }

        fn after(&self, elapsed: Duration) -> Now {
            let ms = self.began.ms + u64::try_from(elapsed.as_millis()).unwrap();
            Now { ms, instant: self.began.instant + elapsed }
        }

        fn epoch(&self, user: &UserId, now: Now) -> Option<Epoch> {
            self.registry.get(user, now).map(|state| state.inbox.tip().epoch)
        }
    }

    fn user(id: usize) -> UserId {
        UserId::new(format!("user-{id}")).unwrap()
    }

    #[test]
    fn a_record_is_remembered_as_long_as_promised_after_the_last_activity() {
        let mut fixture = Fixture::new();
        let (alice, began) = (user(1), fixture.began);
        fixture.registry.active(&alice, began);
        let epoch = fixture.epoch(&alice, began);
        let later = fixture.after(MEMORY - Duration::from_secs(1));
        fixture.registry.active(&alice, later);
        let just_before = fixture.after(2 * MEMORY - Duration::from_secs(2));
        assert_eq!(fixture.epoch(&alice, just_before), epoch);
        let end = fixture.after(2 * MEMORY);
        assert_eq!(fixture.epoch(&alice, end), None);
        fixture.registry.active(&alice, end);
        assert_ne!(fixture.epoch(&alice, end), epoch, "a new record is a new life");
    }

    #[test]
    fn a_record_with_a_session_is_never_forgotten() {
        let mut fixture = Fixture::new();
        let (alice, began) = (user(1), fixture.began);
        let record = super::super::tests::session(GatewayId(1));
        fixture.registry.active(&alice, began).sessions.insert(record.id, record.clone());
        let late = fixture.after(10 * MEMORY);
        fixture.registry.sweep(late, 10);
        assert!(fixture.epoch(&alice, late).is_some());
        assert!(!fixture.registry.remove_session(&alice, record.id, GatewayId(2), late));
        assert!(fixture.registry.remove_session(&alice, record.id, GatewayId(1), late));
        assert!(fixture.epoch(&alice, late).is_some(), "its leaving was an activity");
        assert!(fixture.epoch(&alice, fixture.after(11 * MEMORY)).is_none());
    }

    #[test]
    fn memory_follows_the_users_of_late_not_all_there_ever_were() {
        let mut fixture = Fixture::new();
        for id in 0..10_000 {
            let now = fixture.after(Duration::from_secs(id as u64));
            fixture.registry.active(&user(id), now);
            assert_eq!(fixture.registry.users.len(), fixture.registry.looks.len());
        }
        let kept = fixture.registry.users.len();
        assert!(kept <= 2 * 60, "60 s of memory at one user a second hold {kept} records");
    }
}
