//! A gateway's door: who is let in, and when the others are asked to come again. It decides as
//! gateways do (`HERALD_HANDSHAKE_RATE`), in simulated time.

use rand::{RngExt as _, rngs::StdRng};

/// The shortest and the longest time over which those who were refused are spread, in seconds.
const SPREAD: (f64, f64) = (3.0, 30.0);

/// A gateway's door.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    per_second: f64,
    burst: f64,
    /// Handshakes that may be let in at once, and when that was so.
    saved: f64,
    since: f64,
    /// About how many wait outside, and when that was so.
    waiting: f64,
    counted: f64,
}

impl Door {
    /// Lets in at most so many in any one second, a tenth of them at once.
    pub(crate) fn new(at_most: u32) -> Self {
        let burst = f64::from((at_most / 10).max(1));
        Self {
            per_second: f64::from(at_most) - burst + 1.0,
            burst,
            saved: burst,
            since: 0.0,
            waiting: 0.0,
            counted: 0.0,
        }
    }

    /// Lets one in, or not. Times must not run backwards.
    pub(crate) fn knock(&mut self, now: f64) -> bool {
        self.saved = (self.saved + (now - self.since) * self.per_second).min(self.burst);
        self.since = now;
        let open = self.saved >= 1.0;
        if open {
            self.saved -= 1.0;
        }
        open
    }

    /// What a client that was not let in is told as `Retry-After`, in seconds: spread over twice
    /// the time that those before it take.
    pub(crate) fn retry_after(&mut self, now: f64, rng: &mut StdRng) -> f64 {
        let gone = (now - self.counted) * self.per_second;
        let ahead = (self.waiting - gone).max(0.0);
        (self.waiting, self.counted) = (ahead + 1.0, now);
        let longest = (ahead / self.per_second * 2.0).clamp(SPREAD.0, SPREAD.1);
        f64::from(rng.random_range(1..=longest as u32))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn no_second_lets_in_more_than_the_rate() {
        let mut door = Door::new(500);
        let knocks = (0..50_000).map(|nth| f64::from(nth) / 10_000.0);
        let let_in: Vec<f64> = knocks.filter(|now| door.knock(*now)).collect();
        for from in &let_in {
            let within = let_in.iter().filter(|at| (*from..*from + 1.0).contains(*at)).count();
            assert!(within <= 500, "{within} after {from}");
        }
        // All of it is used, too: 50 at once and 451 in each of the five seconds.
        assert!((2250..=2306).contains(&let_in.len()), "{}", let_in.len());
    }

    #[test]
    fn the_more_wait_the_later_they_are_asked_back_up_to_half_a_minute() {
        let (mut door, mut rng) = (Door::new(100), StdRng::seed_from_u64(1));
        let first = (0..50).map(|_| door.retry_after(0.0, &mut rng)).fold(0.0, f64::max);
        let many = (0..5000).map(|_| door.retry_after(0.0, &mut rng)).fold(0.0, f64::max);
        assert!(first <= 3.0, "{first}");
        assert!((29.0..=30.0).contains(&many), "{many}");
    }
}
