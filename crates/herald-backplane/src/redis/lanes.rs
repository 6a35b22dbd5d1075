//! A few shared, multiplexed connections that carry the hot path.
//!
//! Each lane is supervised by a task of its own that connects for ever, with
//! capped back-off, and probes it every half second with a script call: an
//! answer proves that Redis runs scripts (it may be loading, or hung), and
//! carries its clock. A lane that fails a probe is replaced; what was under way
//! on it fails as unknown.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{AsyncConnectionConfig, RedisError, Script, aio::MultiplexedConnection};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::{address::Address, backoff::Backoff, clock::RedisClock, error::classify};
use crate::{BackplaneError, Health};

const PROBE_EVERY: Duration = Duration::from_millis(500);

/// Commands that may wait to be written to one connection.
const WRITE_QUEUE: usize = 1_024;

/// Commands that may wait for their answer on one connection. Beyond that,
/// callers wait within their deadline.
const IN_FLIGHT: usize = 16_384;

/// The shared connections. Dropping it ends their tasks.
pub(crate) struct Lanes {
    lanes: Vec<Arc<Lane>>,
    next: AtomicUsize,
    shared: Arc<Shared>,
    stop: CancellationToken,
}

#[derive(Default)]
struct Lane {
    connection: Mutex<Option<MultiplexedConnection>>,
    broken: Notify,
}

