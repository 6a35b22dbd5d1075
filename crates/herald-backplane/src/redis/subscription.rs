//! A subscription to one channel: a dedicated connection that never gives up.
//!
//! It speaks RESP3, so that the very connection that carries the messages can be
//! probed with PING; and it hears a [canary](super::canary) of its own every second. A
//! channel that went silent is noticed though nothing was closed, and replaced.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{Fuse, FusedFuture as _},
};
use redis::{Cmd, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::sync::{Notify, watch};

use super::{
    Redis,
    backoff::Backoff,
    canary::{Canary, Ear, LOOK, LOOKS_EACH, Look},
    error::classify,
    node::Node,
};
use crate::{BackplaneError, Health, figures};

/// A channel that was not heard for so many times the silence that it counts as lost after: a new
/// connection did not help.
const DEAF_AFTER: u32 = 2;

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
    health: watch::Sender<Health>,
    /// Something was heard, or could be, last.
    heard_at: Instant,
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
    /// A connection has ended since this was last looked at.
    suspect: AtomicBool,
    /// The server has ended the subscription since this was last looked at.
    ended: AtomicBool,
    wake: Notify,
    canary: Canary,
}

impl<L: Listener> Subscription<L> {
    /// `of` says in figures whose channel it is.
    pub(super) fn new(redis: Redis, of: &'static str, channel: String, listener: L) -> Self {
        let line = Line {
            listener,
            missed: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            wake: Notify::new(),
            canary: Canary::new(of),
        };
        metrics::counter!(figures::CHANNELS_LOST, "channel" => of).increment(0);
        let moves = redis.inner.servers.moves();
        let (health, heard_at) = (watch::Sender::new(Health::Ready), Instant::now());
        Self { redis, channel, line: Arc::new(line), health, heard_at, moves }
    }

    /// Follows whether the channel is heard; it is away when a new connection did not help.
    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
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
            let of = self.line.canary.of();
            tracing::warn!(channel = self.channel, why, "channel lost");
            metrics::counter!(figures::CHANNELS_LOST, "channel" => of).increment(1);
            self.deaf(&why);
        }
    }

    /// The channel is not heard. If that goes on, it is said.
    fn deaf(&self, why: &str) {
        let silent = self.heard_at.elapsed();
        if silent > self.redis.inner.options.channel_silence * DEAF_AFTER {
            let why = format!("nothing was heard on the channel for {silent:.1?}: {why}");
            self.health.send_replace(Health::Away(why));
        }
    }

    fn heard(&mut self) {
        self.heard_at = Instant::now();
        self.health.send_if_modified(|health| {
            let was_away = *health != Health::Ready;
            *health = Health::Ready;
            was_away
        });
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
                Err(error) => {
                    tracing::debug!(channel = self.channel, %error, "no channel yet");
                    self.deaf(&error.to_string());
                }
            }
            tokio::select! {
                () = backoff.wait() => {}
                () = self.line.listener.closed() => return None,
            }
        }
    }

    /// Watches over a connection until it fails; says how. `None` when nobody listens any more.
    async fn watch_over(&mut self, subscribed: Subscribed) -> Option<String> {
        let Subscribed { node, connection } = subscribed;
        let (redis, line, channel) =
            (self.redis.clone(), Arc::clone(&self.line), self.channel.clone());
        let Line { listener, missed, suspect, ended, wake, canary } = &*line;
        let silence = redis.inner.options.channel_silence;
        let (mut ear, mut looks) = (Ear::new(canary, silence), 0);
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut probe = std::pin::pin!(Fuse::terminated());
        loop {
            tokio::select! {
                _ = look.tick() => {
                    match ear.look() {
                        Look::Heard => self.heard(),
                        Look::Silent => {}
                        Look::Lost => {
                            return Some(format!("nothing came for {silence:?} though Redis took it"));
                        }
                    }
                    if looks % LOOKS_EACH == 0 {
                        suspect.store(true, Ordering::Release);
                    }
                    looks += 1;
                }
                probed = &mut probe => match probed {
                    Ok(taken) => ear.published(taken),
                    Err(why) => return Some(why),
                },
                () = wake.notified() => {}
                Ok(()) = self.moves.changed() => {
                    // Who is a master now may not have all that the one before it had.
                    missed.store(true, Ordering::Release);
                    if redis.inner.servers.home(&channel).is_ok_and(|home| home != node) {
                        return Some("its place is on another server now".into());
                    }
                }
                () = listener.closed() => return None,
            }
            // One at a time: one that waits for a silent server has to see it time out.
            if probe.is_terminated() && suspect.swap(false, Ordering::AcqRel) {
                let connection = connection.clone();
                probe.set(self::probe(&redis, &channel, canary.next(), connection).fuse());
            }
            if ended.swap(false, Ordering::AcqRel) {
                return Some("its slot went to another server".into());
            }
            if missed.swap(false, Ordering::AcqRel) && !listener.doubt().await {
                return None;
            }
        }
    }
}

/// Asks the subscribed connection, and publishes a canary in the way of all messages: whether the
/// server took that, or why the subscription is of no more use.
async fn probe(
    redis: &Redis,
    channel: &str,
    canary: Vec<u8>,
    mut connection: MultiplexedConnection,
) -> Result<bool, String> {
    let deadline = redis.inner.options.call_deadline;
    let ping = Cmd::new().arg("PING").to_owned();
    let ping = tokio::time::timeout(deadline, ping.query_async::<Value>(&mut connection));
    let (answered, heard_by) = tokio::join!(ping, redis.inner.servers.publish(channel, &canary));
    match answered {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no answer within {deadline:?}")),
    }
    match heard_by {
        Ok(0) => Err("Redis knows of no subscriber".into()),
        Ok(_) => Ok(true),
        Err(error) => {
            // Says nothing of the channel.
            tracing::debug!(channel, %error, "canary not sent");
            Ok(false)
        }
    }
}

impl<L: Listener> Line<L> {
    /// Runs on the connection's reader: must not wait.
    fn receive(&self, push: PushInfo) {
        match (push.kind, push.data.into_iter().nth(1)) {
            (PushKind::Message | PushKind::SMessage, Some(Value::BulkString(message))) => {
                if self.canary.hears(&message) || self.listener.hear(Bytes::from(message)) {
                    return;
                }
                self.missed.store(true, Ordering::Release);
            }
            (PushKind::SUnsubscribe, _) => self.ended.store(true, Ordering::Release),
            // Perhaps of the connection before: a probe tells.
            (PushKind::Disconnection, _) => self.suspect.store(true, Ordering::Release),
            _ => return,
        }
        self.wake.notify_one();
    }
}
