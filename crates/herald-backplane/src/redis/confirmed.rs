//! Writing that counts only once replicas have it.
//!
//! WAIT answers for what its own connection wrote, and holds up whatever comes
//! after it there. So each such call has a connection to itself while it lasts: the
//! write and its WAIT are sent together, and cost one round trip and the replicas'
//! answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};

use super::{
    lane::Shared,
    lanes::{Attempt, Failed},
    millis,
    pool::Pool,
};
use crate::figures;

/// Redis looks at waits that are over ten times a second.
const MARGIN: Duration = Duration::from_millis(150);

/// Runs a call on a connection of `pool`, and succeeds once so many replicas have what it wrote.
pub(super) async fn call(
    pool: &Pool,
    shared: &Arc<Shared>,
    attempt: &Attempt<'_>,
    replicas: u32,
    command: &Cmd,
) -> Result<Value, Failed> {
    let asking = async |connection: &mut MultiplexedConnection| {
        let (answer, confirmed) = ask(connection, attempt, replicas, command).await?;
        Ok((answer?, confirmed))
    };
    let (answer, confirmed) = pool.run(shared, attempt.until, asking).await?;
    let why = match confirmed {
        Ok(confirmed) if confirmed >= replicas => return Ok(answer),
        Ok(confirmed) => format!("{confirmed} of {replicas} replicas had it in time"),
        // Such as a master's that is made a replica meanwhile. Whatever it is, it is written.
        Err(error) => format!("waiting for {replicas} replicas failed: {error}"),
    };
    metrics::counter!(figures::UNCONFIRMED).increment(1);
    Err(Failed::Late(format!("Redis at {}: {why}", shared.shown())))
}

/// The answer, and how many replicas have what was written.
async fn ask(
    connection: &mut MultiplexedConnection,
    attempt: &Attempt<'_>,
    replicas: u32,
    command: &Cmd,
) -> Result<(RedisResult<Value>, RedisResult<u32>), RedisError> {
    let answers = send(connection, attempt, replicas, command).await?;
    match (&answers.0, attempt.script) {
        (Err(error), Some(script))
            if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) =>
        {
            script.load_async(connection).await?;
            send(connection, attempt, replicas, command).await
        }
        _ => Ok(answers),
    }
}

async fn send(
    connection: &mut MultiplexedConnection,
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
    let mut answers: Vec<RedisResult<Value>> = all.query_async(connection).await?;
    let confirmed = answers.pop().unwrap_or(Ok(Value::Nil)).and_then(Value::extract_error);
    let confirmed = confirmed.and_then(|count| Ok(redis::from_redis_value(count)?));
    let answer = answers.pop().unwrap_or(Ok(Value::Nil)).and_then(Value::extract_error);
    Ok((answer, confirmed))
}
