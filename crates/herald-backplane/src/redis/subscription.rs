//! A subscription to one channel: a dedicated connection that never gives up.
//!
//! It speaks RESP3, so that the very connection that carries the messages can be
//! probed with PING: a link that went silent is noticed though nothing was closed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use redis::{Cmd, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::sync::{Notify, watch};

use super::{Redis, backoff::Backoff, error::classify, node::Node};
use crate::BackplaneError;

const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Who takes what comes on a channel.
pub(super) trait Listener: Send + Sync + 'static {
    /// Takes a message. Runs on the connection's reader: must not wait. False if it was dropped and
    /// a doubt has to make good for it.
    fn hear(&self, message: Bytes) -> bool;

    /// Any number of messages may have been missed. False when nobody listens any more.
    fn doubt(&self) -> impl Future<Output = bool> + Send;

    /// Completes when nobody listens any more.
    fn closed(&self) -> impl Future<Output = ()> + Send;

    /// The channel is there, or is not.
    fn listens(&self, _listens: bool) {}
}

/// A channel and who listens to it.
pub(super) struct Subscription<L> {
    redis: Redis,
    channel: String,
    line: Arc<Line<L>>,
    /// Since before the first connection: what moves from then on is noticed.
    moves: watch::Receiver<u64>,
}

/// A connection that is subscribed, and to which server.
pub(super) struct Subscribed {
    node: Node,
    connection: MultiplexedConnection,
}

/// Shared between the connection's reader and the task that supervises it.
struct Line<L> {
    listener: L,
    /// Messages were dropped since this was last looked at.
    missed: AtomicBool,
    /// The server has ended the subscription since this was last looked at.
    ended: AtomicBool,
    wake: Notify,
}

impl<L: Listener> Subscription<L> {
    pub(super) fn new(redis: Redis, channel: String, listener: L) -> Self {
        let line = Line {
            listener,
            missed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            wake: Notify::new(),
        };
        let moves = redis.inner.servers.moves();
        Self { redis, channel, line: Arc::new(line), moves }
    }

    /// Subscribes once, confirmed by Redis.
    pub(super) async fn connect(&self) -> Result<Subscribed, BackplaneError> {
        let deadline = self.redis.inner.options.call_deadline;
        let line = Arc::clone(&self.line);
        let node = self.redis.inner.servers.home(&self.channel)?;
        let subscribing = async {
            let mut connection = node.listen(move |push| line.receive(push)).await?;
            self.redis.inner.servers.subscribe(&mut connection, &self.channel).await?;
            Ok(Subscribed { node: node.clone(), connection })
        };
        match tokio::time::timeout(deadline, subscribing).await {
            Ok(subscribed) => subscribed.map_err(|error| match classify(error) {
                // Nothing was written: whether this connection was subscribed does not matter.
                BackplaneError::Unknown(why) => BackplaneError::Unavailable(why),
                other => other,
            }),
            Err(_) => Err(BackplaneError::Unavailable(format!(
                "Redis did not answer within {deadline:?}"
            ))),
        }
    }

    /// Keeps the subscription, from `subscribed` on if there is one, until nobody listens any more.
    /// Each one that is made here begins with a doubt.
    pub(super) async fn keep(mut self, mut subscribed: Option<Subscribed>) {
        loop {
            let connected = match subscribed.take() {
                Some(subscribed) => subscribed,
                None => match self.connect_again().await {
                    Some(subscribed) => subscribed,
                    None => return,
                },
            };
            self.line.listener.listens(true);
            let lost = self.watch_over(connected).await;
            self.line.listener.listens(false);
            let Some(why) = lost else { return };
            tracing::warn!(channel = self.channel, why, "channel lost");
            metrics::counter!("herald_backplane_channel_lost_total").increment(1);
        }
    }

    async fn connect_again(&self) -> Option<Subscribed> {
        let mut backoff = Backoff::new();
        loop {
            match self.connect().await {
                Ok(subscribed) => {
                    tracing::info!(channel = self.channel, "channel connected");
                    self.line.missed.store(true, Ordering::Release);
                    self.line.wake.notify_one();
                    return Some(subscribed);
                }
                Err(error) => tracing::debug!(channel = self.channel, %error, "no channel yet"),
            }
            tokio::select! {
                () = backoff.wait() => {}
                () = self.line.listener.closed() => return None,
            }
        }
    }

    /// Watches over a connection until it fails; says how. `None` when nobody listens any more.
    async fn watch_over(&mut self, subscribed: Subscribed) -> Option<String> {
        let Subscribed { node, mut connection } = subscribed;
        let deadline = self.redis.inner.options.call_deadline;
        let Line { listener, missed, ended, wake } = &*self.line;
        let mut probe = tokio::time::interval(PROBE_EVERY);
        probe.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = probe.tick() => {}
                () = wake.notified() => {}
                Ok(()) = self.moves.changed() => {
                    // Who is a master now may not have all that the one before it had.
                    missed.store(true, Ordering::Release);
                    if self.redis.inner.servers.home(&self.channel).is_ok_and(|home| home != node) {
                        return Some("its place is on another server now".into());
                    }
                }
                () = listener.closed() => return None,
            }
            if ended.swap(false, Ordering::AcqRel) {
                return Some("its slot went to another server".into());
            }
            if missed.swap(false, Ordering::AcqRel) && !listener.doubt().await {
                return None;
            }
            let ping = Cmd::new().arg("PING").to_owned();
            match tokio::time::timeout(deadline, ping.query_async::<Value>(&mut connection)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Some(error.to_string()),
                Err(_) => return Some(format!("no answer within {deadline:?}")),
            }
        }
    }
}

impl<L: Listener> Line<L> {
    /// Runs on the connection's reader: must not wait.
    fn receive(&self, push: PushInfo) {
        match (push.kind, push.data.into_iter().nth(1)) {
            (PushKind::Message | PushKind::SMessage, Some(Value::BulkString(message))) => {
                if self.listener.hear(Bytes::from(message)) {
                    return;
                }
                self.missed.store(true, Ordering::Release);
            }
            (PushKind::SUnsubscribe, _) => self.ended.store(true, Ordering::Release),
            (PushKind::Disconnection, _) => {}
            _ => return,
        }
        self.wake.notify_one();
    }
}
