//! A gateway that leaves sends its clients to other gateways: in waves, so that these are not
//! stormed, and each client after a word of warning.
//!
//! A client is told `herald:reconnect`, and a moment later its transport is closed, which is what
//! stock clients come back after. Its sessions count as ended from that moment on: what is
//! accepted later waits in the inbox for the client's return.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rand::seq::SliceRandom as _;
use socketioxide::socket::Sid;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};

use crate::{context::Context, edge::CloseReason, end_cause::EndCause, session::Session};

/// Time between two waves.
const WAVE: Duration = Duration::from_millis(100);

/// Between the word to a client and its end, at most: for acknowledgements that are on their way,
/// and for what its socket has still to take.
const WARNING: Duration = Duration::from_secs(1);

/// The sessions that share a transport.
type Client = Vec<Arc<Session>>;

/// Sends all clients away, `rate` sessions a second, or more if they would not have left within
/// `time`. Over in a moment when they are few. New clients must be turned away by then; those
/// that were let in just before follow in a wave of their own.
pub(crate) async fn drain(context: &Arc<Context>, rate: u32, time: Duration) {
    let (begin, sessions) = (Instant::now(), context.sessions.len());
    if sessions == 0 {
        return;
    }
    let end = begin + time;
    let warning = WARNING.min(time / 4);
    tracing::info!(sessions, rate, within_ms = time.as_millis(), "draining");
    let all = async {
        while context.sessions.len() > 0 {
            let left = (end - warning).saturating_duration_since(Instant::now());
            send_away(context, rate, left, warning).await;
        }
    };
    let in_time = timeout_at(end, all).await.is_ok();
    let (left, ms) = (context.sessions.len(), begin.elapsed().as_millis());
    tracing::info!(sessions, left, ms, in_time, "drained");
}

/// Sends away who is there now, each `warning` after it was told; the last ones are told within
/// `left`.
async fn send_away(context: &Arc<Context>, rate: u32, left: Duration, warning: Duration) {
    let mut clients = clients(context);
    let sessions: usize = clients.iter().map(Vec::len).sum();
    let rate = f64::from(rate).max(sessions as f64 / left.as_secs_f64());
    let begin = Instant::now();
    let mut wave = interval(WAVE);
    wave.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    let mut leaving = JoinSet::new();
    while !clients.is_empty() {
        wave.tick().await;
        let due = rate * (begin.elapsed() + WAVE).as_secs_f64();
        let mut some = Vec::new();
        while (told as f64) < due
            && let Some(client) = clients.pop()
        {
            told += client.len();
            some.push(client);
        }
        leaving.spawn(dismiss(Arc::clone(context), some, warning));
    }
    leaving.join_all().await;
}

/// Everybody, in no order: neighbours in age or address do not leave together.
fn clients(context: &Context) -> Vec<Client> {
    let mut by_transport: HashMap<Sid, Client> = HashMap::new();
    for session in context.sessions.all() {
        by_transport.entry(session.sid()).or_default().push(session);
    }
    let mut clients: Vec<_> = by_transport.into_values().collect();
    clients.shuffle(&mut rand::rng());
    clients
}

/// Tells a wave, and closes it one by one over the second half of the `warning`.
async fn dismiss(context: Arc<Context>, wave: Vec<Client>, warning: Duration) {
    for session in wave.iter().flatten() {
        session.tell_reconnect(warning);
    }
    tokio::time::sleep(warning / 2).await;
    let (begin, count) = (Instant::now(), wave.len());
    for (nth, client) in wave.into_iter().enumerate() {
        let turn = (warning / 2).mul_f64(nth as f64 / count as f64);
        tokio::time::sleep_until(begin + turn).await;
        for session in &client {
            context.depart(session, EndCause::Draining);
        }
        client[0].close(CloseReason::Draining);
    }
}
