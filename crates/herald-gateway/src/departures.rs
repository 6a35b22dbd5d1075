//! Sessions that ended and are to be removed from the registry.
//!
//! A session that ends while the backplane is away must not stay in the registry of a lease that
//! lives on, so departures are kept until they were carried out. Their number is bounded by that
//! of the sessions there were: new ones are not let in while the backplane is away. With the
//! lease its departures are forgotten, since its sessions go with it.
//!
//! A failover may bring back what was removed right before it. In a cluster the user's part of the
//! registry comes back without the lease's, and then no audit can find it; so what was removed a
//! moment before a doubt is removed once more, which is harmless where it was not needed.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use herald_backplane::BackplaneError;
use herald_core::{SessionId, UserId};
use tokio::{sync::Notify, time::Instant};

use crate::{backoff::Backoff, context::Context, session::Session};

/// Sessions removed in one call.
const BATCH: usize = 256;

/// How long a removal may be lost to a failover: until a master counts as failed and another one
/// is in its place.
const RECENT: Duration = Duration::from_secs(60);

/// Removals remembered, about 2 MiB. What leaves faster than that in [`RECENT`] is a drain, whose
/// lease goes too.
const REMEMBERED: usize = 32_768;

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    waiting: Mutex<HashMap<SessionId, UserId>>,
    removed: Mutex<VecDeque<(Instant, UserId, SessionId)>>,
    wake: Notify,
}

impl Departures {
    /// The session is to be removed, whether it got into the registry or not.
    pub(crate) fn push(&self, session: &Session) {
        self.lock().insert(session.id(), session.user().clone());
        self.wake.notify_one();
    }

    /// What is no session here is to be removed, unless it is waiting to be; whether it was not.
    pub(crate) fn push_stranger(&self, user: UserId, id: SessionId) -> bool {
        let new = self.lock().insert(id, user).is_none();
        self.wake.notify_one();
        new
    }

    /// What was removed a moment ago is to be removed again, since the removals may be lost.
    pub(crate) fn again(&self) {
        let removed = std::mem::take(&mut *lock(&self.removed));
        let recent = removed.into_iter().filter(|(at, ..)| at.elapsed() < RECENT);
        self.put_back(recent.map(|(_, user, id)| (user, id)));
        self.wake.notify_one();
    }

    /// Forgets them all.
    pub(crate) fn clear(&self) {
        self.lock().clear();
        lock(&self.removed).clear();
    }

    fn take(&self) -> Vec<(UserId, SessionId)> {
        let mut waiting = self.lock();
        let batch: Vec<_> = waiting.keys().take(BATCH).copied().collect();
        let take = |id| Some((waiting.remove(&id)?, id));
        batch.into_iter().filter_map(take).collect()
    }

    fn put_back(&self, batch: impl IntoIterator<Item = (UserId, SessionId)>) {
        self.lock().extend(batch.into_iter().map(|(user, id)| (id, user)));
    }

    fn remember(&self, batch: Vec<(UserId, SessionId)>) {
        let mut removed = lock(&self.removed);
        let now = Instant::now();
        let old = removed.partition_point(|(at, ..)| now - *at >= RECENT);
        let too_many = (removed.len() + batch.len()).saturating_sub(REMEMBERED);
        let forgotten = old.max(too_many.min(removed.len()));
        removed.drain(..forgotten);
        removed.extend(batch.into_iter().map(|(user, id)| (now, user, id)));
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, UserId>> {
        lock(&self.waiting)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what departs, as long as it takes. What gathers while one call is under way goes with
/// the next one.
pub(crate) async fn run(context: &Context) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    let departures = &context.departures;
    loop {
        let batch = departures.take();
        context.figures.unregistering.set(departures.len() as f64);
        if batch.is_empty() {
            departures.wake.notified().await;
            continue;
        }
        let port = context.lease.held().await;
        let call = context.call(port.disconnect(&batch));
        match call.await {
            Ok(()) => {
                departures.remember(batch);
                backoff.reset();
            }
            Err(BackplaneError::LeaseLost(_)) => {}
            Err(error) => {
                tracing::debug!(%error, sessions = batch.len(), "sessions not removed yet");
                departures.put_back(batch);
                backoff.pause().await;
                context.healthy().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(count: usize) -> Vec<(UserId, SessionId)> {
        (0..count).map(|_| (UserId::new("alice").unwrap(), SessionId::random())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_removed_a_moment_ago_is_removed_once_more() {
        let departures = Departures::default();
        departures.remember(some(1));
        tokio::time::advance(RECENT).await;
        let recent = some(2);
        departures.remember(recent.clone());
        departures.again();
        let mut again = departures.take();
        again.sort_by_key(|(_, id)| recent.iter().position(|(_, of)| of == id));
        assert_eq!(again, recent);
        departures.again();
        assert_eq!(departures.len(), 0, "it was done, and has not been done again yet");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let departures = Departures::default();
        for _ in 0..=REMEMBERED / BATCH {
            departures.remember(some(BATCH));
        }
        let removed = lock(&departures.removed);
        assert_eq!(removed.len(), REMEMBERED);
    }
}
