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
        /// Processors that neither the servers nor the load kept busy meanwhile.
        others: f64,
    },
    Idle(Idle),
    Churn {
        connections: u32,
        /// One after the other.
        lives: Vec<Life>,
    },
    Failure(String),
}

/// Connections that only wait.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Idle {
    pub(crate) connections: u32,
    /// By how much resident memory had grown since before the first connection, in bytes.
    pub(crate) resident: ByRole,
    /// The same of the kernel's memory for both ends of the connections.
    pub(crate) kernel: f64,
    pub(crate) per_second: f64,
    /// Processor seconds of the servers for one connection.
    pub(crate) cpu_per_connect: f64,
}

/// So many connections that came, all broke and came back at once, and left.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Life {
    /// By how much the servers' resident memory had grown since before the first life, in bytes:
    /// with all connections, and when they had left.
    pub(crate) full: f64,
    pub(crate) left: f64,
    /// Until the last one was back.
    pub(crate) seconds: f64,
    /// Processor seconds of the servers for one that came back.
    pub(crate) cpu_per_return: f64,
}

/// What was asked of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Load {
    /// So many unary calls in flight.
    Saturated(u32),
    /// So many calls in flight, each a batch.
    Batches(u32),
    /// So many unary calls in flight, of volatile notices.
    Volatile(u32),
    /// So many unary calls in flight, each waiting for a client's acknowledgement.
    Acked(u32),
    /// So many notices a second, unary.
    Open(u32),
    /// Saturated, to so many users whose inboxes are empty at first.
    EmptyInboxes(u32),
    /// Saturated, to so many users whose inboxes are full.
    FullInboxes(u32),
    /// Saturated, with so many sessions that all get notices.
    Crowd(u32),
}

impl Record {
    pub(crate) fn failure(system: System, round: u32, error: &anyhow::Error) -> Self {
        Self { round, system, what: What::Failure(format!("{error:#}")) }
    }
}

impl Idle {
    /// Resident bytes of all servers for one connection.
    pub(crate) fn resident_each(&self) -> f64 {
        self.resident.values().sum::<f64>() / f64::from(self.connections)
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
            What::Idle(idle) => write!(
                f,
                "{} idle: {:.1} kB each and {:.1} in the kernel, {:.0} connects/s, {:.2} CPU ms each",
                idle.connections,
                idle.resident_each() / 1000.0,
                idle.kernel / f64::from(idle.connections) / 1000.0,
                idle.per_second,
                idle.cpu_per_connect * 1000.0
            ),
            What::Churn { connections, lives } => {
                write!(f, "{connections} come and go:")?;
                for Life { full, left, seconds, cpu_per_return } in lives {
                    write!(
                        f,
                        " {:.0} MB, back in {seconds:.1} s at {:.2} CPU ms each, {:.0} MB left;",
                        full / 1e6,
                        cpu_per_return * 1000.0,
                        left / 1e6
                    )?;
                }
                Ok(())
            }
            What::Failure(why) => write!(f, "not measured: {why}"),
        }
    }
}
