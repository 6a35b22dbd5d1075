//! How clients come back.

use rand::{RngExt as _, rngs::StdRng};

/// What clients go by after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Habit {
    /// `socket.io-client` as it comes: pauses of its own, whatever the server says
    Stock,
    /// The longer of its own pause and the server's Retry-After
    RetryAfter,
}

/// The pauses of `socket.io-client` 4 as it comes: `reconnectionDelay` in seconds, and
/// `randomizationFactor`.
const FIRST: f64 = 1.0;
const SPREAD: f64 = 0.5;

/// The pause before the attempt after so many that failed, in seconds. The limit comes after the
/// spread, so that with 5 s all clients pause for the same time from the fifth attempt on.
pub(crate) fn pause(failed: u32, longest: f64, rng: &mut StdRng) -> f64 {
    let grown = FIRST * f64::from(1_u32 << failed.min(16));
    (grown * rng.random_range(1.0 - SPREAD..1.0 + SPREAD)).min(longest)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn pauses_grow_are_spread_and_end_in_one_that_is_the_same_for_all() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut range = |failed| {
            let pauses: Vec<f64> = (0..1000).map(|_| pause(failed, 5.0, &mut rng)).collect();
            let low = pauses.iter().copied().fold(f64::MAX, f64::min);
            (low, pauses.iter().copied().fold(0.0, f64::max))
        };
        let (low, high) = range(0);
        assert!((0.5..0.55).contains(&low) && (1.45..1.5).contains(&high), "{low} {high}");
        assert_eq!(range(4), (5.0, 5.0));
    }
}
