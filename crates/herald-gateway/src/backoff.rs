//! Pauses that grow.

use std::time::Duration;

use rand::RngExt as _;

/// Pauses between attempts, from `first`, doubling up to `longest`, spread by up to a half so
/// that those who failed together do not come back together.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    /// It worked: the next pause is the shortest again.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }

    /// It worked a little: the next pause is shorter.
    pub(crate) fn relax(&mut self) {
        self.next = (self.next / 4).max(self.first);
    }

    /// Waits; the next pause is longer.
    pub(crate) async fn pause(&mut self) {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        let share: f64 = rand::rng().random_range(0.5..=1.0);
        tokio::time::sleep(pause.mul_f64(share)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
        let start = tokio::time::Instant::now();
        for _ in 0..20 {
            backoff.pause().await;
        }
        assert_eq!(backoff.next, Duration::from_millis(500));
        // 5 + 10 + … + 320 + 13 × 500 ms, and at least half of it.
        let whole = Duration::from_millis(635 + 13 * 500);
        assert!(start.elapsed() <= whole + Duration::from_millis(40));
        assert!(start.elapsed() >= whole / 2);
        backoff.relax();
        assert_eq!(backoff.next, Duration::from_millis(125));
        backoff.reset();
        assert_eq!(backoff.next, Duration::from_millis(5));
    }
}
