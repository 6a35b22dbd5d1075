//! Clients that come back, as the official ones do.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use ::http::StatusCode;
use rand::RngExt as _;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    checker::Reader,
    error::{CloseReason, ConnectError},
    event::{Event, Notice},
    options::SessionOptions,
    session::Session,
};

/// Where clients connect, and how long they wait before they try again.
#[derive(Debug, Clone)]
pub struct Habits {
    /// The gateways. An attempt begins with any of them and goes on to the next one when it is
    /// refused or there is nobody, as it would through a proxy.
    pub gateways: Vec<SocketAddr>,
    /// The pause before the first attempt to return; it doubles with each that fails. All pauses
    /// are spread by a half either way.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Habits {
    /// The pauses of `socket.io-client`: from one second up to five.
    pub fn new(gateways: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            gateways: gateways.into_iter().collect(),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(5),
        }
    }

    fn pause(&self, failed: u32) -> Duration {
        let grown = self.first_pause.saturating_mul(1 << failed.min(16)).min(self.longest_pause);
        grown.mul_f64(rand::rng().random_range(0.5..1.5))
    }
}

/// What became of many clients together.
#[derive(Debug, Default)]
pub struct Turnout {
    present: AtomicUsize,
    stay_away: AtomicUsize,
    refused: AtomicUsize,
    failed: AtomicUsize,
    warned: AtomicUsize,
    absences: Mutex<Vec<Duration>>,
}

impl Turnout {
    /// Clients that are there now: connected, and told `herald:ready`.
    pub fn present(&self) -> usize {
        self.present.load(Relaxed)
    }

    /// Clients that were told not to come back (a connect_error, or Socket.IO's DISCONNECT).
    pub fn stay_away(&self) -> usize {
        self.stay_away.load(Relaxed)
    }

    /// Handshakes that a gateway answered 503.
    pub fn refused(&self) -> usize {
        self.refused.load(Relaxed)
    }

    /// Attempts that failed otherwise.
    pub fn failed(&self) -> usize {
        self.failed.load(Relaxed)
    }

    /// Ends that were announced with `herald:reconnect`.
    pub fn warned(&self) -> usize {
        self.warned.load(Relaxed)
    }

    /// Of each return: from the end of a connection to the next `herald:ready`.
    pub fn absences(&self) -> Vec<Duration> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.absences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that comes back with its cursor until it is told to leave. Dropped, its connection
/// breaks.
#[derive(Debug)]
pub struct Returning {
    task: JoinHandle<()>,
    leave: CancellationToken,
    cut: Arc<Notify>,
}

impl Returning {
    /// Starts one; it connects in the background, and is `present` some time later. What it
    /// receives goes to `look`, and then to `reader`. Of the `options` the address does not
    /// matter.
    pub fn start(
        options: SessionOptions,
        habits: Arc<Habits>,
        reader: Arc<Reader>,
        turnout: Arc<Turnout>,
        look: impl FnMut(&Notice) + Send + 'static,
    ) -> Self {
        let (leave, cut) = (CancellationToken::new(), Arc::new(Notify::new()));
        let client = Client { options, habits, reader, turnout, look, gone_since: None };
        let task = tokio::spawn(client.live(leave.clone(), Arc::clone(&cut)));
        Self { task, leave, cut }
    }

    /// Breaks its connection, without a word; it comes back.
    pub fn cut(&self) {
        self.cut.notify_one();
    }