struct Shared {
    address: Address,
    deadline: Duration,
    /// A probe that took longer breaks the unbroken health.
    hiccup: Duration,
    clock: Arc<RedisClock>,
    probe: Script,
    health: watch::Sender<Health>,
    /// Since when Redis answered without a break.
    healthy_since: Mutex<Option<Instant>>,
    connected: AtomicUsize,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("address", &self.shared.address.shown).finish_non_exhaustive()
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Lanes {
    /// Redis counts as having been away when it is silent for `hiccup`, which may be too short for
    /// a connection to be given up.
    pub(crate) fn open(
        address: Address,
        count: usize,
        deadline: Duration,
        hiccup: Duration,
    ) -> Self {
        let (health, _) = watch::channel(Health::Away("not connected yet".into()));
        let shared = Arc::new(Shared {
            address,
            deadline,
            hiccup,
            clock: Arc::new(RedisClock::new()),
            probe: Script::new("return redis.call('TIME')"),
            health,
            healthy_since: Mutex::new(None),
            connected: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        let lanes: Vec<_> = (0..count.max(1)).map(|_| Arc::new(Lane::default())).collect();
        for lane in &lanes {
            let supervise = supervise(Arc::clone(lane), Arc::clone(&shared));
            tokio::spawn(stop.clone().run_until_cancelled_owned(supervise));
        }
        Self { lanes, next: AtomicUsize::new(0), shared, stop }
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// For how long Redis has answered every probe at once.
    pub(crate) fn healthy_for(&self) -> Duration {
        lock(&self.shared.healthy_since).map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The deadline of a call that starts now, in Redis' time.
    pub(crate) fn deadline_ms(&self) -> i64 {
        self.deadline_within(self.shared.deadline)
    }

    /// An earlier deadline, in Redis' time.
    pub(crate) fn deadline_within(&self, wait: Duration) -> i64 {
        self.shared.clock.after(wait.min(self.shared.deadline))
    }

    pub(crate) fn clock(&self) -> Arc<RedisClock> {
        Arc::clone(&self.shared.clock)
    }

    pub(crate) fn address(&self) -> &Address {
        &self.shared.address
    }

    /// Runs `call` on a connection that is up.
    ///
    /// # Errors
    /// [`BackplaneError::Unavailable`] at once if none is; otherwise what
    /// [`classify`] makes of the failure.
    pub(crate) async fn run<T, F>(
        &self,
        call: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Result<T, BackplaneError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let up = (0..self.lanes.len()).find_map(|i| {
            let lane = &self.lanes[(start + i) % self.lanes.len()];
            lock(&lane.connection).clone().map(|connection| (lane, connection))
        });
        let Some((lane, connection)) = up else {
            return Err(BackplaneError::Unavailable(match &*self.shared.health.borrow() {
                Health::Away(why) => why.clone(),
                Health::Ready => format!("no connection to Redis at {}", self.shared.address.shown),
            }));
        };
        match tokio::time::timeout(self.shared.deadline, call(connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                if error.is_unrecoverable_error() || error.is_connection_dropped() {
                    lane.broken.notify_one();
                }
                Err(classify(error))
            }
            Err(_) => Err(BackplaneError::Unknown(format!(
                "Redis at {} did not answer within {:?}",
                self.shared.address.shown, self.shared.deadline
            ))),
        }
    }
}

/// Keeps one lane connected for ever.
async fn supervise(lane: Arc<Lane>, shared: Arc<Shared>) {
    let mut backoff = Backoff::new();
    loop {
        match shared.connect().await {
            Ok(connection) => {
                backoff.reset();
                *lock(&lane.connection) = Some(connection.clone());
                shared.up();
                let why = watch_over(&lane, &shared, connection).await;
                *lock(&lane.connection) = None;
                shared.down(&why);
            }
            Err(why) => shared.away(&why),
        }
        backoff.wait().await;
    }
}

/// Probes `connection` until it fails; says how.
async fn watch_over(lane: &Lane, shared: &Shared, mut connection: MultiplexedConnection) -> String {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PROBE_EVERY) => {}
            () = lane.broken.notified() => {}
        }
        let asked = Instant::now();
        if let Err(why) = shared.probe(&mut connection).await {
            return why;
        }
        if asked.elapsed() > shared.hiccup {
            shared.hiccup(asked.elapsed());
        }
    }
}

impl Shared {
    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.deadline))
            .set_response_timeout(Some(self.deadline))
            .set_pipeline_buffer_size(WRITE_QUEUE)
            .set_concurrency_limit(IN_FLIGHT);
        let connecting = self.address.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(|error| error.to_string())?;
        self.probe(&mut connection).await?;
        Ok(connection)
    }

    async fn probe(&self, connection: &mut MultiplexedConnection) -> Result<(), String> {
        let probe = self.probe.prepare_invoke();
        let answer = tokio::time::timeout(self.deadline, probe.invoke_async(connection));
        let (seconds, micros): (i64, i64) = answer
            .await
            .map_err(|_| format!("no answer within {:?}", self.deadline))?
            .map_err(|error| error.to_string())?;
        self.clock.observe(seconds * 1000 + micros / 1000);
        Ok(())
    }

    fn up(&self) {
        if self.connected.fetch_add(1, Ordering::AcqRel) == 0 {
            *lock(&self.healthy_since) = Some(Instant::now());
            self.health.send_replace(Health::Ready);
            tracing::info!(redis = self.address.shown, "connected to redis");
        }
    }

    /// Redis was silent, and answers again. In that time nobody could do anything either.
    fn hiccup(&self, silent: Duration) {
        tracing::warn!(redis = self.address.shown, ?silent, "redis was silent");
        *lock(&self.healthy_since) = Some(Instant::now());
    }

    /// One lane is lost. Even if others are up, health is no longer unbroken.
    fn down(&self, why: &str) {
        tracing::warn!(redis = self.address.shown, why, "connection to redis lost");
        metrics::counter!("herald_backplane_connections_lost_total").increment(1);
        let left = self.connected.fetch_sub(1, Ordering::AcqRel) - 1;
        *lock(&self.healthy_since) = (left > 0).then(Instant::now);
        if left == 0 {
            self.away(why);
        }
    }

    fn away(&self, why: &str) {
        if self.connected.load(Ordering::Acquire) > 0 {
            return;
        }
        let why = format!("no connection to Redis at {}: {why}", self.address.shown);
        self.health.send_if_modified(|health| {
            let now = Health::Away(why);
            let changed = *health != now;
            if changed {
                *health = now;
            }
            changed
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
