//! A gateway's own subscription: one dedicated connection that never gives up.
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
use herald_core::GatewayId;
use redis::{Cmd, PushInfo, PushKind, Value, aio::MultiplexedConnection};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Redis, backoff::Backoff, error::classify};
use crate::{
    BackplaneError, GatewayEvent,
    events::{Queued, Room, count_dropped},
    wire,
};

const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Shared between the connection's reader and the task that supervises it.
#[derive(Debug)]
struct Line {
    /// Messages were dropped since this was last looked at.
    missed: AtomicBool,
    wake: Notify,
    room: Room,
}

/// Subscribes to the channel of `id`, confirmed by Redis, and keeps the
/// subscription until `stop`, or until nobody takes the events any more.
pub(super) async fn open(
    redis: &Redis,
    id: GatewayId,
    events: mpsc::Sender<Queued>,
    stop: CancellationToken,
) -> Result<(), BackplaneError> {
    let line = Line { missed: AtomicBool::new(false), wake: Notify::new(), room: Room::new() };
    let line = Arc::new(line);
    let connection = subscribe(redis, id, &events, &line).await?;
    let supervise = supervise(redis.clone(), id, events, line, connection);
    tokio::spawn(stop.run_until_cancelled_owned(supervise));
    Ok(())
}

async fn supervise(
    redis: Redis,
    id: GatewayId,
    events: mpsc::Sender<Queued>,
    line: Arc<Line>,
    mut connection: MultiplexedConnection,
) {
    loop {
        let Some(why) = listen(&redis, &events, &line, &mut connection).await else { return };
        tracing::warn!(gateway_id = %id, why, "channel lost");
        metrics::counter!("herald_backplane_channel_lost_total").increment(1);
        let mut backoff = Backoff::new();
        connection = loop {
            match subscribe(&redis, id, &events, &line).await {
                Ok(connection) => break connection,
                Err(error) => tracing::debug!(gateway_id = %id, %error, "channel still lost"),
            }
            backoff.wait().await;
        };
        tracing::info!(gateway_id = %id, "channel regained");
        line.missed.store(true, Ordering::Release);
        line.wake.notify_one();
    }
}

/// Watches over a connection until it fails; says how. `None` when nobody takes
/// the events any more.
async fn listen(
    redis: &Redis,
    events: &mpsc::Sender<Queued>,
    line: &Line,
    connection: &mut MultiplexedConnection,
) -> Option<String> {
    let deadline = redis.inner.options.call_deadline;
    let mut probe = tokio::time::interval(PROBE_EVERY);
    probe.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = probe.tick() => {}
            () = line.wake.notified() => {}
            () = events.closed() => return None,
        }
        if line.missed.swap(false, Ordering::AcqRel) {
            events.send(GatewayEvent::Doubt.into()).await.ok()?;
        }
        let ping = Cmd::new().arg("PING").to_owned();
        match tokio::time::timeout(deadline, ping.query_async::<Value>(connection)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Some(error.to_string()),
            Err(_) => return Some(format!("no answer within {deadline:?}")),
        }
    }
}

async fn subscribe(
    redis: &Redis,
    id: GatewayId,
    events: &mpsc::Sender<Queued>,
    line: &Arc<Line>,
) -> Result<MultiplexedConnection, BackplaneError> {
    let deadline = redis.inner.options.call_deadline;
    let (events, reader_line) = (events.clone(), Arc::clone(line));
    let channel = redis.inner.keys.gateway_channel(id);
    let node = redis.inner.servers.home(&channel)?;
    let subscribing = async {
        let receive = move |push| receive(push, &events, &reader_line);
        let mut connection = node.listen(receive).await?;
        connection.subscribe(channel).await?;
        Ok(connection)
    };
    match tokio::time::timeout(deadline, subscribing).await {
        Ok(subscribed) => subscribed.map_err(|error| match classify(error) {
            // Nothing was written: whether this connection was subscribed does not matter.
            BackplaneError::Unknown(why) => BackplaneError::Unavailable(why),
            other => other,
        }),
        Err(_) => {
            Err(BackplaneError::Unavailable(format!("Redis did not answer within {deadline:?}")))
        }
    }
}

/// Runs on the connection's reader: must not wait.
fn receive(push: PushInfo, events: &mpsc::Sender<Queued>, line: &Line) {
    let dropped = match (push.kind, push.data.into_iter().nth(1)) {
        (PushKind::Message, Some(Value::BulkString(message))) => {
            match wire::decode_message(Bytes::from(message)) {
                Ok(mut queued) => {
                    let volatile = queued.is_volatile();
                    if line.room.hold(&mut queued) && events.try_send(queued).is_ok() {
                        return;
                    }
                    if volatile {
                        // There is nothing to read that would make good for it.
                        return count_dropped("full_volatile");
                    }
                    "full"
                }
                Err(error) => {
                    tracing::warn!(%error, "message dropped");
                    "unreadable"
                }
            }
        }
        (PushKind::Disconnection, _) => {
            line.wake.notify_one();
            return;
        }
        _ => return,
    };
    count_dropped(dropped);
    line.missed.store(true, Ordering::Release);
    line.wake.notify_one();
}
