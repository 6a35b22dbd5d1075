//! How thoroughly: what is measured of which system, in how many rounds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    record::Load,
    systems::{Kind, System},
    trials::Trial,
};

/// How thoroughly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// A look: some 5 minutes
    Quick,
    /// All that the goals speak of, as often as they ask for: about 20 minutes
    Standard,
    /// Everything of every system, in every round: about 80 minutes
    Full,
    /// What telemetry costs, beside binaries that are built without: about 5 minutes
    Overhead,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Full => "full",
            Self::Overhead => "overhead",
        }
    }
}

/// What is done with a system in its first so many rounds, which starts it anew each time.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) system: System,
    pub(crate) rounds: u32,
    pub(crate) trial: Trial,
}

/// A whole benchmark.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) sizes: Sizes,
    stages: Vec<Stage>,
}

/// What all trials have in common.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    pub(crate) clients: u32,
    pub(crate) payload: usize,
    /// Notices of a call that is a batch.
    pub(crate) batch: u32,
    pub(crate) warm_up: Duration,
    pub(crate) saturated: Duration,
    pub(crate) open: Duration,
}

const IN_FLIGHT: u32 = 32;
const SATURATED: Load = Load::Saturated(IN_FLIGHT);
const VOLATILE: Load = Load::Volatile(IN_FLIGHT);
const ACKED: Load = Load::Acked(IN_FLIGHT);
const BATCHES: Load = Load::Batches(4);
const RATES: [Load; 3] = [Load::Open(500), Load::Open(2000), Load::Open(5000)];

impl Plan {
    /// What a mode does; with `rounds`, that often instead of as often as the mode does each.
    pub(crate) fn of(mode: Mode, rounds: Option<u32>) -> Self {
        let seconds = |times: [f64; 4]| Duration::from_secs_f64(times[mode as usize]);
        let sizes = Sizes {
            clients: 1000,
            payload: 200,
            batch: 100,
            warm_up: seconds([0.7, 0.7, 2.0, 2.0]),
            saturated: seconds([2.0, 3.0, 10.0, 10.0]),
            open: seconds([2.0, 2.5, 10.0, 10.0]),
        };
        let mut plan = Self { sizes, stages: Vec::new() };
        match mode {
            Mode::Quick => plan.quick(),
            Mode::Standard => plan.standard(),
            Mode::Full => plan.full(),
            Mode::Overhead => plan.overhead(),
        }
        if let Some(rounds) = rounds {
            plan.stages.iter_mut().for_each(|stage| stage.rounds = rounds);
        }
        plan
    }

    /// How many rounds there are.
    pub(crate) fn rounds(&self) -> u32 {
        self.stages.iter().map(|stage| stage.rounds).max().unwrap_or_default()
    }

    /// A round's stages, forwards and backwards by turns, so that what drifts with time favours
    /// nobody.
    pub(crate) fn stages(&self, round: u32) -> Vec<&Stage> {
        let mut stages: Vec<_> = self.stages.iter().filter(|stage| round < stage.rounds).collect();
        if round % 2 == 1 {
            stages.reverse();
        }
        stages
    }

    /// Only what is done with these systems, such as herald-4.
    pub(crate) fn keep(&mut self, names: &[String]) {
        self.stages.retain(|stage| names.contains(&stage.system.to_string()));
    }

    fn add(&mut self, rounds: u32, kind: Kind, gateways: u32, trial: Trial) {
        self.stages.push(Stage { system: System { kind, gateways }, rounds, trial });
    }

    fn loads(&mut self, rounds: u32, kind: Kind, gateways: u32, loads: &[&[Load]]) {
        self.add(rounds, kind, gateways, Trial::Loads(loads.concat()));
    }

    fn quick(&mut self) {
        for gateways in [1, 4] {
            let herald = [SATURATED, BATCHES, VOLATILE, ACKED];
            self.loads(2, Kind::Herald, gateways, &[&herald, &RATES[1..]]);
            self.loads(2, Kind::Node, gateways, &[&[SATURATED], &RATES[1..]]);
            self.loads(2, Kind::Nchan, gateways, &[&[SATURATED], &RATES[1..]]);
        }
        self.loads(2, Kind::Embedded, 1, &[&[SATURATED, BATCHES], &RATES[1..]]);
        self.loads(2, Kind::Traced, 1, &[&[SATURATED]]);
        self.beside(1, 1, &[1000, 10_000], 100);
    }