    /// Takes leave as official clients do.
    pub async fn close(mut self) {
        self.leave.cancel();
        if let Err(error) = (&mut self.task).await {
            // The task was not aborted: its handle is here.
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Client<L> {
    options: SessionOptions,
    habits: Arc<Habits>,
    reader: Arc<Reader>,
    turnout: Arc<Turnout>,
    look: L,
    gone_since: Option<Instant>,
}

impl<L: FnMut(&Notice) + Send> Client<L> {
    async fn live(mut self, leave: CancellationToken, cut: Arc<Notify>) {
        loop {
            let Some(Some(mut session)) = leave.run_until_cancelled(self.come()).await else {
                return;
            };
            let end = tokio::select! {
                end = self.read(&mut session) => end,
                () = cut.notified() => CloseReason::Local,
                () = leave.cancelled() => return session.close().await,
            };
            if end == CloseReason::ServerDisconnect {
                self.turnout.stay_away.fetch_add(1, Relaxed);
                return;
            }
            self.gone_since = self.gone_since.or(Some(Instant::now()));
        }
    }

    /// A connection, as long as it takes; `None` when it is told to stay away.
    async fn come(&mut self) -> Option<Session> {
        let mut failed = 0;
        if self.gone_since.is_some() {
            tokio::time::sleep(self.habits.pause(failed)).await;
        }
        loop {
            match self.attempt().await {
                Ok(session) => return Some(session),
                Err(error) if error.is_retryable() => failed += 1,
                Err(_) => {
                    self.turnout.stay_away.fetch_add(1, Relaxed);
                    return None;
                }
            }
            tokio::time::sleep(self.habits.pause(failed)).await;
        }
    }

    /// One attempt, at each gateway until one takes it; gives the last one's error.
    async fn attempt(&mut self) -> Result<Session, ConnectError> {
        let gateways = &self.habits.gateways;
        let first = rand::rng().random_range(0..gateways.len());
        let mut tried = 0;
        loop {
            self.options.address = gateways[(first + tried) % gateways.len()];
            tried += 1;
            let error = match Session::connect(self.options.clone()).await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            let refused = error.status() == Some(StatusCode::SERVICE_UNAVAILABLE);
            let count = if refused { &self.turnout.refused } else { &self.turnout.failed };
            count.fetch_add(1, Relaxed);
            if tried == gateways.len() || !error.is_retryable() {
                return Err(error);
            }
        }
    }

    /// Reads until the connection ends: why it did.
    async fn read(&mut self, session: &mut Session) -> CloseReason {
        let mut present = Present { turnout: Arc::clone(&self.turnout), counted: false };
        loop {
            match session.next().await {
                Some(Event::Ready(ready)) => {
                    self.reader.begin(&ready.session);
                    // Who has a place keeps it: the gap that may follow could be lost.
                    self.options.cursor.get_or_insert(ready.cursor);
                    let absence = self.gone_since.take().map(|since| since.elapsed());
                    self.turnout.lock().extend(absence);
                    present.count();
                }
                Some(Event::Notice(notice)) => {
                    (self.look)(&notice);
                    self.reader.received(&notice);
                    if !notice.cursor.is_empty() {
                        self.options.cursor = Some(notice.cursor);
                    }
                }
                Some(Event::Gap(gap)) => {
                    self.options.cursor = gap.floor.clone();
                    self.reader.gap(gap);
                }
                Some(Event::Other { event, .. }) => {
                    let warned = usize::from(event == "herald:reconnect");
                    self.turnout.warned.fetch_add(warned, Relaxed);
                }
                Some(Event::Closed(reason)) => return reason,
                None => return CloseReason::Local,
            }
        }
    }
}

/// Counts a client as present until it is dropped.
struct Present {
    turnout: Arc<Turnout>,
    counted: bool,
}

impl Present {
    fn count(&mut self) {
        if !std::mem::replace(&mut self.counted, true) {
            self.turnout.present.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        if self.counted {
            self.turnout.present.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_those_of_the_official_client() {
        let habits = Habits::new([]);
        for _ in 0..100 {
            for (failed, [least, most]) in [(0, [500, 1_500]), (1, [1_000, 3_000])] {
                let pause = habits.pause(failed).as_millis();
                assert!((least..=most).contains(&pause), "{pause}");
            }
            assert!(habits.pause(40) <= Duration::from_millis(7_500));
        }
    }
}
