//! The connections to one server.
//!
//! A few shared, multiplexed ones carry the hot path. What is rare or long takes one from a pool,
//! so that a long question delays no notice, and so does what waits for replicas.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Script, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    clock::RedisClock,
    confirmed,
    error::classify,
    lane::{Guide, Lane, Shared},
    pool::Pool,
};
use crate::{BackplaneError, Health};

/// Calls that are rare or long, at a time.
const BULK: usize = 8;

/// Calls that wait for replicas, at a time.
const CONFIRMED: usize = 64;

/// Which connections a call takes.
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

/// Why a call has no answer.
#[derive(Debug, Clone)]
pub(super) enum Failed {
    /// It was not sent: there is no connection, none that is free, or no time left.
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
    bulk: Pool,
    confirmed: Pool,
    next: AtomicUsize,
    shared: Arc<Shared>,
    _stop: DropGuard,
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
        let shared = Arc::new(Shared::new(guide, deadline, hiccup));
        let stop = CancellationToken::new();
        let open = |_| {
            let lane = Arc::new(Lane::default());
            let supervise = Arc::clone(&lane).supervise(Arc::clone(&shared));
            tokio::spawn(stop.clone().run_until_cancelled_owned(supervise));
            lane
        };
        Self {
            hot: (0..count.max(1)).map(open).collect(),
            bulk: Pool::new(BULK),
            confirmed: Pool::new(CONFIRMED),
            next: AtomicUsize::new(0),
            shared,
            _stop: stop.drop_guard(),
        }
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.shared.health()
    }

    /// For how long Redis has answered every probe at once.
    pub(super) fn healthy_for(&self) -> Duration {
        self.shared.healthy_for()
    }

    pub(super) fn clock(&self) -> Arc<RedisClock> {
        Arc::clone(self.shared.clock())
    }

    /// Sends what `make` makes of the deadline, in Redis' time, and waits for the answer.
    pub(super) async fn call(
        &self,
        attempt: Attempt<'_>,
        make: impl Fn(i64) -> Cmd,
    ) -> Result<Value, Failed> {
        let wait = attempt.until.saturating_duration_since(Instant::now());
        let command = make(self.shared.clock().after(wait));
        let Attempt { traffic, until, script, asking } = attempt;
        let on = async |connection: &mut MultiplexedConnection| match (
            send(connection, &command, asking).await,
            script,
        ) {
            (Err(error), Some(script))
                if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) =>
            {
                script.load_async(connection).await?;
                send(connection, &command, asking).await
            }
            (answer, _) => answer,
        };
        // On the heap, since only the hot path's future is to be small.
        match traffic {
            Traffic::Hot => self.on_a_lane(until, on).await,
            Traffic::Bulk => Box::pin(self.bulk.run(&self.shared, until, on)).await,
            Traffic::Confirmed(replicas) => {
                let (pool, shared) = (&self.confirmed, &self.shared);
                Box::pin(confirmed::call(pool, shared, &attempt, replicas, &command)).await
            }
        }
    }

    /// What stands within an answer for one of those that a call was for: that a server writes nothing any
    /// more is seen also where others were told something else.
    pub(super) fn look_into(&self, error: &RedisError) {
        self.hot.iter().for_each(|lane| lane.look_into(error));
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
        let on =
            async |connection: &mut MultiplexedConnection| pipeline.query_async(connection).await;
        Box::pin(self.bulk.run(&self.shared, until, on)).await
    }

    /// Runs `call` on a lane that is up.
    async fn on_a_lane<T>(
        &self,
        until: Instant,
        call: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, Failed> {
        let mut picked = self.pick();
        if picked.is_none() {
            self.shared.back_soon(until).await;
            picked = self.pick();
        }
        let Some((lane, mut connection)) = picked else {
            return Err(Failed::Away(self.shared.why()));
        };
        match tokio::time::timeout_at(until.into(), call(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                lane.look_into(&error);
                Err(Failed::Redis(error))
            }
            Err(_) => {
                lane.suspect();
                let shown = self.shared.shown();
                Err(Failed::Late(format!("Redis at {shown} did not answer in time")))
            }
        }
    }

    fn pick(&self) -> Option<(&Lane, MultiplexedConnection)> {
        let start = self.next.fetch_add(1, Ordering::Relaxed) % self.hot.len();
        let (before, after) = self.hot.split_at(start);
        let mut lanes = after.iter().chain(before);
        lanes.find_map(|lane| lane.connection().map(|connection| (&**lane, connection)))
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
