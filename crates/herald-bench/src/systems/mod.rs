//! The systems, each started anew on ports of its own.

mod collector;
mod herald;
mod nchan;
mod node;
mod parts;

use std::{fmt, net::SocketAddr};

use herald_e2e::{Port, Process, Sandbox, Script};
use herald_loadgen::{
    measure::{Dialect, Producer, Tokens},
    procfs,
};
use serde::{Deserialize, Serialize};

pub(crate) use self::node::packages as node_packages;
use crate::record::ByRole;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// `herald dev`: everything in one process, without Redis.
    Embedded,
    /// Gateways, a notifier and Redis, each notice stored first.
    Herald,
    /// The same, each notice traced and its spans sent to a collector.
    Traced,
    /// The same, one notice in a hundred.
    Sampled,
    /// Like Herald, with all telemetry compiled out.
    Bare,
    /// Socket.IO with the Redis adapter, in Node; nothing is stored.
    Node,
    /// nchan with Redis; nothing is stored.
    Nchan,
}

/// What is measured, with how many gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct System {
    pub(crate) kind: Kind,
    pub(crate) gateways: u32,
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Embedded => f.write_str("herald-embedded"),
            Kind::Herald => write!(f, "herald-{}", self.gateways),
            Kind::Traced => write!(f, "herald-traced-{}", self.gateways),
            Kind::Sampled => write!(f, "herald-sampled-{}", self.gateways),
            Kind::Bare => write!(f, "herald-bare-{}", self.gateways),
            Kind::Node => write!(f, "node-{}", self.gateways),
            Kind::Nchan => write!(f, "nchan-{}", self.gateways),
        }
    }
}

/// What Herald's services tell besides metrics and what they log by default.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Telemetry {
    /// Nothing.
    Off,
    /// The traces of this share of all notices.
    Traces(f64),
    /// Nothing at all: spans, log lines and metrics are compiled out.
    Out,
}

/// How clients are let in, where a system has a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clients {
    /// A user's id is taken at its word.
    ByTheirWord,
    /// By a JWT that is checked.
    Signed,
}

impl System {
    /// Starts all of it, and waits until it can be used.
    pub(crate) async fn start(self, clients: Clients) -> anyhow::Result<Running> {
        match self.kind {
            Kind::Embedded => herald::embedded().await,
            Kind::Herald => herald::redis(self.gateways, clients, Telemetry::Off).await,
            Kind::Traced => herald::redis(self.gateways, clients, Telemetry::Traces(1.0)).await,
            Kind::Sampled => herald::redis(self.gateways, clients, Telemetry::Traces(0.01)).await,
            Kind::Bare => herald::redis(self.gateways, clients, Telemetry::Out).await,
            Kind::Node => node::start(self.gateways).await,
            Kind::Nchan => nchan::start(self.gateways).await,
        }
    }
}

/// A system that runs; dropped, all of it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) gateways: Vec<SocketAddr>,
    pub(crate) dialect: Dialect,
    pub(crate) producer: Producer,
    pub(crate) tokens: Tokens,
    /// Where Herald's API is served over gRPC.
    pub(crate) grpc: Option<SocketAddr>,
    parts: Vec<Part>,
    _ports: Vec<Port>,
    _collector: Option<collector::Collector>,
    sandbox: Sandbox,
}

/// A server and what it does.
#[derive(Debug)]
struct Part {
    role: &'static str,
    process: Process,
}

impl Running {
    /// Processor seconds so far.
    pub(crate) fn cpu(&self) -> ByRole {
        self.sum(procfs::cpu_seconds)
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> ByRole {
        self.sum(|pid| procfs::resident_bytes(pid).map(|bytes| bytes as f64))
    }

    /// A `herald-loadgen` beside the system.
    pub(crate) fn loadgen(&mut self, args: &[&str]) -> anyhow::Result<Script> {
        self.sandbox.loadgen(args)
    }

    /// What the servers said last, for a message.
    pub(crate) fn logs(&self) -> String {
        let mut text = "the servers said".to_owned();
        for part in &self.parts {
            if let Some(line) = part.process.log().lines().last() {
                text.push_str(&format!("; {}: {line}", part.process.name()));
            }
        }
        text
    }

    fn sum(&self, figure: impl Fn(u32) -> Option<f64>) -> ByRole {
        let mut sum = ByRole::new();
        for part in &self.parts {
            // A server may have children, which are in its process group.
            for pid in procfs::group(part.process.pid()) {
                *sum.entry(part.role.to_owned()).or_default() += figure(pid).unwrap_or_default();
            }
        }
        sum
    }
}
