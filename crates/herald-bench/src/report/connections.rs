//! Connections: idle, and coming back.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use super::{Bench, cell, heading, stats::Median};
use crate::{
    record::{Idle, Life, What},
    systems::System,
};

impl Bench {
    pub(super) fn idle(&self, text: &mut String) -> fmt::Result {
        let mut rows = BTreeMap::<_, Vec<&Idle>>::new();
        for record in &self.records {
            if let What::Idle(idle) = &record.what {
                rows.entry((idle.connections, record.system)).or_default().push(idle);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let columns = [
            "connections",
            "system",
            "kB each",
            "of it Redis",
            "kB in the kernel",
            "connects/s",
            "CPU ms per connect",
        ];
        heading(text, "Idle connections", "", &columns)?;
        for ((connections, system), values) in rows {
            let all =
                |figure: fn(&Idle) -> f64| cell(Median::of(values.iter().map(|idle| figure(idle))));
            writeln!(
                text,
                "| {connections} | {system} | {} | {} | {} | {} | {} |",
                all(|idle| idle.resident_each() / 1000.0),
                all(|idle| idle.resident.get("redis").copied().unwrap_or_default()
                    / f64::from(idle.connections)
                    / 1000.0),
                all(|idle| idle.kernel / f64::from(idle.connections) / 1000.0),
                all(|idle| idle.per_second),
                all(|idle| idle.cpu_per_connect * 1000.0),
            )?;
        }
        writeln!(text)
    }

    pub(super) fn churn(&self, text: &mut String) -> fmt::Result {
        let mut rows = BTreeMap::<(u32, System, usize), Vec<&Life>>::new();
        for record in &self.records {
            if let What::Churn { connections, lives } = &record.what {
                for (nth, life) in lives.iter().enumerate() {
                    rows.entry((*connections, record.system, nth + 1)).or_default().push(life);
                }
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let columns = [
            "clients",
            "system",
            "time",
            "all back in s",
            "returns/s",
            "CPU ms per return",
            "MB with all",
            "MB after",
        ];
        heading(
            text,
            "Storms",
            "All clients come, lose their connections at the same moment, come back at once (1,000 handshakes under \
             way), and leave without a word; then the same again. Memory is the growth of the servers' since before \
             the first time.",
            &columns,
        )?;
        for ((clients, system, nth), lives) in rows {
            let all = |figure: &dyn Fn(&Life) -> f64| {
                cell(Median::of(lives.iter().map(|life| figure(life))))
            };
            writeln!(
                text,
                "| {clients} | {system} | {nth} | {} | {} | {} | {} | {} |",
                all(&|life| life.seconds),
                all(&|life| f64::from(clients) / life.seconds),
                all(&|life| life.cpu_per_return * 1000.0),
                all(&|life| life.full / 1e6),
                all(&|life| life.left / 1e6),
            )?;
        }
        writeln!(text)
    }
}
