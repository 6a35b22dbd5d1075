//! Waiting for receipts: from gateways' reports to who waits for them.
//!
//! A wait is there before its notice is dispatched, so that no report can come too early. Reports
//! are noted as they come, whoever is being polled; each wait looks at what is known when that
//! changes, and ends by itself at its time.

pub(crate) mod progress;
pub(crate) mod questions;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use herald_backplane::{
    Dispatched, NotifierPort, ReceiptEvent, ReceiptEvents, ReceiptsWanted, Report,
};
use herald_core::{NotifierId, Place, UserId};
use herald_service::Shutdown;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{Instant, timeout_at},
};

pub(crate) use self::progress::{Goal, Progress};
use self::questions::Questions;
use crate::{
    error::Error,
    metrics::{Metrics, WaitOutcome},
};

/// How long a notice may be held back for the channel to be there, so that its first receipts are
/// heard. It is not there at the start, and after an interruption.
const CHANNEL_PATIENCE: Duration = Duration::from_millis(500);

/// After a notice's ttl, for reports on their way.
const SETTLE: Duration = Duration::from_secs(1);

/// Waits that look at what is kept, at a time: after an interruption all of them do.
const LOOKING: usize = 32;

/// What is waited for, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) goal: Goal,
    pub(crate) timeout: Duration,
}

/// All waits of a notifier.
#[derive(Debug)]
pub(crate) struct Hub {
    port: NotifierPort,
    id: NotifierId,
    listening: watch::Receiver<bool>,
    /// Until when notices are held back for the channel, since it was found missing.
    patience: Mutex<Option<Instant>>,
    waits: Mutex<HashMap<u64, Arc<Entry>>>,
    questions: Questions,
    limit: usize,
    looking: Semaphore,
    shutdown: Shutdown,
    /// What is left to a wait once the notifier is to end.
    hurry: Duration,
    metrics: Metrics,
}

/// One wait, as reports find it.
#[derive(Debug)]
struct Entry {
    started: Instant,
    progress: Mutex<Progress>,
    changed: Notify,
    /// Reports may be missing: what is kept is to be looked at.
    doubted: AtomicBool,
}

impl Entry {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A report has come.
    fn report(&self, report: Report, metrics: &Metrics) {
        let mut progress = self.progress();
        let before = (progress.is_emitted(), progress.is_acked());
        progress.report(report);
        let after = (progress.is_emitted(), progress.is_acked());
        drop(progress);
        if !before.0 && after.0 {
            metrics.emitted(self.started.elapsed());
        }
        if !before.1 && after.1 {
            metrics.acked(self.started.elapsed());
        }
        self.changed.notify_one();
    }
}

impl Hub {
    /// Begins to listen; [`run`](Self::run) takes what comes. At most `limit` may wait at a time.
    /// Once the notifier is to end, waits have `hurry` left.
    pub(crate) fn open(
        port: NotifierPort,
        limit: usize,
        shutdown: Shutdown,
        hurry: Duration,
        metrics: Metrics,
    ) -> (Arc<Self>, ReceiptEvents) {
        let events = port.receipts(NotifierId::random());
        let hub = Self {
            port,
            id: events.id(),
            listening: events.listening(),
            patience: Mutex::default(),
            waits: Mutex::default(),
            questions: Questions::default(),
            limit,
            looking: Semaphore::new(LOOKING),
            shutdown,
            hurry,
            metrics,
        };
        (Arc::new(hub), events)
    }

    /// Notes what gateways report, for as long as the backplane is there.
    pub(crate) async fn run(self: Arc<Self>, mut events: ReceiptEvents) {
        while let Some(event) = events.next().await {
            match event {
                ReceiptEvent::Report { token, report } => {
                    let entry = self.waits().get(&token).cloned();
                    self.metrics.report(entry.is_some());
                    if let Some(entry) = entry {
                        entry.report(report, &self.metrics);
                    }
                }
                ReceiptEvent::Places { token, places } => {
                    self.metrics.report(self.questions.answer(token, places));
                }
                ReceiptEvent::Doubt => {
                    for entry in self.waits().values() {
                        entry.doubted.store(true, Ordering::Release);
                        entry.changed.notify_one();
                    }
                }
            }
        }
    }

    /// A wait for a notice that is about to be dispatched.
    pub(crate) async fn begin(self: &Arc<Self>, wait: Wait) -> Result<Waiting, Error> {
        let waiting = {
            let mut waits = self.waits();
            if waits.len() >= self.limit {
                self.metrics.wait(wait.goal, WaitOutcome::Refused);
                return Err(Error::Waits { limit: self.limit });
            }
            let entry = Arc::new(Entry {
                started: Instant::now(),
                progress: Mutex::new(Progress::new(wait.goal)),
                changed: Notify::new(),
                doubted: AtomicBool::new(false),
            });
            let token = rand::random();
            waits.insert(token, Arc::clone(&entry));
            self.metrics.waits_open().increment(1.0);
            Waiting { hub: Arc::clone(self), token, entry, wait }
        };
        self.channel(Instant::now() + wait.timeout).await;
        Ok(waiting)
    }

