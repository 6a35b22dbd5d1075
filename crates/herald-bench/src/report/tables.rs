//! The tables.

use std::fmt::{self, Write as _};

use super::{
    Bench, Outcome,
    stats::{Median, cell},
};
use crate::{
    record::{Load, What, per_10k},
    systems::{Kind, System},
};

impl Bench {
    /// All tables, as Markdown.
    pub(crate) fn tables(&self) -> String {
        let mut text = String::new();
        let written = self
            .ratios(&mut text)
            .and_then(|()| self.saturated(&mut text))
            .and_then(|()| self.open(&mut text))
            .and_then(|()| self.idle(&mut text))
            .and_then(|()| self.failures(&mut text));
        written.expect("writing to a string never fails");
        text
    }

    fn ratios(&self, text: &mut String) -> fmt::Result {
        let Some(saturated) =
            self.loads().into_iter().find(|load| matches!(load, Load::Saturated(_)))
        else {
            return Ok(());
        };
        writeln!(text, "## Herald to others\n")?;
        writeln!(
            text,
            "Herald with Redis, durable, divided by the other with as many gateways in the same round, saturated. \
             More than 1 is better for delivered/s, less than 1 for CPU.\n"
        )?;
        writeln!(
            text,
            "| gateways | delivered/s: to Node | to nchan | CPU per notice: to Node | to nchan |"
        )?;
        writeln!(text, "|---|---|---|---|---|")?;
        let herald = self.systems().into_iter().filter(|system| system.kind == Kind::Herald);
        for system in herald {
            let ratio = |kind, figure: fn(&Outcome<'_>) -> f64| {
                let others = self.outcomes(System { kind, ..system }, saturated);
                let ours = self.outcomes(system, saturated);
                cell(Median::of(ours.iter().filter_map(|our| {
                    let other = others.iter().find(|other| other.round == our.round)?;
                    Some(figure(our) / figure(other))
                })))
            };
            writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                system.gateways,
                ratio(Kind::Node, |outcome| outcome.result.per_second),
                ratio(Kind::Nchan, |outcome| outcome.result.per_second),
                ratio(Kind::Node, |outcome| outcome.cpu_per_10k()),
                ratio(Kind::Nchan, |outcome| outcome.cpu_per_10k()),
            )?;
        }
        writeln!(text)
    }

    fn saturated(&self, text: &mut String) -> fmt::Result {
        for load in self.loads() {
            match load {
                Load::Saturated(calls) => {
                    writeln!(text, "## Saturated: {calls} unary calls in flight\n")?;
                }
                Load::Batches(calls) => {
                    writeln!(text, "## Saturated: {calls} batches of 100 in flight\n")?;
                }
                Load::Open(_) => continue,
            }
            writeln!(
                text,
                "| system | delivered/s | CPU s per 10,000 | gateways | notifier | Redis | load | p50 ms | p99 ms |"
            )?;
            writeln!(text, "|---|---|---|---|---|---|---|---|---|")?;
            for system in self.systems() {
                let outcomes = self.outcomes(system, load);
                if outcomes.is_empty() {
                    continue;
                }
                let all = |figure: &dyn Fn(&Outcome<'_>) -> f64| median(&outcomes, figure);
                let role = |role: &'static str| {
                    let share = Median::of(
                        outcomes.iter().filter_map(|outcome| outcome.role_per_10k(role)),
                    );
                    share.map_or_else(|| "–".to_owned(), |share| format!("{:.2}", share.median))
                };
                let gateways = if system.kind == Kind::Embedded { "herald" } else { "gateway" };
                writeln!(
                    text,
                    "| {system} | {} | {} | {} | {} | {} | {:.2} | {} | {} |",
                    cell(all(&|outcome| outcome.result.per_second)),
                    cell(all(&|outcome| outcome.cpu_per_10k())),
                    role(gateways),
                    role("notifier"),
                    role("redis"),
                    all(&|outcome| per_10k(outcome.result.own_cpu_seconds, outcome.result))
                        .map_or(f64::NAN, |load| load.median),
                    cell(all(&|outcome| ms(outcome.result.latency_us.p50))),
                    cell(all(&|outcome| ms(outcome.result.latency_us.p99))),
                )?;
            }
            writeln!(text)?;
        }
        Ok(())
    }

    fn open(&self, text: &mut String) -> fmt::Result {
        for load in self.loads() {
            let Load::Open(rate) = load else { continue };
            writeln!(text, "## Open loop: {rate} notices a second\n")?;
            writeln!(
                text,
                "| system | delivered/s | CPU s per 10,000 | p50 ms | p99 ms | p99.9 ms | late ms |"
            )?;
            writeln!(text, "|---|---|---|---|---|---|---|")?;
            for system in self.systems() {
                let outcomes = self.outcomes(system, load);
                if outcomes.is_empty() {
                    continue;
                }
                let all = |figure: &dyn Fn(&Outcome<'_>) -> f64| cell(median(&outcomes, figure));
                writeln!(
                    text,
                    "| {system} | {} | {} | {} | {} | {} | {} |",
                    all(&|outcome| outcome.result.per_second),
                    all(&|outcome| outcome.cpu_per_10k()),
                    all(&|outcome| ms(outcome.result.latency_us.p50)),
                    all(&|outcome| ms(outcome.result.latency_us.p99)),
                    all(&|outcome| ms(outcome.result.latency_us.p999)),
                    all(&|outcome| ms(outcome.result.late_us.p99)),
                )?;
            }
            writeln!(text)?;
        }
        Ok(())
    }

    fn idle(&self, text: &mut String) -> fmt::Result {
        let mut rows = std::collections::BTreeMap::<_, Vec<(f64, f64, f64, f64)>>::new();
        for record in &self.records {
            if let What::Idle { connections, resident, per_second, cpu_per_connect } = &record.what
            {
                let each = |bytes: f64| bytes / f64::from(*connections) / 1000.0;
                let redis = resident.get("redis").copied().unwrap_or_default();
                rows.entry((*connections, record.system)).or_default().push((
                    each(resident.values().sum()),
                    each(redis),
                    *per_second,
                    cpu_per_connect * 1000.0,
                ));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        writeln!(text, "## Idle connections\n")?;
        writeln!(
            text,
            "| connections | system | kB each | of it Redis | connects/s | CPU ms per connect |"
        )?;
        writeln!(text, "|---|---|---|---|---|---|")?;
        for ((connections, system), values) in rows {
            let all = |figure: fn(&(f64, f64, f64, f64)) -> f64| {
                cell(Median::of(values.iter().map(figure)))
            };
            writeln!(
                text,
                "| {connections} | {system} | {} | {} | {} | {} |",
                all(|value| value.0),
                all(|value| value.1),
                all(|value| value.2),
                all(|value| value.3),
            )?;
        }
        writeln!(text)
    }

    fn failures(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "## What went wrong\n")?;
        let before = text.len();
        for record in &self.records {
            let (system, round) = (record.system, record.round + 1);
            match &record.what {
                What::Load { load, result, .. } if result.missing != 0 || result.failed > 0 => {
                    writeln!(
                        text,
                        "- {system}, round {round}, {load:?}: {} missing and {} failed of {}{}",
                        result.missing,
                        result.failed,
                        result.accepted + result.failed,
                        result.failure.as_ref().map_or_else(String::new, |why| format!(" ({why})"))
                    )?;
                }
                What::Failure(why) => {
                    let line = why.lines().next().unwrap_or_default();
                    writeln!(text, "- {system}, round {round}: not measured: {line}")?;
                }
                _ => {}
            }
        }
        if text.len() == before {
            writeln!(text, "Nothing: all that was accepted arrived, and nothing was refused.")?;
        }
        writeln!(text)
    }
}

impl Outcome<'_> {
    fn cpu_per_10k(&self) -> f64 {
        per_10k(self.cpu.values().sum(), self.result)
    }

    fn role_per_10k(&self, role: &str) -> Option<f64> {
        Some(per_10k(*self.cpu.get(role)?, self.result))
    }
}

fn median(outcomes: &[Outcome<'_>], figure: &dyn Fn(&Outcome<'_>) -> f64) -> Option<Median> {
    Median::of(outcomes.iter().map(figure))
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
