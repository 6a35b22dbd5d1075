//! The index of a lease: which sessions a reaper has to remove, and whose they are.
//!
//! All of a gateway's sessions are entered under one key. So what is to be entered while one write
//! is under way goes with the next one: a lone session at once, a storm of them in few commands.

use herald_core::{GatewayId, SessionId, UserId};
use redis::Cmd;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Redis;
use crate::BackplaneError;

/// Entries in one write.
const BATCH: usize = 256;

/// Entries that may wait. Beyond that, who registers waits within its own deadline.
const WAITING: usize = 1_024;

/// Enters sessions into the index of one lease, until that lease ends.
#[derive(Clone)]
pub(super) struct Index {
    waiting: mpsc::Sender<Entry>,
    gateway: GatewayId,
}

struct Entry {
    session: SessionId,
    user: UserId,
    written: oneshot::Sender<Result<(), BackplaneError>>,
}

impl Index {
    pub(super) fn open(redis: Redis, gateway: GatewayId, stop: CancellationToken) -> Self {
        let (waiting, entries) = mpsc::channel(WAITING);
        tokio::spawn(stop.run_until_cancelled_owned(write(redis, gateway, entries)));
        Self { waiting, gateway }
    }

    /// Gives when the session stands in the index. Who stops waiting does not take it back.
    pub(super) async fn enter(
        &self,
        user: &UserId,
        session: SessionId,
    ) -> Result<(), BackplaneError> {
        let (written, outcome) = oneshot::channel();
        let entry = Entry { session, user: user.clone(), written };
        // Both fail only once the lease has ended.
        let lost = || BackplaneError::LeaseLost(self.gateway);
        self.waiting.send(entry).await.map_err(|_| lost())?;
        outcome.await.map_err(|_| lost())?
    }
}

async fn write(redis: Redis, gateway: GatewayId, mut entries: mpsc::Receiver<Entry>) {
    let index = redis.inner.keys.lease_sessions(gateway);
    let mut batch = Vec::new();
    while entries.recv_many(&mut batch, BATCH).await > 0 {
        let mut set = Cmd::new();
        set.arg("HSET").arg(&index);
        for Entry { session, user, .. } in &batch {
            set.arg(session.to_string()).arg(user.as_str());
        }
        let outcome = redis.inner.servers.command::<()>(&index, set).await;
        for Entry { written, .. } in batch.drain(..) {
            // Fails only if nobody waits any more.
            let _ = written.send(outcome.clone());
        }
    }
}
