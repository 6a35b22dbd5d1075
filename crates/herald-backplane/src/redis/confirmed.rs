//! Writing that counts only once replicas have it.
//!
//! WAIT answers for what its own connection wrote, and holds up whatever comes
//! after it there. So each such call has a connection to itself while it lasts: the
//! write and its WAIT are sent together, and cost one round trip and the replicas'
//! answer.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{
    Cmd, ErrorKind, Pipeline, PushInfo, PushKind, RedisError, RedisResult, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};
use tokio::{sync::Semaphore, time::timeout_at};

use super::{
    lane::Shared,
    lanes::{Attempt, Failed},
    millis,
    node::Node,
};
use crate::figures;

/// Connections to one server, and so calls at a time; further ones wait within their deadline.
const CONNECTIONS: usize = 64;

/// The connections of one server that are free.
pub(super) struct Confirmed {
    idle: Mutex<Vec<Line>>,
    room: Semaphore,
}

/// Redis looks at waits that are over ten times a second.
const MARGIN: Duration = Duration::from_millis(150);

/// One connection.
struct Line {
    node: Node,
    connection: MultiplexedConnection,
    closed: Arc<AtomicBool>,
}

impl fmt::Debug for Confirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirmed").finish_non_exhaustive()
    }
}

impl Confirmed {
    pub(super) fn new() -> Self {
        Self { idle: Mutex::new(Vec::new()), room: Semaphore::new(CONNECTIONS) }
    }

    /// Runs a call, and succeeds once so many replicas have what it wrote.
    pub(super) async fn call(
        &self,
        shared: &Shared,
        attempt: &Attempt<'_>,
        replicas: u32,
        command: &Cmd,
    ) -> Result<Value, Failed> {
        let until = attempt.until;
        let Ok(Ok(_permit)) = timeout_at(until.into(), self.room.acquire()).await else {
            return Err(Failed::Away(format!(
                "{CONNECTIONS} sends wait for replicas of Redis at {} already",
                shared.shown()
            )));
        };
        let mut line = match timeout_at(until.into(), self.line(shared)).await {
            Ok(line) => line.map_err(Failed::Away)?,
            Err(_) => return Err(Failed::Away("no connection to wait for replicas on".into())),
        };
        let asked = timeout_at(until.into(), line.ask(attempt, replicas, command));
        let (answer, confirmed) = match asked.await {
            Ok(Ok(answers)) => answers,
            // A connection that failed, or that may still wait, is not used again.
            Ok(Err(error)) => return Err(Failed::Redis(error)),
            Err(_) => {
                let shown = shared.shown();
                return Err(Failed::Late(format!("Redis at {shown} did not answer in time")));
            }
        };
        if let Err(error) = &answer {
            shared.look_into(error);
        }
        let answer = answer.map_err(Failed::Redis)?;
        self.idle().push(line);
        let confirmed = confirmed.map_err(Failed::Redis)?;
        if confirmed < replicas {
            metrics::counter!(figures::UNCONFIRMED).increment(1);
            return Err(Failed::Late(format!(
                "{confirmed} of {replicas} replicas of Redis at {} had it in time",
                shared.shown()
            )));
        }
        Ok(answer)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to where the server is now.
    async fn line(&self, shared: &Shared) -> Result<Line, String> {
        let node = shared.node()?;
        {
            let mut idle = self.idle();
            idle.retain(|line| line.node == node && !line.closed.load(Ordering::Acquire));
            if let Some(line) = idle.pop() {
                return Ok(line);
            }
        }
        let closed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&closed);
        let receive = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                flag.store(true, Ordering::Release);
            }
        };
        let mut connection = node.listen(receive).await.map_err(|error| error.to_string())?;
        shared.verify(&mut connection).await?;
        Ok(Line { node, connection, closed })
    }
}

impl Line {
    /// The answer, and how many replicas have what was written.
    async fn ask(
        &mut self,
        attempt: &Attempt<'_>,
        replicas: u32,
        command: &Cmd,
    ) -> Result<(RedisResult<Value>, RedisResult<u32>), RedisError> {
        let answers = self.send(attempt, replicas, command).await?;
        match (&answers.0, attempt.script) {
            (Err(error), Some(script))
                if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) =>
            {
                script.load_async(&mut self.connection).await?;
                self.send(attempt, replicas, command).await
            }
            _ => Ok(answers),
        }
    }

    async fn send(
        &mut self,
        attempt: &Attempt<'_>,
        replicas: u32,
        command: &Cmd,
    ) -> Result<(RedisResult<Value>, RedisResult<u32>), RedisError> {
        let left = attempt.until.saturating_duration_since(Instant::now());
        // Short of our own deadline, so that its answer is heard.
        let wait = left - (left / 10).max(MARGIN).min(left / 2);
        let mut all = Pipeline::new();
        all.ignore_errors();
        if attempt.asking {
            all.cmd("ASKING");
        }
        all.add_command(command.clone());
        // 0 would be for ever.
        all.cmd("WAIT").arg(replicas).arg(millis(wait).max(1));
        let mut answers: Vec<RedisResult<Value>> = all.query_async(&mut self.connection).await?;
        let confirmed = answers.pop().unwrap_or(Ok(Value::Nil)).and_then(Value::extract_error);
        let confirmed = confirmed.and_then(|count| Ok(redis::from_redis_value(count)?));
        let answer = answers.pop().unwrap_or(Ok(Value::Nil)).and_then(Value::extract_error);
        Ok((answer, confirmed))
    }
}
