//! Sessions that were ended for good, and users that are forgotten.

use std::collections::BTreeMap;

use herald_core::{GatewayId, SessionId, UserId};

use super::{Memory, State, clock::Now};
use crate::{
    Admission, EndOrder, Ending, GatewayEvent, Mark, Standing, Target, ending::MARKED_SESSIONS,
};

/// What keeps sessions of a user out.
#[derive(Debug, Default)]
pub(super) struct Endings {
    mark: Mark,
    tokens_from_ms: u64,
    sessions: BTreeMap<SessionId, Mark>,
}

impl Endings {
    /// Whether a session that was let in at `mark` may be registered.
    pub(super) fn allow(&self, session: SessionId, mark: Mark) -> bool {
        self.mark <= mark && !self.sessions.contains_key(&session)
    }

    /// When all sessions were last ended.
    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    fn leave(&mut self, ending: &Ending, now_ms: u64) -> Mark {
        // Grows also if the clock stands; over the marks of single sessions too, so that it is known
        // which of these are the oldest.
        let last = self.sessions.values().copied().max().unwrap_or_default().max(self.mark);
        let mark = Mark(now_ms.max(last.0 + 1));
        match &ending.sessions {
            None => self.mark = mark,
            Some(sessions) => {
                self.sessions.extend(sessions.iter().map(|session| (*session, mark)));
                while self.sessions.len() > MARKED_SESSIONS {
                    let oldest = self.sessions.iter().min_by_key(|(_, mark)| **mark);
                    let oldest = oldest.map(|(session, _)| *session);
                    oldest.and_then(|session| self.sessions.remove(&session));
                }
            }
        }
        if ending.tokens {
            self.tokens_from_ms = now_ms;
        }
        mark
    }
}

impl Memory {
    pub(crate) fn admission(&self, user: &UserId) -> Admission {
        let state = self.state();
        let Some(record) = state.registry.get(user, Now::read()) else {
            return Admission::default();
        };
        Admission {
            tip: Some(record.inbox.tip()),
            mark: record.endings.mark,
            tokens_from_ms: record.endings.tokens_from_ms,
        }
    }

    pub(crate) fn session_count(&self, user: &UserId) -> usize {
        self.state().registry.get(user, Now::read()).map_or(0, |record| record.sessions.len())
    }

    pub(crate) fn end_sessions(&self, user: &UserId, ending: &Ending) -> Vec<Target> {
        let now = Now::read();
        let mut state = self.state();
        let State { registry, leases, .. } = &mut *state;
        let record = registry.active(user, now);
        let mark = record.endings.leave(ending, now.ms);
        let order = EndOrder {
            user: user.clone(),
            sessions: ending.sessions.clone(),
            mark,
            why: ending.why,
            words: ending.words.clone(),
        };
        let mut targets = leases.tell_owners(record, || GatewayEvent::End(order.clone()).into());
        if let Some(sessions) = &ending.sessions {
            targets.retain(|target| sessions.contains(&target.session.id));
        }
        targets
    }

    pub(crate) fn standing(
        &self,
        user: &UserId,
        sessions: &[(SessionId, GatewayId)],
    ) -> Vec<Standing> {
        let now = Now::read();
        let state = self.state();
        let record = state.registry.get(user, now);
        let of = |(session, gateway): &(SessionId, GatewayId)| {
            if record.is_some_and(|record| record.sessions.contains_key(session)) {
                Standing::Registered
            } else if state.leases.is_alive(*gateway, now.instant) {
                Standing::Left
            } else {
                Standing::Unknown
            }
        };
        sessions.iter().map(of).collect()
    }

    pub(crate) fn forget_sessions(&self, user: &UserId, sessions: &[(SessionId, GatewayId)]) {
        let now = Now::read();
        let mut state = self.state();
        let State { registry, leases, .. } = &mut *state;
        for (session, gateway) in sessions {
            if let Some(lease) = leases.get_mut(*gateway) {
                lease.sessions.remove(&(user.clone(), *session));
            }
            registry.remove_session(user, *session, *gateway, now);
        }
    }

    pub(crate) fn purge(&self, user: &UserId) {
        self.state().registry.purge(user);
    }
}
