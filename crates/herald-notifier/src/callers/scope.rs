//! What a caller may.

use herald_core::{EventName, UserId};

use crate::call::Rpc;

/// Which rpcs, with which users and events. `None` is all of them.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) rpcs: Option<Vec<Rpc>>,
    /// Beginnings of user ids.
    pub(super) users: Option<Vec<String>>,
    pub(super) events: Option<Vec<EventName>>,
}

impl Scope {
    pub(super) fn all() -> Self {
        Self { rpcs: None, users: None, events: None }
    }

    pub(super) fn has_rpc(&self, rpc: Rpc) -> bool {
        self.rpcs.as_ref().is_none_or(|rpcs| rpcs.contains(&rpc))
    }

    pub(super) fn has_user(&self, user: &UserId) -> bool {
        let begins = |prefix: &String| user.as_str().starts_with(prefix.as_str());
        self.users.as_ref().is_none_or(|prefixes| prefixes.iter().any(begins))
    }

    pub(super) fn has_all_users(&self) -> bool {
        self.users.is_none()
    }

    pub(super) fn has_event(&self, event: &EventName) -> bool {
        self.events.as_ref().is_none_or(|events| events.contains(event))
    }
}
