//! What is aimed at, and whether it was reached.

use std::fmt::{self, Write as _};

use super::{Bench, Outcome, cell, cpu_per_10k, heading, ms, stats::Median};
use crate::{
    plan::Mode,
    record::{Idle, Life, Load, What},
    systems::{Kind, System},
};

/// What a measured value has to be.
#[derive(Debug, Clone, Copy)]
enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// One thing to reach.
struct Goal {
    what: String,
    target: Target,
    /// `None` when the mode did not measure it.
    measured: Option<Median>,
}

const SATURATED: Load = Load::Saturated(32);
const BATCHES: Load = Load::Batches(4);
const OPEN: Load = Load::Open(5000);

fn herald(gateways: u32) -> System {
    System { kind: Kind::Herald, gateways }
}

impl Bench {
    pub(super) fn goals(&self, text: &mut String) -> fmt::Result {
        heading(
            text,
            "Goals",
            "Of Herald on Redis, durable; its median against the goal, and between what the rounds lie. CPU is processor \
             seconds of all servers for 10,000 notices. Ratios are of the same round.",
            &["goal", "aimed at", "measured", "rounds", ""],
        )?;
        for Goal { what, target, measured } in self.all_goals() {
            let rounds = measured.map_or(0, |measured| measured.count);
            let verdict = match measured {
                None => "not measured",
                Some(measured) if target.is_met(measured.median) => "met",
                Some(_) => "**missed**",
            };
            writeln!(text, "| {what} | {target} | {} | {rounds} | {verdict} |", cell(measured))?;
        }
        writeln!(text)
    }

    fn all_goals(&self) -> Vec<Goal> {
        if self.host.mode == Mode::Overhead {
            return self.telemetry();
        }
        let mut goals = self.throughput();
        goals.extend(self.against_node());
        goals.extend(self.connections());
        goals.extend(self.evenness());
        goals
    }

    fn throughput(&self) -> Vec<Goal> {
        let delivered = |outcome: &Outcome<'_>| outcome.result.per_second;
        let mut goals = Vec::new();
        for gateways in [1, 2, 4, 8] {
            let nchan = System { kind: Kind::Nchan, gateways };
            let ratio = self.ratio((herald(gateways), SATURATED), (nchan, SATURATED), cpu_per_10k);
            goals.push(at_most(
                1.0,
                format!("CPU of nchan's, saturated, {}", number(gateways)),
                ratio,
            ));
        }
        for gateways in [1, 2] {
            let what = format!("delivered/s, saturated, {}", number(gateways));
            goals.push(at_least(
                30_000.0,
                what,
                self.median((herald(gateways), SATURATED), delivered),
            ));
        }
        goals.push(at_most(
            1.3,
            "CPU with eight gateways of that with one, saturated".to_owned(),
            self.ratio((herald(8), SATURATED), (herald(1), SATURATED), cpu_per_10k),
        ));
        let batches = (herald(1), BATCHES);
        goals.push(at_most(
            0.30,
            "CPU, batches of 100, one gateway".to_owned(),
            self.median(batches, cpu_per_10k),
        ));
        goals.push(at_least(
            40_000.0,
            "delivered/s, batches of 100, one gateway".to_owned(),
            self.median(batches, delivered),
        ));
        goals.push(at_most(
            0.9,
            "CPU at 5,000/s, one gateway".to_owned(),
            self.median((herald(1), OPEN), cpu_per_10k),
        ));
        for (gateways, limit) in [(1, 3.0), (4, 5.0)] {
            let p99 =
                self.median((herald(gateways), OPEN), |outcome| ms(outcome.result.latency_us.p99));
            goals.push(at_most(limit, format!("p99 at 5,000/s in ms, {}", number(gateways)), p99));
        }
        goals
    }

    fn against_node(&self) -> Vec<Goal> {
        let to_node = |gateways, figure: fn(&Outcome<'_>) -> f64| {
            let node = System { kind: Kind::Node, gateways };
            self.ratio((herald(gateways), SATURATED), (node, SATURATED), figure)
        };
        let mut goals = Vec::new();
        for gateways in [1, 8] {
            let what = format!("delivered/s of Node's, saturated, {}", number(gateways));
            goals.push(at_least(2.5, what, to_node(gateways, |outcome| outcome.result.per_second)));
        }
        for (gateways, share) in [(1, 1.0 / 3.0), (8, 0.2)] {
            let what = format!("CPU of Node's, saturated, {}", number(gateways));
            goals.push(at_most(share, what, to_node(gateways, cpu_per_10k)));
        }
        goals
    }

