//! Random interleavings of everything that may happen between an inbox and its client, held
//! against the simplest thing that does what is promised.
//!
//! A case is a seed: it decides what happens, in which order, and how often. `HERALD_CASES` says
//! how many are run, `HERALD_SEED` which is the first; `make chance` runs a million. A failure tells
//! its seed and, step by step, the shortest beginning of it that fails.

mod client;
mod inbox;
mod world;

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};

use self::world::World;

/// In an ordinary run of the tests.
const CASES: u64 = 20_000;

/// Steps of one case, at most; then everything comes to rest and is looked at.
const STEPS: u64 = 160;

/// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>): the same numbers for a seed for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.below(chances) == 0
    }
}

/// Plays one case for at most `steps`; how many there were, or what is wrong.
fn play(seed: u64, steps: u64, trace: Option<&mut Vec<String>>) -> Result<u64, String> {
    let mut dice = Dice(seed);
    let count = dice.below(STEPS + 1).min(steps);
    let mut world = World::new(&mut dice, trace);
    for _ in 0..count {
        world.step(&mut dice)?;
    }
    world.rest()?;
    world.check()?;
    Ok(count)
}

fn explain(seed: u64, wrong: &str) -> String {
    let shortest = (0..=STEPS).find(|steps| play(seed, *steps, None).is_err()).unwrap_or(STEPS);
    let mut trace = Vec::new();
    let again = play(seed, shortest, Some(&mut trace)).err().unwrap_or_else(|| wrong.to_owned());
    format!(
        "{again}\nthe first {shortest} steps are enough:\n  {}\nagain with HERALD_SEED={seed} HERALD_CASES=1",
        trace.join("\n  ")
    )
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn whatever_happens_each_notice_is_given_once_in_order_or_a_gap_is_told() {
    let cases = number("HERALD_CASES").unwrap_or(CASES);
    let first = number("HERALD_SEED").unwrap_or_else(rand::random);
    let start = Instant::now();
    let (next, steps, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= cases {
                return;
            }
            let seed = first.wrapping_add(nth);
            match play(seed, STEPS, None) {
                Ok(count) => _ = steps.fetch_add(count, Ordering::Relaxed),
                Err(wrong) => {
                    failed.store(true, Ordering::Relaxed);
                    panic!("{}", explain(seed, &wrong));
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    println!(
        "{cases} interleavings from seed {first}, {} steps, in {:.1?}",
        steps.into_inner(),
        start.elapsed()
    );
}
