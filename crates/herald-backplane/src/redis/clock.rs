//! Redis' clock, as far as it is known here.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

/// Translates deadlines of this process into times of Redis' clock, so that a
/// script can refuse to write once its caller has given up.
#[derive(Debug)]
pub struct RedisClock {
    origin: Instant,
    /// Redis' time at `origin`, in milliseconds.
    offset: AtomicI64,
}

impl RedisClock {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), offset: AtomicI64::new(0) }
    }

    fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Takes note of an answer that carried Redis' time and has just arrived. It
    /// was made a little earlier, so that estimates err towards refusing early.
    pub(crate) fn observe(&self, redis_ms: i64) {
        self.offset.store(redis_ms - self.elapsed_ms(), Ordering::Relaxed);
    }

    /// What Redis' clock says now: an estimate that lags by the last answer's way
    /// here, 0 before there was one.
    pub(crate) fn now_ms(&self) -> u64 {
        match self.offset.load(Ordering::Relaxed) {
            0 => 0,
            offset => u64::try_from(offset + self.elapsed_ms()).unwrap_or(0),
        }
    }

    /// What Redis' clock will say when `wait` has passed.
    pub(crate) fn after(&self, wait: Duration) -> i64 {
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        (self.offset.load(Ordering::Relaxed) + self.elapsed_ms()).saturating_add(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_in_redis_time() {
        let clock = RedisClock::new();
        clock.observe(5_000_000);
        let deadline = clock.after(Duration::from_secs(2));
        assert!((5_002_000..5_003_000).contains(&deadline), "{deadline}");
        assert!((5_000_000..5_001_000).contains(&clock.now_ms()));
    }
}
