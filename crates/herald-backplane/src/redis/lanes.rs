//! The shared, multiplexed connections to one server.
//!
//! Most carry the hot path; a few carry what is rare or long, so that a long
//! question delays no notice. Each lane is supervised by a task of its own that
//! connects for ever, with capped back-off, and probes it every half second with
//! a script call: an answer proves that Redis runs scripts (it may be loading, or
//! hung), and carries its clock. A lane that fails a probe, or whose server turns
//! out not to be a master any more, is replaced; what was under way on it fails
//! as unknown.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    backoff::Backoff,
    clock::RedisClock,
    confirmed::Confirmed,
    error::{classify, is_read_only},
    node::Node,
};
use crate::{BackplaneError, Health};

const PROBE_EVERY: Duration = Duration::from_millis(500);

/// Commands that may wait to be written to one connection.
const WRITE_QUEUE: usize = 1_024;

/// Commands that may wait for their answer on one connection. Beyond that,
/// callers wait within their deadline.
const IN_FLIGHT: usize = 16_384;

/// Lanes for what is rare or long.
const BULK: usize = 2;

/// Which lanes a call prefers; others will do when none of those is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Traffic {
    /// Short, and somebody waits for it.
    Hot,
    /// Rare or long.
    Bulk,
    /// On a connection of its own, and to be on this many replicas as well.
    Confirmed(u32),
}

/// One try of a call.
pub(super) struct Attempt<'a> {
    pub(super) traffic: Traffic,
    pub(super) until: Instant,
    /// Loaded where it is missing.
    pub(super) script: Option<&'a Script>,
    /// Whether a server that does not have the key's slot yet is to do it, on another one's word.
    pub(super) asking: bool,
}

/// Where a server is, or why that is not known.
pub(super) type Target = Result<Node, String>;

/// Who says where a server is.
#[derive(Debug, Clone)]
pub(super) struct Guide {
    pub(super) target: watch::Receiver<Target>,
    /// For a server that others may take the place of: asks for `target` to be said anew, which
    /// has to happen before anybody connects.
    pub(super) ask: Option<Arc<Notify>>,
}

/// Why a call has no answer.
#[derive(Debug, Clone)]
pub(super) enum Failed {
    /// It was not sent: no lane is up.
    Away(String),
    /// There is no answer in time.
    Late(String),
    /// The server's, or the connection's.
    Redis(RedisError),
}

impl From<Failed> for BackplaneError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Away(why) => Self::Unavailable(why),
            Failed::Late(why) => Self::Unknown(why),
            Failed::Redis(error) => classify(error),
        }
    }
}

/// The connections to one server. Dropping it ends their tasks.
pub(super) struct Lanes {
    hot: Vec<Arc<Lane>>,
    bulk: Vec<Arc<Lane>>,
    confirmed: Confirmed,
    next: AtomicUsize,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Lane {
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Why it has to be replaced whatever a probe says.
    condemned: Mutex<Option<String>>,
    suspect: Notify,
}

/// What the connections to one server have in common.
pub(super) struct Shared {
    guide: Guide,
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
        f.debug_struct("Lanes").field("to", &self.shared.shown()).finish_non_exhaustive()
    }
}