    fn standard(&mut self) {
        for gateways in [1, 2, 4, 8] {
            let loads: &[Load] = match gateways {
                1 => &[SATURATED, BATCHES, ACKED, RATES[2]],
                4 => &[SATURATED, BATCHES, RATES[2]],
                _ => &[SATURATED, BATCHES],
            };
            self.loads(5, Kind::Herald, gateways, &[loads]);
            self.loads(5, Kind::Nchan, gateways, &[&[SATURATED]]);
            if matches!(gateways, 1 | 8) {
                self.loads(5, Kind::Node, gateways, &[&[SATURATED]]);
            }
        }
        for kind in [Kind::Traced, Kind::Sampled] {
            self.loads(3, kind, 1, &[&[SATURATED]]);
        }
        for gateways in [1, 4] {
            self.loads(1, Kind::Herald, gateways, &[&[VOLATILE], &RATES[..2]]);
            self.loads(1, Kind::Node, gateways, &[&RATES]);
            self.loads(1, Kind::Nchan, gateways, &[&RATES]);
        }
        self.loads(1, Kind::Embedded, 1, &[&[SATURATED, BATCHES, VOLATILE], &RATES]);
        self.beside(5, 1, &[1000, 10_000, 50_000], 300);
    }

    fn full(&mut self) {
        for gateways in [1, 2, 4, 8] {
            let herald = [SATURATED, BATCHES, VOLATILE, ACKED];
            self.loads(5, Kind::Herald, gateways, &[&herald, &RATES]);
            self.loads(5, Kind::Node, gateways, &[&[SATURATED], &RATES]);
            self.loads(5, Kind::Nchan, gateways, &[&[SATURATED], &RATES]);
        }
        self.loads(5, Kind::Embedded, 1, &[&[SATURATED, BATCHES, VOLATILE], &RATES]);
        for kind in [Kind::Traced, Kind::Sampled] {
            self.loads(5, kind, 1, &[&[SATURATED], &RATES]);
        }
        self.beside(5, 5, &[1000, 10_000, 50_000], 1000);
    }

    fn overhead(&mut self) {
        for kind in [Kind::Bare, Kind::Herald, Kind::Sampled] {
            self.loads(5, kind, 1, &[&[SATURATED]]);
        }
    }

    /// What is not about load: connections, memory, and what makes a notice dearer; so many rounds
    /// of Herald on one Redis, and so many of the others.
    fn beside(&mut self, ours: u32, others: u32, crowds: &[u32], inboxes: u32) {
        let idle = || Trial::Idle(vec![1000, 10_000]);
        self.add(ours, Kind::Herald, 1, idle());
        for kind in [Kind::Embedded, Kind::Node, Kind::Nchan] {
            self.add(others, kind, 1, idle());
        }
        // Two gateways, since one that is left and joined at once holds twice as many files.
        let churn = || Trial::Churn { clients: 10_000, times: 3 };
        self.add(ours, Kind::Herald, 2, churn());
        if others > 1 {
            self.add(others, Kind::Node, 2, churn());
            self.add(others, Kind::Nchan, 2, churn());
        }
        self.add(ours, Kind::Herald, 1, Trial::Inboxes { users: inboxes });
        for sessions in crowds {
            self.add(ours, Kind::Herald, 4, Trial::Crowd { sessions: *sessions });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_what_it_compares_in_the_same_round() {
        for mode in [Mode::Quick, Mode::Standard, Mode::Full] {
            let plan = Plan::of(mode, None);
            assert!(plan.rounds() >= 2, "{mode:?}");
            let systems = |round| {
                let stages = plan.stages(round).into_iter();
                stages.map(|stage| stage.system).collect::<std::collections::BTreeSet<_>>()
            };
            for kind in [Kind::Herald, Kind::Node, Kind::Nchan] {
                let last = plan.rounds() - 1;
                assert!(systems(last).contains(&System { kind, gateways: 1 }), "{mode:?} {kind:?}");
            }
        }
    }

    #[test]
    fn rounds_alternate_in_direction_and_systems_can_be_chosen() {
        let mut plan = Plan::of(Mode::Standard, Some(2));
        plan.keep(&["nchan-1".to_owned(), "nchan-8".to_owned()]);
        let order = |round| {
            let stages = plan.stages(round).into_iter();
            stages.map(|stage| stage.system).collect::<Vec<_>>()
        };
        let mut backwards = order(1);
        backwards.reverse();
        assert_eq!(order(0), backwards);
        assert!(order(0).len() > 1 && order(2).is_empty());
    }
}
