//! Compares all sessions with the registry and with the tips of their inboxes, in bulk.
//!
//! Hints get lost, the last one before silence included; so do registry entries, when the
//! backplane loses something. Nobody says so. An audit finds out, from time to time and after each
//! doubt about the backplane, at the price of a few questions: what differs is repaired, session
//! by session, and the others are left alone.
//!
//! The registry may also have too much: a failover brings back what was taken out right before it. So
//! what stands under the lease and is no session here is removed, and so is, once more, what was removed
//! right before a doubt.
//!
//! It runs beside live traffic and takes second place to it: one question at a time, on none of
//! the connections of the hot path, with a pause after each at least as long as it took.

use std::{sync::Arc, time::Duration};

use herald_backplane::{BackplaneError, Believed, Finding, Health};
use herald_core::{Cursor, SessionId, UserId};
use rand::RngExt as _;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    backoff::Backoff, catch_up, context::Context, delivery::Doubt, figures, session::Session,
};

/// Sessions compared with one question.
const BATCH: usize = 500;

/// The shortest pause between two questions.
const PAUSE: Duration = Duration::from_millis(10);

/// For announcements that were on their way when a question was answered: most of what it found
/// behind has got them by then.
const SETTLE: Duration = Duration::from_millis(20);

/// Why an audit is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// It is time.
    Interval,
    /// The gateway's channel was interrupted, or dropped something.
    Channel,
    /// The backplane was away.
    Backplane,
}

impl Cause {
    /// All of them, to declare their figures.
    pub(crate) const ALL: [Self; 3] = [Self::Interval, Self::Channel, Self::Backplane];

    /// The cause as a label.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Interval => "interval",
            Self::Channel => "channel",
            Self::Backplane => "backplane",
        }
    }

    /// Whether hints were lost, rather than may have been.
    fn is_doubt(self) -> bool {
        self != Self::Interval
    }
}

/// Where audits are asked for.
#[derive(Debug, Default)]
pub(crate) struct Audits(Notify);

impl Audits {
    /// The channel was interrupted: an audit that begins after this call is to follow soon.
    /// However often it is asked for meanwhile, it is one.
    pub(crate) fn channel_doubted(&self) {
        self.0.notify_one();
    }
}

/// Audits again and again, at most `interval` apart. The pauses are spread, so that gateways that
/// were started together do not ask together.
pub(crate) async fn run(context: &Arc<Context>, interval: Duration) {
    let mut health = context.health.clone();
    health.mark_unchanged();
    loop {
        let share: f64 = rand::rng().random_range(0.75..=1.0);
        let cause = tokio::select! {
            () = context.audits.0.notified() => Cause::Channel,
            () = regained(&mut health) => Cause::Backplane,
            () = tokio::time::sleep(interval.mul_f64(share)) => Cause::Interval,
        };
        if cause.is_doubt() {
            context.departures.again();
        }
        audit(context, cause).await;
        remove_strangers(context).await;
    }
}

/// Takes out of the registry what stands under this gateway's lease and is no session of it. What
/// cannot be asked now is asked after the next audit.
async fn remove_strangers(context: &Context) {
    let Some(port) = context.lease.current() else { return };
    // A session is here before it is registered, so what is not here by the time of the answer has
    // ended, or never was.
    let standing = match context.call(port.registered(context.sessions.len())).await {
        Ok(standing) => standing,
        Err(error) => return tracing::debug!(%error, "registry not searched for strangers"),
    };
    let is_stranger = |(user, id): &(UserId, SessionId)| context.sessions.find(user, *id).is_none();
    let strangers = standing.into_iter().filter(is_stranger);
    let removed =
        strangers.filter(|(user, id)| context.departures.push_stranger(user.clone(), *id));
    let count = removed.count();
    if count > 0 {
        context.figures.strangers.increment(count as u64);
        tracing::info!(sessions = count, "sessions removed that are registered and not here");
    }
}

/// Waits until the backplane answers, having been away.
async fn regained(health: &mut watch::Receiver<Health>) {
    loop {
        if health.changed().await.is_err() {
            // The backplane has ended, and the gateway with it.
            return std::future::pending().await;
        }
        if *health.borrow_and_update() == Health::Ready {
            return;
        }
    }
}

/// What an audit came to.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    sessions: usize,
    unregistered: usize,
    behind: usize,
    round_trips: u32,
}

/// One audit of all sessions.
async fn audit(context: &Arc<Context>, cause: Cause) {
    let sessions = context.sessions.all();
    if sessions.is_empty() {
        return;
    }
    let start = Instant::now();
    let mut tally = Tally::default();
    for some in sessions.chunks(BATCH) {
        let asked = Instant::now();
        if !compare(context, some, cause, &mut tally).await {
            return;
        }
        tokio::time::sleep(asked.elapsed().max(PAUSE)).await;
    }
    let took = start.elapsed();
    figures::audits(cause).increment(1);
    context.figures.audit_seconds.record(took);
    let Tally { sessions, unregistered, behind, round_trips } = tally;
    if cause.is_doubt() || unregistered > 0 || behind > 0 {
        let (cause, ms) = (cause.as_str(), took.as_millis());
        tracing::info!(cause, sessions, unregistered, behind, round_trips, ms, "sessions audited");
    }
}

/// Compares some sessions, as long as it takes; `false` if all of them are in doubt already
/// because there is another lease.
async fn compare(
    context: &Arc<Context>,
    sessions: &[Arc<Session>],
    cause: Cause,
    tally: &mut Tally,
) -> bool {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    loop {
        let port = context.lease.held().await;
        let (asked, believed): (Vec<_>, Vec<_>) = sessions
            .iter()
            .filter_map(|session| {
                let cursor = session.to_audit(cause.is_doubt())?;
                let user = session.user().clone();
                Some((session, Believed { user, session: session.id(), cursor }))
            })
            .unzip();
        let error = match context.call(port.audit(&believed)).await {
            Ok(audit) => {
                context.figures.audited.increment(believed.len() as u64);
                context.figures.audit_round_trips.increment(audit.round_trips.into());
                context.figures.unaudited.increment(audit.unreadable as u64);
                tally.sessions += believed.len();
                tally.round_trips += audit.round_trips;
                if !audit.findings.is_empty() {
                    tokio::time::sleep(SETTLE).await;
                }
                if context.lease.current().is_none_or(|now| now.id() != port.id()) {
                    return false;
                }
                for finding in &audit.findings {
                    let (session, was) = (asked[finding.nth], believed[finding.nth].cursor);
                    repair(context, session, was, finding, tally);
                }
                return true;
            }
            Err(error) => error,
        };
        context.figures.audits_failed.increment(1);
        match error {
            BackplaneError::LeaseLost(_) => return false,
            error if error.is_retryable() => {
                tracing::debug!(%error, "sessions not audited yet");
                backoff.pause().await;
                context.healthy().await;
            }
            error => {
                tracing::warn!(%error, sessions = believed.len(), "sessions cannot be audited");
                return true;
            }
        }
    }
}

fn repair(
    context: &Arc<Context>,
    session: &Arc<Session>,
    was: Cursor,
    finding: &Finding,
    tally: &mut Tally,
) {
    let Some(doubt) = session.audited(was, finding) else { return };
    if doubt == Doubt::Unregistered {
        context.figures.unregistered.increment(1);
        tally.unregistered += 1;
    } else {
        context.figures.behind.increment(1);
        tally.behind += 1;
    }
    catch_up::start(context, Arc::clone(session), Some(doubt));
}
