//! The sessions of this gateway, by user.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use herald_core::{SessionId, UserId};

use crate::{figures, session::Session};

/// The sessions of one user. Copied when one comes or goes, so that the hot path, which only
/// looks, takes one reference and no list of its own.
pub(crate) type OfUser = Arc<[Arc<Session>]>;

/// Enough that connects and disconnects on all cores seldom meet the channel's look-ups.
const SHARDS: usize = 64;

type Shard = HashMap<UserId, OfUser>;

/// The hub: who is connected here.
#[derive(Debug)]
pub(crate) struct Sessions {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }

    /// Takes a session in.
    pub(crate) fn insert(&self, session: Arc<Session>) {
        figures::sessions(session.record().namespace.as_str()).increment(1.0);
        let mut shard = self.shard(session.user());
        let sessions = shard.entry(session.user().clone()).or_insert_with(|| Arc::new([]));
        *sessions = sessions.iter().cloned().chain([session]).collect();
    }

    /// Takes a session out; only the first who asks is given it.
    pub(crate) fn remove(&self, session: &Session) -> Option<Arc<Session>> {
        let (user, id) = (session.user(), session.id());
        let mut shard = self.shard(user);
        let sessions = shard.get_mut(user)?;
        let removed = sessions.iter().find(|session| session.id() == id)?.clone();
        if sessions.len() == 1 {
            shard.remove(user);
        } else {
            let others = sessions.iter().filter(|session| session.id() != id);
            *sessions = others.cloned().collect();
        }
        figures::sessions(removed.record().namespace.as_str()).decrement(1.0);
        Some(removed)
    }

    /// The sessions of `user`.
    pub(crate) fn of(&self, user: &UserId) -> Option<OfUser> {
        self.shard(user).get(user).cloned()
    }

    /// One of them.
    pub(crate) fn find(&self, user: &UserId, id: SessionId) -> Option<Arc<Session>> {
        let sessions = self.of(user)?;
        sessions.iter().find(|session| session.id() == id).cloned()
    }

    /// How many there are, as far as one can look at once.
    pub(crate) fn len(&self) -> usize {
        let of_shard = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.values().map(|sessions| sessions.len()).sum::<usize>()
        };
        self.shards.iter().map(of_shard).sum()
    }

    /// All sessions, as they are while one looks.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.values().flat_map(|sessions| sessions.iter().cloned()));
        }
        all
    }

    fn shard(&self, user: &UserId) -> MutexGuard<'_, Shard> {
        let hash = usize::try_from(self.hasher.hash_one(user) % SHARDS as u64);
        let shard = &self.shards[hash.expect("a number below 64 is a usize")];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