    /// Waits for the channel to be there, but not for long, and once for all that want it.
    async fn channel(&self, end: Instant) {
        let mut listening = self.listening.clone();
        let until = {
            let mut patience = self.patience.lock().unwrap_or_else(PoisonError::into_inner);
            if *listening.borrow_and_update() {
                *patience = None;
                return;
            }
            *patience.get_or_insert_with(|| Instant::now() + CHANNEL_PATIENCE)
        };
        let _ = timeout_at(until.min(end), listening.wait_for(|listening| *listening)).await;
    }

    fn waits(&self) -> MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A wait that is there for reports to find, until this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    hub: Arc<Hub>,
    token: u64,
    entry: Arc<Entry>,
    wait: Wait,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.hub.waits().remove(&self.token);
        self.hub.metrics.waits_open().decrement(1.0);
    }
}

/// What is known when a wait is over.
#[derive(Debug)]
pub(crate) struct Known<'w> {
    pub(crate) progress: MutexGuard<'w, Progress>,
    /// Its time was over, rather than anything known for good.
    pub(crate) at_the_end: bool,
}

impl Waiting {
    /// What the notice has to carry.
    pub(crate) fn wanted(&self) -> ReceiptsWanted {
        let acks = self.wait.goal.needs_acks();
        ReceiptsWanted { notifier: self.hub.id, token: self.token, acks }
    }

    /// The notice is accepted: who its targets are is known from now on.
    pub(crate) fn dispatched(
        self,
        user: UserId,
        ttl: Option<Duration>,
        accepted: Dispatched,
    ) -> Open {
        let now = Instant::now();
        let Dispatched { place, duplicate, at_ms, targets, .. } = accepted;
        self.entry.progress().dispatched(targets, at_ms);
        if duplicate && self.wait.goal.needs_acks() {
            self.entry.doubted.store(true, Ordering::Release);
        }
        let end = now + self.wait.timeout;
        let expires = ttl.map(|ttl| now + ttl + SETTLE).filter(|expires| *expires < end);
        Open { waiting: self, user, place, duplicate, end, expires }
    }
}

/// A wait for a notice that is accepted.
#[derive(Debug)]
pub(crate) struct Open {
    waiting: Waiting,
    user: UserId,
    place: Place,
    duplicate: bool,
    end: Instant,
    /// After this nobody is handed the notice any more.
    expires: Option<Instant>,
}

impl Open {
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn is_duplicate(&self) -> bool {
        self.duplicate
    }

    /// Waits until the answer can no longer change, at the latest until the end of the wait, of
    /// the call (`deadline`), or of the notifier.
    pub(crate) async fn until_known(&mut self, deadline: Instant) -> Known<'_> {
        self.end = self.end.min(deadline);
        let mut hurried = false;
        let over = loop {
            if self.waiting.entry.doubted.swap(false, Ordering::AcqRel) {
                self.look().await;
            }
            if self.waiting.entry.progress().is_over() {
                break true;
            }
            let now = Instant::now();
            if now >= self.end {
                break false;
            }
            if self.expires.is_some_and(|expires| now >= expires) {
                self.expires = None;
                if !self.waiting.entry.progress().awaits_acks() {
                    break false;
                }
            }
            let wake = self.expires.unwrap_or(self.end);
            let hub = &self.waiting.hub;
            tokio::select! {
                () = self.waiting.entry.changed.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
                () = hub.shutdown.requested(), if !hurried => {
                    hurried = true;
                    self.end = self.end.min(Instant::now() + hub.hurry);
                }
            }
        };
        let progress = self.waiting.entry.progress();
        let outcome = match (over, progress.is_satisfied()) {
            (_, true) => WaitOutcome::Satisfied,
            (true, false) => WaitOutcome::Nobody,
            (false, false) => WaitOutcome::Unsatisfied,
        };
        self.waiting.hub.metrics.wait(self.waiting.wait.goal, outcome);
        Known { progress, at_the_end: !over }
    }

    /// Looks at what is kept, if there is anything.
    async fn look(&self) {
        if !self.waiting.wait.goal.needs_acks() {
            return;
        }
        let hub = &self.waiting.hub;
        let look = async {
            let _permit = hub.looking.acquire().await;
            hub.port.kept(&self.user, self.place).await
        };
        match timeout_at(self.end, look).await {
            Ok(Ok(kept)) => self.waiting.entry.progress().kept(kept),
            Ok(Err(error)) => tracing::debug!(%error, "kept receipts were not read"),
            Err(_) => {}
        }
    }
}