    fn connections(&self) -> Vec<Goal> {
        const MANY: u32 = 10_000;
        let idle = |figure: fn(&Idle) -> f64| {
            Median::of(self.records.iter().filter_map(|record| match &record.what {
                What::Idle(idle) if record.system == herald(1) && idle.connections == MANY => {
                    Some(figure(idle))
                }
                _ => None,
            }))
        };
        let lives = |figure: fn(&Life, &Life) -> f64| {
            Median::of(self.records.iter().filter_map(|record| match &record.what {
                What::Churn { lives, .. } if record.system.kind == Kind::Herald => {
                    Some(figure(lives.first()?, lives.last()?))
                }
                _ => None,
            }))
        };
        let memory = idle(|idle| idle.resident_each() / 1000.0);
        vec![
            at_most(20.0, "kB for each of 10,000 idle sessions, with JWT".to_owned(), memory),
            at_most(13.0, "the same, stretched".to_owned(), memory),
            at_least(4000.0, "connects/s, with JWT".to_owned(), idle(|idle| idle.per_second)),
            at_most(
                1.1,
                "memory with 10,000 sessions, third time of the first".to_owned(),
                lives(|first, last| last.full / first.full),
            ),
            at_most(
                0.1,
                "memory left when they had gone the third time, of what they took".to_owned(),
                lives(|_, last| last.left / last.full),
            ),
        ]
    }

    /// Beside binaries that only one mode has.
    fn telemetry(&self) -> Vec<Goal> {
        let to_bare = |kind| {
            let bare = System { kind: Kind::Bare, gateways: 1 };
            self.ratio((System { kind, ..bare }, SATURATED), (bare, SATURATED), cpu_per_10k)
        };
        let without = "of that with telemetry compiled out";
        vec![
            at_most(1.05, format!("CPU without traces {without}"), to_bare(Kind::Herald)),
            at_most(
                1.1,
                format!("CPU with 1 % of notices traced {without}"),
                to_bare(Kind::Sampled),
            ),
        ]
    }

    fn evenness(&self) -> Vec<Goal> {
        let cpu = |this, that| self.ratio(this, that, cpu_per_10k);
        let mut goals = Vec::new();
        for sessions in [10_000, 50_000] {
            goals.push(at_most(
                1.15,
                format!("CPU with {sessions} sessions on four gateways of that with 1,000"),
                cpu((herald(4), Load::Crowd(sessions)), (herald(4), Load::Crowd(1000))),
            ));
        }
        let full = self.loads().into_iter().find_map(|load| match load {
            Load::FullInboxes(users) => Some(users),
            _ => None,
        });
        goals.push(at_most(
            1.15,
            "CPU with full inboxes of that with empty ones".to_owned(),
            full.and_then(|users| {
                cpu((herald(1), Load::FullInboxes(users)), (herald(1), Load::EmptyInboxes(users)))
            }),
        ));
        goals.push(at_most(
            2.0,
            "CPU with ACKED_ANY of that with ACCEPTED".to_owned(),
            cpu((herald(1), Load::Acked(32)), (herald(1), SATURATED)),
        ));
        goals
    }
}

fn at_most(limit: f64, what: String, measured: Option<Median>) -> Goal {
    Goal { what, target: Target::AtMost(limit), measured }
}

fn at_least(limit: f64, what: String, measured: Option<Median>) -> Goal {
    Goal { what, target: Target::AtLeast(limit), measured }
}

fn number(gateways: u32) -> &'static str {
    match gateways {
        1 => "one gateway",
        2 => "two gateways",
        4 => "four gateways",
        8 => "eight gateways",
        _ => "several gateways",
    }
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |limit| cell(Median::of([limit]));
        match self {
            Self::AtMost(limit) => write!(f, "at most {}", one(*limit)),
            Self::AtLeast(limit) => write!(f, "at least {}", one(*limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bench, load};
    use super::*;

    fn verdict(bench: &Bench, goal: &str) -> String {
        let mut text = String::new();
        bench.goals(&mut text).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("| {goal} "))).unwrap();
        line.rsplit('|').nth(1).unwrap().trim().to_owned()
    }

    #[test]
    fn medians_decide_and_what_was_not_measured_is_neither_met_nor_missed() {
        let nchan = System { kind: Kind::Nchan, gateways: 1 };
        let mut records = Vec::new();
        for (round, rate, cpu) in [(0, 31_000.0, 0.3), (1, 10_000.0, 0.9), (2, 35_000.0, 0.2)] {
            records.push(load(round, herald(1), SATURATED, rate, cpu));
            records.push(load(round, nchan, SATURATED, 20_000.0, 0.4));
        }
        records.push(load(0, herald(2), SATURATED, 29_000.0, 0.4));
        let bench = bench(records);
        assert_eq!(verdict(&bench, "delivered/s, saturated, one gateway"), "met");
        assert_eq!(verdict(&bench, "delivered/s, saturated, two gateways"), "**missed**");
        assert_eq!(verdict(&bench, "CPU of nchan's, saturated, one gateway"), "met");
        assert_eq!(verdict(&bench, "CPU of nchan's, saturated, two gateways"), "not measured");
        assert_eq!(verdict(&bench, "connects/s, with JWT"), "not measured");
    }

    #[test]
    fn a_third_time_is_compared_with_the_first() {
        let life = |full, left| Life { full, left, seconds: 1.0, cpu_per_return: 0.0 };
        let lives = vec![life(100.0, 50.0), life(150.0, 60.0), life(105.0, 42.0)];
        let what = What::Churn { connections: 10_000, lives };
        let bench = bench(vec![crate::record::Record { round: 0, system: herald(2), what }]);
        let goal = "memory with 10,000 sessions, third time of the first";
        assert_eq!(verdict(&bench, goal), "met");
        let goal = "memory left when they had gone the third time, of what they took";
        assert_eq!(verdict(&bench, goal), "**missed**");
    }
}
