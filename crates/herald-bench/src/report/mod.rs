//! The page.

mod connections;
mod costs;
mod failures;
mod goals;
mod loads;
mod stats;
mod text;

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
};

use herald_loadgen::measure::Summary;

use self::stats::{Median, cell};
use crate::{
    host::Host,
    plan::Mode,
    record::{ByRole, Load, Record, What, per_10k},
    systems::System,
};

/// All that was measured.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) host: Host,
    pub(crate) records: Vec<Record>,
}

/// A load's outcome in one round.
struct Outcome<'a> {
    round: u32,
    result: &'a Summary,
    cpu: &'a ByRole,
}

impl Outcome<'_> {
    fn role_per_10k(&self, role: &str) -> Option<f64> {
        Some(per_10k(*self.cpu.get(role)?, self.result))
    }
}

impl Bench {
    pub(crate) fn new(host: Host) -> Self {
        Self { host, records: Vec::new() }
    }

    fn systems(&self) -> BTreeSet<System> {
        self.records.iter().map(|record| record.system).collect()
    }

    fn loads(&self) -> BTreeSet<Load> {
        let loads = self.records.iter().filter_map(|record| match record.what {
            What::Load { load, .. } => Some(load),
            _ => None,
        });
        loads.collect()
    }

    /// The outcomes of a system under a load, a round each.
    fn outcomes(&self, system: System, wanted: Load) -> Vec<Outcome<'_>> {
        let of_system = self.records.iter().filter(|record| record.system == system);
        of_system
            .filter_map(|record| match &record.what {
                What::Load { load, result, cpu, .. } if *load == wanted => {
                    Some(Outcome { round: record.round, result, cpu })
                }
                _ => None,
            })
            .collect()
    }

    fn rounds(&self) -> usize {
        self.records.iter().map(|record| record.round).collect::<BTreeSet<_>>().len()
    }

    /// How many processors others kept busy while something was measured.
    fn others(&self) -> Option<Median> {
        Median::of(self.records.iter().filter_map(|record| match record.what {
            What::Load { others, .. } => Some(others),
            _ => None,
        }))
    }

    /// The median over the rounds.
    fn median(
        &self,
        (system, load): (System, Load),
        figure: impl Fn(&Outcome<'_>) -> f64,
    ) -> Option<Median> {
        Median::of(self.outcomes(system, load).iter().map(figure))
    }

    /// The median of one divided by the other, over the rounds that have both.
    fn ratio(
        &self,
        (system, load): (System, Load),
        (other_system, other_load): (System, Load),
        figure: impl Fn(&Outcome<'_>) -> f64,
    ) -> Option<Median> {
        let others = self.outcomes(other_system, other_load);
        Median::of(self.outcomes(system, load).iter().filter_map(|this| {
            let other = others.iter().find(|other| other.round == this.round)?;
            Some(figure(this) / figure(other))
        }))
    }

    /// All tables, as Markdown.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        let written = self
            .goals(&mut text)
            .and_then(|()| self.ratios(&mut text))
            .and_then(|()| self.saturated(&mut text))
            .and_then(|()| self.open(&mut text))
            .and_then(|()| self.costs(&mut text))
            .and_then(|()| self.idle(&mut text))
            .and_then(|()| self.churn(&mut text))
            .and_then(|()| self.failures(&mut text));
        written.expect("writing to a string never fails");
        text
    }
}

impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        let command = match host.mode {
            Mode::Overhead => "make overhead".to_owned(),
            mode => format!("make bench BENCH={}", mode.name()),
        };
        writeln!(
            f,
            "# Benchmarks

Written by `{command}` on {}: Herald beside other systems on one machine, {} rounds in which
the systems take turns. **Compare within a table, never with another run or machine.** Everything ran on
{} processors, the servers, Redis and the load alike, and other work kept {} of them busy meanwhile (median
and range over all measurements; an idle machine shows about 0).",
            host.date,
            self.rounds(),
            host.processors,
            cell(self.others()),
        )?;
        if self.others().is_some_and(|others| others.median > 0.1) {
            writeln!(
                f,
                "\n**The machine was busy.** Throughput and latency are worse here than the systems are, and unevenly
so; ratios within one round and processor seconds suffer least."
            )?;
        }
        writeln!(f, "\n{}", text::METHOD.trim())?;
        writeln!(f, "\n{}", self.tables())?;
        writeln!(f, "## Made with\n\n| | |\n|---|---|")?;
        writeln!(
            f,
            "| machine | {} × {}, {:.0} GB, {} |",
            host.processors, host.processor, host.memory_gb, host.kernel
        )?;
        for (name, version) in &host.versions {
            writeln!(f, "| {name} | {version} |")?;
        }
        write!(f, "\n{}", text::COMMANDS.trim_start())
    }
}

/// Processor seconds of all servers for 10,000 notices.
fn cpu_per_10k(outcome: &Outcome<'_>) -> f64 {
    per_10k(outcome.cpu.values().sum(), outcome.result)
}

/// A table's heading, what it is about, and its columns.
fn heading(text: &mut String, title: &str, about: &str, columns: &[&str]) -> fmt::Result {
    writeln!(text, "## {title}\n")?;
    if !about.is_empty() {
        writeln!(text, "{about}\n")?;
    }
    writeln!(text, "| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()))
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use herald_loadgen::measure::Spread;

    use super::*;
    use crate::systems::Kind;

    pub(super) fn bench(records: Vec<Record>) -> Bench {
        Bench { host: Host::look(Mode::Quick).unwrap(), records }
    }

    /// A load of a second, with so many processor seconds for 10,000 notices.
    pub(super) fn load(round: u32, system: System, load: Load, rate: f64, cpu: f64) -> Record {
        let spread = Spread { p50: 100, p90: 200, p99: 300, p999: 400, max: 500 };
        let result = Summary {
            seconds: 1.0,
            arrived: rate as u64,
            per_second: rate,
            accepted: rate as u64,
            failed: 0,
            missing: 0,
            ended: 0,
            latency_us: spread,
            late_us: spread,
            own_cpu_seconds: 0.1,
            failure: None,
        };
        let cpu = ByRole::from([("gateway".to_owned(), cpu * rate / 10_000.0)]);
        Record { round, system, what: What::Load { load, result, cpu, others: 0.0 } }
    }

    #[test]
    fn a_ratio_is_made_within_each_round_and_every_load_has_its_table() {
        let herald = System { kind: Kind::Herald, gateways: 1 };
        let traced = System { kind: Kind::Traced, ..herald };
        let saturated = Load::Saturated(32);
        let mut records = vec![load(2, herald, saturated, 100.0, 9.0)];
        for (round, cpu) in [(0, 1.0), (1, 2.0)] {
            records.push(load(round, herald, saturated, 1000.0, cpu));
            records.push(load(round, traced, saturated, 1000.0, cpu * 1.5));
        }
        for other in [
            Load::Acked(32),
            Load::Volatile(32),
            Load::Batches(4),
            Load::Open(500),
            Load::Crowd(1000),
            Load::Crowd(50_000),
            Load::EmptyInboxes(9),
            Load::FullInboxes(9),
        ] {
            records.push(load(0, herald, other, 1000.0, 2.0));
        }
        let page = bench(records).to_string();
        for row in [
            "| traces of all notices | 2.25 (1.50–3.00) | none | 2.00 (1.00–9.00) | 1.50 (1.50–1.50) |",
            "| waiting for ACKED_ANY (herald-1) | 2.00 | ACCEPTED |",
            "| 50000 sessions that all get notices (herald-1) | 2.00 | 1000 sessions | 2.00 | 1.00 |",
            "| full inboxes of 9 users (herald-1) | 2.00 | empty at first | 2.00 | 1.00 |",
            "## Open loop: 500 notices a second",
            "## Saturated: 4 batches of 100 in flight",
            "| herald-1 | 1,000 | 2.00 | 2.00 | – | – | 1.00 | 0.10 | 0.30 | 0.40 |",
        ] {
            assert!(page.contains(row), "{row} is not in {page}");
        }
    }
}
