//! One connection to a server, kept for ever.
//!
//! Each lane is supervised by a task of its own that connects for ever, with capped
//! back-off, and probes it every half second with a script call: an answer proves
//! that Redis runs scripts (it may be loading, or hung), and carries its clock. A lane
//! that fails a probe, or whose server turns out not to be a master any more, is
//! replaced; what was under way on it fails as unknown.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{Cmd, PushInfo, PushKind, RedisError, Script, Value, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval_at, timeout, timeout_at},
};

use super::{backoff::Backoff, clock::RedisClock, error::is_read_only, node::Node};
use crate::{Health, figures};

const PROBE_EVERY: Duration = Duration::from_millis(500);

/// How long after its last connection a server may be taken for one that is there.
const BRIEFLY: Duration = Duration::from_millis(250);

/// Commands that may wait to be written to one connection.
const WRITE_QUEUE: usize = 1_024;

/// Commands that may wait for their answer on one connection. Beyond that,
/// callers wait within their deadline.
const IN_FLIGHT: usize = 16_384;

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

/// One connection, when there is one.
#[derive(Default)]
pub(super) struct Lane {
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Its server refused to write: it has to be replaced whatever a probe says.
    demoted: AtomicBool,
    suspect: Notify,
}

/// What a lane is connected to, and told when that ends.
struct Connected {
    node: Node,
    connection: MultiplexedConnection,
    closed: Arc<Notify>,
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
    /// When the last lane was lost.
    lost_at: Mutex<Option<Instant>>,
    connected: AtomicUsize,
}

impl Lane {
    pub(super) fn connection(&self) -> Option<MultiplexedConnection> {
        lock(&self.connection).clone()
    }

    /// Has it probed at once.
    pub(super) fn suspect(&self) {
        self.suspect.notify_one();
    }

    /// Has the lane replaced if the error says that it is of no use, or looked at if it may be.
    pub(super) fn look_into(&self, error: &RedisError) {
        if is_read_only(error) {
            self.demoted.store(true, Ordering::Release);
            self.suspect.notify_one();
        } else if error.is_unrecoverable_error() || error.is_connection_dropped() {
            self.suspect.notify_one();
        }
    }

    /// Keeps it connected for ever.
    pub(super) async fn supervise(self: Arc<Self>, shared: Arc<Shared>) {
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
                Ok(node) => shared.connect(&node).await,
                Err(why) => Err(why),
            };
            match connected {
                Ok(connected) => {
                    *lock(&self.connection) = Some(connected.connection.clone());
                    shared.up();
                    let why = watch_over(&self, &shared, connected, &mut target).await;
                    *lock(&self.connection) = None;
                    shared.down(&why);
                    // Who is demoted as soon as it is connected to must not be a busy loop.
                    if !self.demoted.swap(false, Ordering::AcqRel) {
                        backoff.reset();
                    }
                }
                Err(why) => shared.away(&why),
            }
            backoff.wait().await;
        }
    }
}

/// Probes a connection until it fails, or is of no more use; says how.
async fn watch_over(
    lane: &Lane,
    shared: &Shared,
    connected: Connected,
    target: &mut watch::Receiver<Target>,
) -> String {
    let Connected { node, mut connection, closed } = connected;
    let mut probe = interval_at((Instant::now() + PROBE_EVERY).into(), PROBE_EVERY);
    probe.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = probe.tick() => {}
            () = lane.suspect.notified() => {}
            () = closed.notified() => return "it was closed".into(),
            Ok(()) = target.changed() => match &*target.borrow_and_update() {
                Ok(now) if *now != node => return format!("the master is {} now", now.shown()),
                // That nobody knows where it is does not end what works.
                _ => continue,
            },
        }
        if lane.demoted.load(Ordering::Acquire) {
            return "the server is not a master any more".into();
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
    pub(super) fn new(guide: Guide, deadline: Duration, hiccup: Duration) -> Self {
        Self {
            guide,
            deadline,
            hiccup,
            clock: Arc::new(RedisClock::new()),
            probe: Script::new("return redis.call('TIME')"),
            health: watch::Sender::new(Health::Away("not connected yet".into())),
            healthy_since: Mutex::new(None),
            lost_at: Mutex::new(None),
            connected: AtomicUsize::new(0),
        }
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Waits a moment for a connection, if all were lost just now: mostly they are made anew at once.
    pub(super) async fn back_soon(&self, until: Instant) {
        let Some(lost_at) = *lock(&self.lost_at) else { return };
        let mut health = self.health.subscribe();
        let back = health.wait_for(|health| *health == Health::Ready);
        let _ = timeout_at(until.min(lost_at + BRIEFLY).into(), back).await;
    }

    /// Why there is no connection.
    pub(super) fn why(&self) -> String {
        match &*self.health.borrow() {
            Health::Away(why) => why.clone(),
            Health::Ready => format!("no connection to Redis at {}", self.shown()),
        }
    }

    /// For how long Redis has answered every probe at once.
    pub(super) fn healthy_for(&self) -> Duration {
        lock(&self.healthy_since).map_or(Duration::ZERO, |since| since.elapsed())
    }

    pub(super) fn clock(&self) -> &Arc<RedisClock> {
        &self.clock
    }

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

    async fn connect(&self, node: &Node) -> Result<Connected, String> {
        let closed = Arc::new(Notify::new());
        let close = Arc::clone(&closed);
        let connecting = node.connect(|config| {
            let config =
                config.set_pipeline_buffer_size(WRITE_QUEUE).set_concurrency_limit(IN_FLIGHT);
            config.set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    close.notify_one();
                }
                Ok::<(), ()>(())
            })
        });
        let mut connection = connecting.await.map_err(|error| error.to_string())?;
        self.verify(&mut connection).await?;
        Ok(Connected { node: node.clone(), connection, closed })
    }

    /// Whether it runs scripts, and is what it is to be.
    pub(super) async fn verify(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), String> {
        let (mut asked, mut role) = (connection.clone(), Cmd::new());
        role.arg("ROLE");
        let (probed, role) =
            tokio::join!(self.probe(connection), role.query_async::<Vec<Value>>(&mut asked));
        probed?;
        // `master`, or another word; what follows depends on it.
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
        metrics::counter!(figures::CONNECTIONS_LOST).increment(1);
        let left = self.connected.fetch_sub(1, Ordering::AcqRel) - 1;
        *lock(&self.healthy_since) = (left > 0).then(Instant::now);
        if left == 0 {
            *lock(&self.lost_at) = Some(Instant::now());
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