impl Lanes {
    /// Connects to wherever `guide` says, and anew whenever it says something else. Redis counts
    /// as having been away when it is silent for `hiccup`, which may be too short for a connection
    /// to be given up.
    pub(super) fn open(guide: Guide, count: usize, deadline: Duration, hiccup: Duration) -> Self {
        let (health, _) = watch::channel(Health::Away("not connected yet".into()));
        let shared = Arc::new(Shared {
            guide,
            deadline,
            hiccup,
            clock: Arc::new(RedisClock::new()),
            probe: Script::new("return redis.call('TIME')"),
            health,
            healthy_since: Mutex::new(None),
            connected: AtomicUsize::new(0),
        });
        let stop = CancellationToken::new();
        let open = |count: usize| -> Vec<_> {
            (0..count)
                .map(|_| {
                    let lane = Arc::new(Lane::default());
                    let supervise = supervise(Arc::clone(&lane), Arc::clone(&shared));
                    tokio::spawn(stop.clone().run_until_cancelled_owned(supervise));
                    lane
                })
                .collect()
        };
        let (hot, bulk) = (open(count.max(1)), open(BULK));
        let (confirmed, next) = (Confirmed::new(), AtomicUsize::new(0));
        Self { hot, bulk, confirmed, next, shared, _stop: stop.drop_guard() }
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// For how long Redis has answered every probe at once.
    pub(super) fn healthy_for(&self) -> Duration {
        lock(&self.shared.healthy_since).map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn clock(&self) -> Arc<RedisClock> {
        Arc::clone(&self.shared.clock)
    }

    /// Sends what `make` makes of the deadline, in Redis' time, and waits for the answer.
    pub(super) async fn call(
        &self,
        attempt: Attempt<'_>,
        make: impl Fn(i64) -> Cmd,
    ) -> Result<Value, Failed> {
        let wait = attempt.until.saturating_duration_since(Instant::now());
        let command = make(self.shared.clock.after(wait));
        if let Traffic::Confirmed(replicas) = attempt.traffic {
            return self.confirmed.call(&self.shared, &attempt, replicas, &command).await;
        }
        let Attempt { traffic, until, script, asking } = attempt;
        self.on_a_lane(traffic, until, async move |mut connection| {
            match (send(&mut connection, &command, asking).await, script) {
                (Err(error), Some(script))
                    if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) =>
                {
                    script.load_async(&mut connection).await?;
                    send(&mut connection, &command, asking).await
                }
                (answer, _) => answer,
            }
        })
        .await
    }

    /// Sends commands that have nothing to do with each other, and gives the answer of each.
    pub(super) async fn pipeline(
        &self,
        until: Instant,
        commands: impl IntoIterator<Item = Cmd>,
    ) -> Result<Vec<RedisResult<Value>>, Failed> {
        let mut pipeline = Pipeline::new();
        // One key of another type must not keep the others from being looked at.
        pipeline.ignore_errors();
        for command in commands {
            pipeline.add_command(command);
        }
        self.on_a_lane(Traffic::Bulk, until, async move |mut connection| {
            pipeline.query_async(&mut connection).await
        })
        .await
    }

    /// Runs `call` on a connection that is up.
    async fn on_a_lane<T>(
        &self,
        traffic: Traffic,
        until: Instant,
        call: impl AsyncFnOnce(MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, Failed> {
        let Some((lane, connection)) = self.pick(traffic) else {
            return Err(Failed::Away(match &*self.shared.health.borrow() {
                Health::Away(why) => why.clone(),
                Health::Ready => format!("no connection to Redis at {}", self.shared.shown()),
            }));
        };
        match tokio::time::timeout_at(until.into(), call(connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                lane.look_into(&error);
                Err(Failed::Redis(error))
            }
            Err(_) => {
                lane.suspect.notify_one();
                let shown = self.shared.shown();
                Err(Failed::Late(format!("Redis at {shown} did not answer in time")))
            }
        }
    }

    fn pick(&self, traffic: Traffic) -> Option<(&Lane, MultiplexedConnection)> {
        let (first, then) = match traffic {
            Traffic::Hot => (&self.hot, &self.bulk),
            _ => (&self.bulk, &self.hot),
        };
        let start = self.next.fetch_add(1, Ordering::Relaxed) % first.len();
        first[start..]
            .iter()
            .chain(&first[..start])
            .chain(then)
            .find_map(|lane| lock(&lane.connection).clone().map(|connection| (&**lane, connection)))
    }
}

impl Lane {
    /// Has the lane replaced if the error says that it is of no use, or looked at if it may be.
    fn look_into(&self, error: &RedisError) {
        if is_read_only(error) {
            *lock(&self.condemned) = Some("the server is not a master any more".into());
            self.suspect.notify_one();
        } else if error.is_unrecoverable_error() || error.is_connection_dropped() {
            self.suspect.notify_one();
        }
    }
}

async fn send(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
    asking: bool,
) -> RedisResult<Value> {
    if !asking {
        return command.query_async(connection).await;
    }
    let mut both = Pipeline::new();
    both.ignore_errors().cmd("ASKING").add_command(command.clone());
    let answers: Vec<RedisResult<Value>> = both.query_async(connection).await?;
    let answer = answers.into_iter().nth(1).unwrap_or(Ok(Value::Nil));
    answer.and_then(Value::extract_error)
}

/// Keeps one lane connected for ever.
async fn supervise(lane: Arc<Lane>, shared: Arc<Shared>) {
    let mut backoff = Backoff::new();
    let mut target = shared.guide.target.clone();
    loop {
        if let Some(ask) = &shared.guide.ask {
            target.mark_unchanged();
            ask.notify_one();
            if target.changed().await.is_err() {
                return; // the backplane has ended
            }
        }
        let now = target.borrow_and_update().clone();
        let connected = match now {
            Ok(node) => shared.connect(&node).await.map(|connection| (node, connection)),
            Err(why) => Err(why),
        };
        match connected {
            Ok((node, connection)) => {
                let since = Instant::now();
                *lock(&lane.condemned) = None;
                *lock(&lane.connection) = Some(connection.clone());
                shared.up();
                let why = watch_over(&lane, &shared, &node, connection, &mut target).await;
                *lock(&lane.connection) = None;
                shared.down(&why);
                // One that is condemned as soon as it is up must not be a busy loop.
                if since.elapsed() > PROBE_EVERY {
                    backoff.reset();
                }
            }
            Err(why) => shared.away(&why),
        }
        backoff.wait().await;
    }
}

/// Probes `connection` until it fails, or is of no more use; says how.
async fn watch_over(
    lane: &Lane,
    shared: &Shared,
    node: &Node,
    mut connection: MultiplexedConnection,
    target: &mut watch::Receiver<Target>,
) -> String {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PROBE_EVERY) => {}
            () = lane.suspect.notified() => {}
            Ok(()) = target.changed() => match &*target.borrow_and_update() {
                Ok(now) if now != node => return format!("the master is {} now", now.shown()),
                // That nobody knows where it is does not end what works.
                _ => continue,
            },
        }
        if let Some(why) = lock(&lane.condemned).take() {
            return why;
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
    /// Where the server is now.
    pub(super) fn node(&self) -> Target {
        self.guide.target.borrow().clone()
    }

    /// Asks who says where the server is, if an answer means that it may be elsewhere.
    pub(super) fn look_into(&self, error: &RedisError) {
        if let Some(ask) = &self.guide.ask
            && is_read_only(error)
        {
            ask.notify_one();
        }
    }

    /// The server, as far as it is known.
    pub(super) fn shown(&self) -> String {
        match &*self.guide.target.borrow() {
            Ok(node) => node.shown().to_owned(),
            Err(_) => "an unknown address".to_owned(),
        }
    }

    async fn connect(&self, node: &Node) -> Result<MultiplexedConnection, String> {
        let connecting = node.connect(|config| {
            config.set_pipeline_buffer_size(WRITE_QUEUE).set_concurrency_limit(IN_FLIGHT)
        });
        let mut connection = connecting.await.map_err(|error| error.to_string())?;
        self.verify(&mut connection).await?;
        Ok(connection)
    }

    /// Whether it runs scripts, and is what it is to be.
    pub(super) async fn verify(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), String> {
        self.probe(connection).await?;
        // `master`, or another word; what follows depends on it.
        let role: RedisResult<Vec<Value>> = Cmd::new().arg("ROLE").query_async(connection).await;
        match role.as_deref().map(<[Value]>::first) {
            Ok(Some(Value::BulkString(role))) if role == b"master" => Ok(()),
            Ok(_) => Err("it is not a master".into()),
            // Who may not ask finds it out by a READONLY, if nobody takes the master's place.
            Err(_) if self.guide.ask.is_none() => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn probe(&self, connection: &mut MultiplexedConnection) -> Result<(), String> {
        let probe = self.probe.prepare_invoke();
        let answer = timeout(self.deadline, probe.invoke_async(connection));
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
            tracing::info!(redis = self.shown(), "connected to redis");
        }
    }

    /// Redis was silent, and answers again. In that time nobody could do anything either.
    fn hiccup(&self, silent: Duration) {
        tracing::warn!(redis = self.shown(), ?silent, "redis was silent");
        *lock(&self.healthy_since) = Some(Instant::now());
    }

    /// One lane is lost. Even if others are up, health is no longer unbroken.
    fn down(&self, why: &str) {
        tracing::warn!(redis = self.shown(), why, "connection to redis lost");
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
        let why = match &*self.guide.target.borrow() {
            Ok(node) => format!("no connection to Redis at {}: {why}", node.shown()),
            Err(_) => why.to_owned(),
        };
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
