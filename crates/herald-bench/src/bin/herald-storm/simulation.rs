//! The storm itself: events in the order of simulated time.

use std::{cmp::Reverse, collections::BinaryHeap};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    client::{Habit, pause},
    door::Door,
};

/// What sends clients away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cause {
    /// All connections break at the same moment: a network, or the proxy before all gateways
    Outage,
    /// One gateway dies
    Crash,
    /// All gateways are replaced, one after the other, each drained; the new one is there first
    Deploy,
}

/// Which gateway an attempt is offered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Balance {
    /// Any, as by round robin
    Random,
    /// The one with the fewest clients
    Least,
}

/// A storm, and who is in it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Storm {
    /// Clients, spread evenly at first
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) clients: u32,

    /// Gateways
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) gateways: u32,

    /// New clients that a gateway lets in within any second (HERALD_HANDSHAKE_RATE)
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) handshake_rate: u32,

    /// Sessions a second that a gateway sends away when it is drained (HERALD_DRAIN_RATE)
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) drain_rate: u32,

    /// The longest that a drain takes, in seconds (HERALD_SHUTDOWN_DEADLINE less 7)
    #[arg(long, default_value_t = 18, value_parser = clap::value_parser!(u32).range(2..))]
    pub(crate) drain_within: u32,

    /// Seconds from the end of one drain to the beginning of the next
    #[arg(long, default_value_t = 10)]
    pub(crate) between: u32,

    /// Gateways that one attempt is offered to until one takes it: more than 1 behind a proxy that
    /// tries the next one after a 503
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) tries: u32,

    /// Which gateway an attempt is offered to first
    #[arg(long, value_enum, default_value_t = Balance::Random)]
    pub(crate) balance: Balance,

    /// What clients go by after a refusal
    #[arg(long, value_enum, default_value_t = Habit::Stock)]
    pub(crate) habit: Habit,

    /// Seconds that clients pause at most (reconnectionDelayMax)
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) longest_pause: u32,

    /// The same seed gives the same storm
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// What became of it. Times are in seconds since it began.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Each time that somebody was away: until when, and for how long, in the order of return.
    pub(crate) absences: Vec<(f64, f64)>,
    /// When an attempt was made, and whether it was let in.
    pub(crate) attempts: Vec<(f64, bool)>,
    /// Offers that gateways refused: more than attempts where one is offered to several.
    pub(crate) refusals: u64,
    /// How often each client lost its connection.
    pub(crate) moves: Vec<u32>,
    /// The most that a gateway held.
    pub(crate) fullest: u32,
}

/// Between `herald:reconnect` and the end of the connection.
const WARNING: f64 = 1.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client's connection ends.
    Lose(u32),
    /// A client tries to come back.
    Try(u32),
    /// An old gateway is to go, and its successor is there.
    Drain(u32),
}

struct Client {
    gateway: Option<u32>,
    failed: u32,
    since: f64,
}

struct Simulation {
    storm: Storm,
    rng: StdRng,
    /// In microseconds, so that they can be ordered; equal ones by event.
    queue: BinaryHeap<Reverse<(u64, Event)>>,
    clients: Vec<Client>,
    /// The old ones, then their successors.
    doors: Vec<Door>,
    held: Vec<u32>,
    /// Those that take clients.
    open: Vec<u32>,
    outcome: Outcome,
}

/// Plays a storm until everybody is back.
pub(crate) fn play(storm: Storm, cause: Cause) -> Outcome {
    let mut simulation = Simulation::new(storm);
    match cause {
        Cause::Outage => {
            (0..storm.clients).for_each(|client| simulation.at(0.0, Event::Lose(client)));
        }
        Cause::Crash => {
            simulation.open.retain(|gateway| *gateway != 0);
            for client in simulation.held_by(0) {
                simulation.at(0.0, Event::Lose(client));
            }
        }
        Cause::Deploy => simulation.at(0.0, Event::Drain(0)),
    }
    while let Some(Reverse((micros, event))) = simulation.queue.pop() {
        simulation.step(micros as f64 / 1e6, event);
    }
    simulation.outcome
}

