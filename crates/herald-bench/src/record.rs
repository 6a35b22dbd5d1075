//! What was measured, one record a line.

use std::{collections::BTreeMap, fmt};

use herald_loadgen::measure::Summary;
use serde::{Deserialize, Serialize};

use crate::systems::System;

/// One figure of one system in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) round: u32,
    pub(crate) system: System,
    pub(crate) what: What,
}

/// Seconds or bytes by what a process does: gateway, notifier, redis.
pub(crate) type ByRole = BTreeMap<String, f64>;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    Load {
        load: Load,
        result: Summary,
        /// Processor seconds of the servers while it was measured.
        cpu: ByRole,
        /// Processors that neither the servers nor this process kept busy meanwhile.
        others: f64,
    },
    Idle {
        connections: u32,
        /// By how much resident memory had grown since before the first connection, in bytes.
        resident: ByRole,
        per_second: f64,
        /// Processor seconds of the servers for one connection.
        cpu_per_connect: f64,
    },
    Failure(String),
}

/// What was asked of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Load {
    /// So many unary calls in flight.
    Saturated(u32),
    /// So many calls in flight, each a batch.
    Batches(u32),
    /// So many notices a second, unary.
    Open(u32),
}

impl Record {
    pub(crate) fn failure(system: System, round: u32, error: &anyhow::Error) -> Self {
        Self { round, system, what: What::Failure(format!("{error:#}")) }
    }
}

/// Processor seconds for 10,000 notices that arrived.
pub(crate) fn per_10k(seconds: f64, result: &Summary) -> f64 {
    seconds * 10_000.0 / (result.arrived.max(1) as f64)
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Load { load, result, cpu, others } => write!(
                f,
                "{load:?}: {:.0}/s, {:.2} CPU s per 10,000, p50 {:.2} ms, p99 {:.1} ms, missing {}, failed {}, \
                 {others:.1} processors busy elsewhere",
                result.per_second,
                per_10k(cpu.values().sum(), result),
                result.latency_us.p50 as f64 / 1000.0,
                result.latency_us.p99 as f64 / 1000.0,
                result.missing,
                result.failed,
            ),
            What::Idle { connections, resident, per_second, cpu_per_connect } => write!(
                f,
                "{connections} idle: {:.1} kB each, {per_second:.0} connects/s, {:.2} CPU ms each",
                resident.values().sum::<f64>() / f64::from(*connections) / 1000.0,
                cpu_per_connect * 1000.0
            ),
            What::Failure(why) => write!(f, "not measured: {why}"),
        }
    }
}
