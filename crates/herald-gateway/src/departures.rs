//! Sessions that ended and are to be removed from the registry.
//!
//! A session that ends while the backplane is away must not stay in the registry of a lease that
//! lives on, so departures are kept until they were carried out. Their number is bounded by that
//! of the sessions there were: new ones are not let in while the backplane is away. With the
//! lease its departures are forgotten, since its sessions go with it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use herald_backplane::BackplaneError;
use herald_core::{SessionId, UserId};
use tokio::sync::Notify;

use crate::{backoff::Backoff, context::Context, session::Session};

/// Sessions removed in one call.
const BATCH: usize = 256;

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    waiting: Mutex<HashMap<SessionId, UserId>>,
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

    /// Forgets them all.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn take(&self) -> Vec<(UserId, SessionId)> {
        let mut waiting = self.lock();
        let batch: Vec<_> = waiting.keys().take(BATCH).copied().collect();
        let take = |id| Some((waiting.remove(&id)?, id));
        batch.into_iter().filter_map(take).collect()
    }

    fn put_back(&self, batch: Vec<(UserId, SessionId)>) {
        self.lock().extend(batch.into_iter().map(|(user, id)| (id, user)));
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, UserId>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            Ok(()) => backoff.reset(),
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