impl Simulation {
    fn new(storm: Storm) -> Self {
        let client =
            |number| Client { gateway: Some(number % storm.gateways), failed: 0, since: 0.0 };
        let gateways = 2 * storm.gateways as usize;
        let mut new = Self {
            storm,
            rng: StdRng::seed_from_u64(storm.seed),
            queue: BinaryHeap::new(),
            clients: (0..storm.clients).map(client).collect(),
            doors: vec![Door::new(storm.handshake_rate); gateways],
            held: vec![0; gateways],
            open: (0..storm.gateways).collect(),
            outcome: Outcome { moves: vec![0; storm.clients as usize], ..Outcome::default() },
        };
        for client in &new.clients {
            new.held[client.gateway.unwrap_or_default() as usize] += 1;
        }
        new
    }

    fn longest_pause(&self) -> f64 {
        f64::from(self.storm.longest_pause)
    }

    fn at(&mut self, time: f64, event: Event) {
        self.queue.push(Reverse(((time * 1e6) as u64, event)));
    }

    fn held_by(&self, gateway: u32) -> Vec<u32> {
        let held = self.clients.iter().zip(0..);
        held.filter(|(client, _)| client.gateway == Some(gateway))
            .map(|(_, number)| number)
            .collect()
    }

    fn step(&mut self, now: f64, event: Event) {
        match event {
            Event::Lose(number) => {
                let client = &mut self.clients[number as usize];
                if let Some(gateway) = client.gateway.take() {
                    self.held[gateway as usize] -= 1;
                }
                (client.failed, client.since) = (0, now);
                self.outcome.moves[number as usize] += 1;
                let pause = pause(0, self.longest_pause(), &mut self.rng);
                self.at(now + pause, Event::Try(number));
            }
            Event::Try(number) => self.knock(now, number),
            Event::Drain(gateway) => self.drain(now, gateway),
        }
    }

    fn knock(&mut self, now: f64, number: u32) {
        let mut told = 0.0;
        for gateway in self.asked() {
            if self.doors[gateway as usize].knock(now) {
                self.let_in(now, number, gateway);
                return;
            }
            self.outcome.refusals += 1;
            // The last one's answer is what the client sees.
            told = self.doors[gateway as usize].retry_after(now, &mut self.rng);
        }
        self.outcome.attempts.push((now, false));
        let client = &mut self.clients[number as usize];
        client.failed += 1;
        let own = pause(client.failed, self.longest_pause(), &mut self.rng);
        let pause = match self.storm.habit {
            Habit::RetryAfter => own.max(told),
            Habit::Stock => own,
        };
        self.at(now + pause, Event::Try(number));
    }

    /// The gateways that an attempt is offered to, in their order.
    fn asked(&mut self) -> Vec<u32> {
        let mut asked = self.open.clone();
        match self.storm.balance {
            Balance::Random => {
                let first = self.rng.random_range(0..asked.len());
                asked.rotate_left(first);
            }
            Balance::Least => asked.sort_by_key(|gateway| self.held[*gateway as usize]),
        }
        asked.truncate(self.storm.tries as usize);
        asked
    }

    fn let_in(&mut self, now: f64, number: u32, gateway: u32) {
        let client = &mut self.clients[number as usize];
        client.gateway = Some(gateway);
        let held = &mut self.held[gateway as usize];
        *held += 1;
        self.outcome.fullest = self.outcome.fullest.max(*held);
        self.outcome.attempts.push((now, true));
        self.outcome.absences.push((now, now - client.since));
    }

