//! What the tests share: backplanes to try, things to send, ways to wait.

mod fixture;
mod redis_server;
mod samples;

use std::time::{Duration, Instant};

pub(crate) use fixture::{Fixture, Gateway};
pub(crate) use redis_server::RedisServer;
pub(crate) use samples::{SendMany, numbered, places, sent, session, stored_size, user};

/// How long anything that has no limit of its own may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Asks again and again until there is an answer; the last time after `within`.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        let last = Instant::now() >= deadline;
        if let Some(found) = check().await {
            return found;
        }
        assert!(!last, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
