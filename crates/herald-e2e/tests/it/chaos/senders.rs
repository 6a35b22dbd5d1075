//! Backends: one a user, which sends one notice at a time, so that the order of acceptance is known.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use herald_loadgen::{Accepted, Checker, Outgoing, SendError, Sender, WaitFor};
use rand::{RngExt as _, rngs::StdRng};
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval_at, sleep};
use tonic::Code;

use super::{journal::Journal, receipts::Receipts};

/// How long a notice with a key is tried. On a busy machine a whole plan may not be enough.
const PATIENCE: Duration = Duration::from_secs(40);

/// Longest pause before a retry, whatever the answer asks for.
const PAUSE: Duration = Duration::from_millis(500);

/// For how long receipts are waited for: shorter than a call may take, and than most faults last.
const WAIT: Range<u64> = 100..1_500;

/// Of what expires, some does soon and some after all is over.
const SOON: Duration = Duration::from_millis(1_500);
const LATE: Duration = Duration::from_secs(3_600);

/// What every notice holds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Payload {
    /// The user's how many-th it is.
    pub(crate) n: u64,
    /// When it was first sent, in microseconds since the journal's epoch.
    pub(crate) at: u64,
    fill: String,
}

impl Payload {
    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

/// What became of notices.
#[derive(Debug, Default)]
pub(crate) struct Fates {
    accepted: AtomicUsize,
    duplicates: AtomicUsize,
    refused: AtomicUsize,
    unknown: AtomicUsize,
    volatile: AtomicUsize,
    volatile_failed: AtomicUsize,
    tries: AtomicUsize,
}

impl fmt::Display for Fates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicUsize| count.load(Relaxed);
        write!(
            f,
            "{} accepted ({} of them by an earlier try), {} refused, {} unknown; {} volatile sent, {} \
             not; {} tries",
            of(&self.accepted),
            of(&self.duplicates),
            of(&self.refused),
            of(&self.unknown),
            of(&self.volatile),
            of(&self.volatile_failed),
            of(&self.tries),
        )
    }
}

/// How a notice is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Tried until it is accepted.
    Keyed,
    /// Once.
    Once,
    /// Once, to no inbox.
    Volatile,
}

/// One user's backend.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) user: String,
    /// To all notifiers, over gRPC and HTTP.
    pub(crate) producers: Vec<Sender>,
    pub(crate) checker: Checker,
    pub(crate) journal: Journal,
    pub(crate) receipts: Receipts,
    pub(crate) fates: Arc<Fates>,
    pub(crate) dice: StdRng,
    /// Time between two notices.
    pub(crate) pace: Duration,
    /// Whether all of them are large.
    pub(crate) heavy: bool,
    pub(crate) sent: u64,
}

