//! Pauses between attempts that never end.

use std::time::Duration;

/// Exponential pauses with full jitter (Brooker, "Exponential Backoff And
/// Jitter", 2015), from 50 ms up to a second: after an outage of any length
/// Redis is found again within about a second.
#[derive(Debug)]
pub(crate) struct Backoff {
    ceiling: Duration,
}

const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_secs(1);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { ceiling: FIRST }
    }

    /// After a success.
    pub(crate) fn reset(&mut self) {
        self.ceiling = FIRST;
    }

    /// Waits before the next attempt.
    pub(crate) async fn wait(&mut self) {
        let pause = self.next();
        tokio::time::sleep(pause).await;
    }

    fn next(&mut self) -> Duration {
        let pause = self.ceiling.mul_f64(0.2 + 0.8 * rand::random::<f64>());
        self.ceiling = (self.ceiling * 2).min(LAST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_second_and_no_further() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..20).map(|_| backoff.next()).collect();
        assert!(pauses[0] <= FIRST);
        assert!(pauses.iter().all(|pause| *pause > Duration::ZERO && *pause <= LAST));
        assert!(pauses[10..].iter().all(|pause| *pause >= LAST.mul_f64(0.2)));
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
