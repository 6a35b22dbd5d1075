//! Waiting for a condition.

use std::{
    fmt::Display,
    panic::Location,
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::time::sleep;

/// Tries `condition` until it holds, more and more rarely, and returns what it found. Why it does
/// not hold yet is an `Err`.
///
/// # Panics
///
/// With `what` and the last reason when it does not come to hold within `patience`.
#[track_caller]
pub fn eventually<T, E: Display>(
    what: &str,
    patience: Duration,
    condition: impl AsyncFnMut() -> Result<T, E>,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        match within(what, patience, condition).await {
            Ok(value) => value,
            Err(error) => panic!("{error} (at {caller})"),
        }
    }
}

/// The same without the panic.
///
/// # Errors
///
/// With `what` and the last reason when it does not come to hold within `patience`.
pub async fn within<T, E: Display>(
    what: &str,
    patience: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        // Asked once more at the end, so that a pause cannot fail what holds by then.
        let last = begin.elapsed() >= patience;
        match condition().await {
            Ok(value) => return Ok(value),
            Err(reason) if last => bail!("not within {patience:?}: {what}: {reason}"),
            Err(_) => sleep(pause.min(patience.saturating_sub(begin.elapsed()))).await,
        }
        pause = (pause * 3 / 2).min(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_what_the_condition_found() {
        let mut tries = 0;
        let found = eventually("three tries", Duration::from_secs(5), async || {
            tries += 1;
            if tries == 3 { Ok(tries) } else { Err("too few") }
        });
        assert_eq!(found.await, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "not within 20ms: the impossible: no")]
    async fn panics_with_the_last_reason() {
        eventually("the impossible", Duration::from_millis(20), async || Err::<(), _>("no")).await;
    }
}