impl Backend {
    /// Sends until `end`; returns itself for a last word.
    pub(crate) async fn send_until(mut self, end: Instant) -> Self {
        let first = Instant::now() + self.pace.mul_f64(self.dice.random());
        let mut pace = interval_at(first.into(), self.pace);
        // What was not sent in an outage is not made up for: the system would only drown.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = pace.tick().await;
            if now >= end.into() {
                return self;
            }
            let (way, ttl, fill) = match self.dice.random_range(0..100) {
                _ if self.heavy => (Way::Keyed, None, self.dice.random_range(15_000..40_000)),
                0..20 => (Way::Once, None, 50),
                20..30 => (Way::Volatile, None, 50),
                30..35 => (Way::Keyed, Some(SOON), 50),
                35..40 => (Way::Keyed, Some(LATE), 50),
                40..43 => (Way::Keyed, None, self.dice.random_range(4_000..20_000)),
                _ => (Way::Keyed, None, self.dice.random_range(20..300)),
            };
            self.send(way, ttl, fill).await;
        }
    }

    /// The last one, with nothing in the way any more.
    pub(crate) async fn send_last(&mut self) {
        self.send(Way::Keyed, None, 20).await;
    }

    async fn send(&mut self, way: Way, ttl: Option<Duration>, fill: usize) {
        let n = self.sent;
        self.sent += 1;
        let at = u64::try_from(self.journal.epoch.elapsed().as_micros()).unwrap();
        let payload = Payload { n, at, fill: "x".repeat(fill) };
        let notice = Outgoing {
            volatile: way == Way::Volatile,
            ttl,
            wait: self.wait().filter(|_| way != Way::Volatile),
            idempotency_key: if way == Way::Keyed { format!("{n}") } else { String::new() },
            ..Outgoing::new(&self.user, serde_json::to_string(&payload).unwrap())
        };
        match way {
            Way::Keyed => self.send_with_key(n, &notice).await,
            Way::Once => self.send_once(n, &notice).await,
            Way::Volatile => {
                self.checker.volatile(&self.user, &notice.payload);
                let fate = match self.attempt(n, &notice).await {
                    Ok(_) => &self.fates.volatile,
                    Err(_) => &self.fates.volatile_failed,
                };
                fate.fetch_add(1, Relaxed);
            }
        }
    }

    /// What one of some notices waits for.
    fn wait(&mut self) -> Option<(WaitFor, Duration)> {
        let what = match self.dice.random_range(0..100) {
            0..5 => WaitFor::Emitted,
            5..20 => WaitFor::AckedAny,
            20..30 => WaitFor::AckedAll,
            _ => return None,
        };
        Some((what, Duration::from_millis(self.dice.random_range(WAIT))))
    }

    async fn send_with_key(&mut self, n: u64, notice: &Outgoing) {
        let begin = Instant::now();
        let mut unknown = false;
        loop {
            let error = match self.attempt(n, notice).await {
                Ok(accepted) => return self.accepted(notice, &accepted),
                Err(error) => error,
            };
            unknown |= !is_refusal(&error);
            if !error.is_retryable() {
                self.journal.wrong_of(&self.user, Some(n), format!("gave up: {error}"));
            }
            if begin.elapsed() > PATIENCE || !error.is_retryable() {
                return self.not_accepted(notice, unknown);
            }
            sleep(error.retry_after.unwrap_or(PAUSE).min(PAUSE)).await;
        }
    }

    async fn send_once(&mut self, n: u64, notice: &Outgoing) {
        match self.attempt(n, notice).await {
            Ok(accepted) => self.accepted(notice, &accepted),
            Err(error) => self.not_accepted(notice, !is_refusal(&error)),
        }
    }

    async fn attempt(&mut self, n: u64, notice: &Outgoing) -> Result<Accepted, SendError> {
        let nth = self.dice.random_range(0..self.producers.len());
        self.journal.note(&self.user, Some(n), format!("sent by producer {nth}"));
        self.fates.tries.fetch_add(1, Relaxed);
        let answer = self.producers[nth].send(notice).await;
        let text = match &answer {
            Ok(accepted) => {
                if let Some((what, _)) = notice.wait {
                    for wrong in self.receipts.told(what, accepted) {
                        self.journal.wrong_of(&self.user, Some(n), wrong);
                    }
                }
                let Accepted { notice_id, duplicate, outcome, sessions, .. } = accepted;
                let again = if *duplicate { " by an earlier try" } else { "" };
                format!("accepted{again} as {notice_id}, {outcome}, {sessions:?}")
            }
            Err(error) => {
                if matches!(
                    error.code,
                    Code::Internal | Code::InvalidArgument | Code::AlreadyExists
                ) {
                    self.journal.wrong_of(&self.user, Some(n), error.to_string());
                }
                format!("answered {error}")
            }
        };
        self.journal.note(&self.user, Some(n), text);
        answer
    }

    fn accepted(&self, notice: &Outgoing, accepted: &Accepted) {
        // Counted from its acceptance, which was earlier.
        let expires = notice.ttl.map(|ttl| Instant::now() + ttl);
        self.checker.accepted_until(&self.user, &accepted.notice_id, &notice.payload, expires);
        self.fates.accepted.fetch_add(1, Relaxed);
        if accepted.duplicate {
            self.fates.duplicates.fetch_add(1, Relaxed);
        }
    }

    fn not_accepted(&self, notice: &Outgoing, unknown: bool) {
        if unknown {
            let expires = notice.ttl.map(|ttl| Instant::now() + ttl);
            self.checker.unknown_until(&self.user, &notice.payload, expires);
            self.fates.unknown.fetch_add(1, Relaxed);
        } else {
            self.checker.refused(&self.user, &notice.payload);
            self.fates.refused.fetch_add(1, Relaxed);
        }
    }
}

/// Whether the answer says that the notice was not accepted. That is more than callers may rely on
/// with UNAVAILABLE; but if it is said, it shall be true.
fn is_refusal(error: &SendError) -> bool {
    !error.is_unknown() || error.message.starts_with("the notice was not accepted")
}