    fn drain(&mut self, now: f64, gateway: u32) {
        let successor = self.storm.gateways + gateway;
        self.open.retain(|open| *open != gateway);
        self.open.push(successor);
        let leaving = self.held_by(gateway);
        let within = f64::from(self.storm.drain_within) - WARNING;
        let rate = f64::from(self.storm.drain_rate).max(leaving.len() as f64 / within);
        for (nth, client) in leaving.iter().enumerate() {
            self.at(now + WARNING + nth as f64 / rate, Event::Lose(*client));
        }
        if gateway + 1 < self.storm.gateways {
            let drained = now + WARNING + leaving.len() as f64 / rate;
            self.at(drained + f64::from(self.storm.between), Event::Drain(gateway + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::Args;

    fn storm(args: &[&str]) -> Storm {
        Args::parse_from(["x", "outage"].iter().chain(args)).storm
    }

    #[test]
    fn everybody_comes_back_and_no_faster_than_the_doors_let_in() {
        let storm = storm(&["--clients", "20000", "--gateways", "4", "--handshake-rate", "500"]);
        for habit in [Habit::Stock, Habit::RetryAfter] {
            let outcome = play(Storm { habit, ..storm }, Cause::Outage);
            assert_eq!(outcome.absences.len(), 20_000);
            let last = outcome.absences.last().unwrap().0;
            // 5,000 for each gateway at 500 a second.
            assert!((9.5..40.0).contains(&last), "{habit:?}: {last}");
            for second in 0..40 {
                let within = |at: f64| at >= f64::from(second) && at < f64::from(second + 1);
                let let_in =
                    outcome.attempts.iter().filter(|(at, yes)| *yes && within(*at)).count();
                assert!(let_in <= 4 * 500, "{habit:?}: {let_in} in second {second}");
            }
            assert!(outcome.moves.iter().all(|moves| *moves == 1));
        }
    }

    #[test]
    fn a_crash_moves_one_gateways_clients_to_the_others() {
        let storm = storm(&["--clients", "10000", "--gateways", "10"]);
        let outcome = play(storm, Cause::Crash);
        assert_eq!(outcome.absences.len(), 1000);
        assert!((1001..1300).contains(&outcome.fullest), "{}", outcome.fullest);
        // Nine gateways let in 450 at once.
        assert!(outcome.absences.iter().all(|(_, away)| *away < 5.0));
    }

    #[test]
    fn a_deploy_leaves_nobody_on_an_old_gateway_and_moves_most_more_than_once() {
        let storm = storm(&["--clients", "4000", "--gateways", "8", "--between", "3"]);
        let outcome = play(storm, Cause::Deploy);
        let moves: u32 = outcome.moves.iter().sum();
        assert_eq!(outcome.absences.len(), moves as usize);
        assert!(outcome.moves.iter().all(|moves| (1..=8).contains(moves)));
        let each = f64::from(moves) / 4000.0;
        assert!((1.5..4.0).contains(&each), "{each}");
    }

    #[test]
    fn a_proxy_that_tries_the_next_gateway_brings_more_back_with_fewer_attempts() {
        let storm = storm(&["--clients", "20000", "--gateways", "10", "--handshake-rate", "1000"]);
        let attempts = |tries| play(Storm { tries, ..storm }, Cause::Outage).attempts.len();
        assert!(attempts(10) < attempts(1));
    }

    #[test]
    fn balancing_by_connections_spares_a_deploy_moves_and_full_gateways() {
        let storm = storm(&["--clients", "4000", "--gateways", "8", "--between", "3"]);
        let random = play(storm, Cause::Deploy);
        let least = play(Storm { balance: Balance::Least, ..storm }, Cause::Deploy);
        assert!(least.absences.len() < random.absences.len());
        assert!(
            least.fullest < 700 && random.fullest > 900,
            "{} {}",
            least.fullest,
            random.fullest
        );
    }

    #[test]
    fn the_same_seed_gives_the_same_storm() {
        let storm = storm(&["--clients", "5000", "--gateways", "3"]);
        let once = play(storm, Cause::Outage).attempts;
        assert_eq!(once, play(storm, Cause::Outage).attempts);
        assert_ne!(once, play(Storm { seed: 2, ..storm }, Cause::Outage).attempts);
    }
}
