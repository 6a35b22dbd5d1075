//! Throughput and latency.

use std::fmt::{self, Write as _};

use super::{Bench, Outcome, cell, cpu_per_10k, heading, ms};
use crate::{
    record::{Load, per_10k},
    report::stats::Median,
    systems::{Kind, System},
};

impl Bench {
    /// Herald divided by the others.
    pub(super) fn ratios(&self, text: &mut String) -> fmt::Result {
        let loads = self.loads();
        let Some(&saturated) = loads.iter().find(|load| matches!(load, Load::Saturated(_))) else {
            return Ok(());
        };
        heading(
            text,
            "Herald to others",
            "Herald with Redis, durable, divided by the other with as many gateways in the same round, saturated. \
             More than 1 is better for delivered/s, less than 1 for CPU.",
            &[
                "gateways",
                "delivered/s: to Node",
                "to nchan",
                "CPU per notice: to Node",
                "to nchan",
            ],
        )?;
        for herald in self.systems().into_iter().filter(|system| system.kind == Kind::Herald) {
            let to = |kind, figure: fn(&Outcome<'_>) -> f64| {
                let other = System { kind, ..herald };
                cell(self.ratio((herald, saturated), (other, saturated), figure))
            };
            writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                herald.gateways,
                to(Kind::Node, |outcome| outcome.result.per_second),
                to(Kind::Nchan, |outcome| outcome.result.per_second),
                to(Kind::Node, cpu_per_10k),
                to(Kind::Nchan, cpu_per_10k),
            )?;
        }
        writeln!(text)
    }

    pub(super) fn saturated(&self, text: &mut String) -> fmt::Result {
        for load in self.loads() {
            let title = match load {
                Load::Saturated(calls) => format!("Saturated: {calls} unary calls in flight"),
                Load::Batches(calls) => format!("Saturated: {calls} batches of 100 in flight"),
                Load::Volatile(calls) => {
                    format!("Saturated: {calls} unary calls of volatile notices in flight")
                }
                Load::Acked(calls) => {
                    format!("Saturated: {calls} unary calls in flight that wait for ACKED_ANY")
                }
                _ => continue,
            };
            let columns = [
                "system",
                "delivered/s",
                "CPU s per 10,000",
                "gateways",
                "notifier",
                "Redis",
                "load",
                "p50 ms",
                "p99 ms",
                "p99.9 ms",
            ];
            heading(text, &title, "", &columns)?;
            for (system, outcomes) in self.by_system(load) {
                let all = |figure: &dyn Fn(&Outcome<'_>) -> f64| cell(median(&outcomes, figure));
                let share = |share: Option<Median>| {
                    share.map_or_else(|| "–".to_owned(), |share| format!("{:.2}", share.median))
                };
                let role = |role: &str| {
                    let shares = outcomes.iter().filter_map(|outcome| outcome.role_per_10k(role));
                    share(Median::of(shares))
                };
                let gateways = if system.kind == Kind::Embedded { "herald" } else { "gateway" };
                let own =
                    |outcome: &Outcome<'_>| per_10k(outcome.result.own_cpu_seconds, outcome.result);
                writeln!(
                    text,
                    "| {system} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                    all(&|outcome| outcome.result.per_second),
                    all(&cpu_per_10k),
                    role(gateways),
                    role("notifier"),
                    role("redis"),
                    share(median(&outcomes, &own)),
                    all(&|outcome| ms(outcome.result.latency_us.p50)),
                    all(&|outcome| ms(outcome.result.latency_us.p99)),
                    all(&|outcome| ms(outcome.result.latency_us.p999)),
                )?;
            }
            writeln!(text)?;
        }
        Ok(())
    }

    pub(super) fn open(&self, text: &mut String) -> fmt::Result {
        for load in self.loads() {
            let Load::Open(rate) = load else { continue };
            let columns = [
                "system",
                "delivered/s",
                "CPU s per 10,000",
                "p50 ms",
                "p99 ms",
                "p99.9 ms",
                "late ms",
            ];
            heading(text, &format!("Open loop: {rate} notices a second"), "", &columns)?;
            for (system, outcomes) in self.by_system(load) {
                let all = |figure: &dyn Fn(&Outcome<'_>) -> f64| cell(median(&outcomes, figure));
                writeln!(
                    text,
                    "| {system} | {} | {} | {} | {} | {} | {} |",
                    all(&|outcome| outcome.result.per_second),
                    all(&cpu_per_10k),
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

    fn by_system(&self, load: Load) -> Vec<(System, Vec<Outcome<'_>>)> {
        let systems = self.systems().into_iter();
        let outcomes = systems.map(|system| (system, self.outcomes(system, load)));
        outcomes.filter(|(_, outcomes)| !outcomes.is_empty()).collect()
    }
}

fn median(outcomes: &[Outcome<'_>], figure: &dyn Fn(&Outcome<'_>) -> f64) -> Option<Median> {
    Median::of(outcomes.iter().map(figure))
}
