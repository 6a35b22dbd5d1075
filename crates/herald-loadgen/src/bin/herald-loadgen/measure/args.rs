//! The command line of `measure`.

use std::{net::SocketAddr, time::Duration};

use clap::value_parser;
use herald_loadgen::{
    Sender, WaitFor,
    measure::{Dialect, Load, Plan, Population, Producer},
};

use crate::args::seconds;

/// A run that measures. Each client is a user of its own, and notices go to one user after the
/// other.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MeasureArgs {
    /// Gateways, or the proxies before them; clients take turns
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "127.0.0.1:8013")]
    pub(crate) gateway: Vec<SocketAddr>,

    /// The notifier's gRPC address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    grpc: SocketAddr,

    /// The notifier's HTTP address: send over HTTP instead of gRPC
    #[arg(long, value_name = "ADDRESS", conflicts_with = "post")]
    http: Option<SocketAddr>,

    /// Post each payload to this path, with {user} for the user, of the gateways instead
    #[arg(long, value_name = "PATH")]
    post: Option<String>,

    /// Subscribe at this path, with {user} for the user, over WebSocket without Socket.IO
    #[arg(long, value_name = "PATH")]
    websocket: Option<String>,

    /// Clients over all processes
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..))]
    pub(crate) clients: u32,

    /// Calls in flight over all processes: each answer is followed by the next call
    #[arg(long, default_value_t = 32, conflicts_with = "rate", value_parser = value_parser!(u32).range(1..))]
    in_flight: u32,

    /// Notices a second over all processes, by the clock; latency counts from when they were due
    #[arg(long, value_parser = value_parser!(u32).range(1..))]
    rate: Option<u32>,

    /// Notices a call
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..))]
    batch: u32,

    /// Size of a payload in bytes; at least what the time stamp takes
    #[arg(long, value_name = "BYTES", default_value_t = 200)]
    payload: usize,

    /// Send volatile notices: kept nowhere
    #[arg(long, conflicts_with = "wait")]
    volatile: bool,

    /// What each call waits for; clients acknowledge
    #[arg(long, value_enum, default_value_t = Wait::Accepted)]
    wait: Wait,

    /// Seconds to send before it is measured
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(crate) warm_up: Duration,

    /// Seconds to measure
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) duration: Duration,

    /// Hold the connections for so many seconds and send nothing
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) idle: Option<Duration>,

    /// Seconds to wait for what is still on its way
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) settle: Duration,

    /// Seconds for one call
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    deadline: Duration,

    /// Connections opened at the same time, over all processes
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..))]
    connecting: u32,

    /// Loopback addresses to connect from, 127.1.0.1 and on (one has some 28,000 ports for each
    /// gateway); the system's choice if 0
    #[arg(long, default_value_t = 0)]
    sources: u32,

    /// Processes that share the clients and the load: one holds as many connections as it may
    /// have files (ulimit -n)
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..))]
    pub(crate) processes: u32,

    /// Begin every user's name with this
    #[arg(long, default_value = "load-")]
    user_prefix: String,

    /// Print lines of JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// This process' number among several
    #[arg(long, hide = true)]
    pub(crate) share: Option<u32>,
}

/// What a call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Wait {
    Accepted,
    Emitted,
    AckedAny,
    AckedAll,
}

impl Wait {
    fn wire(self) -> Option<WaitFor> {
        match self {
            Self::Accepted => None,
            Self::Emitted => Some(WaitFor::Emitted),
            Self::AckedAny => Some(WaitFor::AckedAny),
            Self::AckedAll => Some(WaitFor::AckedAll),
        }
    }
}

impl MeasureArgs {
    /// Which process of how many this is.
    fn share(&self) -> (u32, u32) {
        self.share.map_or((0, 1), |number| (number, self.processes))
    }

    /// This process' clients: the first one's number and how many.
    pub(crate) fn clients(&self) -> (u32, u32) {
        let (number, of) = self.share();
        let first = (0..number).map(|before| part(self.clients, before, of)).sum();
        (first, part(self.clients, number, of))
    }

    pub(crate) fn population(&self) -> Population {
        let dialect = match &self.websocket {
            Some(target) => Dialect::WebSocket { target: target.clone() },
            None => Dialect::default(),
        };
        let (number, of) = self.share();
        let mut population = Population::new(self.gateway.clone(), dialect);
        population.prefix.clone_from(&self.user_prefix);
        population.first = self.clients().0;
        population.connecting = part(self.connecting, number, of).max(1);
        population.sources = self.sources;
        population
    }

    pub(crate) fn producer(&self) -> Producer {
        match (&self.post, self.http) {
            (Some(target), _) => Producer::post(&self.gateway, target, self.deadline),
            (None, Some(address)) => Producer::Herald(Sender::http(address, self.deadline)),
            (None, None) => Producer::Herald(Sender::grpc(self.grpc, self.deadline)),
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        let (number, of) = self.share();
        let load = match self.rate {
            Some(rate) => Load::Open { rate: part(rate, number, of).max(1) },
            None => Load::Closed { in_flight: part(self.in_flight, number, of).max(1) },
        };
        Plan {
            load,
            batch: self.batch,
            payload: self.payload,
            volatile: self.volatile,
            wait: self.wait.wire().map(|what| (what, self.deadline)),
        }
    }
}

/// The number-th of so many nearly equal parts of a total.
fn part(total: u32, number: u32, of: u32) -> u32 {
    total / of + u32::from(number < total % of)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(args: &[&str]) -> MeasureArgs {
        let cli = Cli::parse_from(["x", "measure"].iter().chain(args));
        let Some(Command::Measure(args)) = cli.command else { panic!("not measure") };
        args
    }

    #[test]
    fn processes_share_all_clients_and_all_load() {
        let mut args = parse(&["--clients", "10", "--rate", "7", "--processes", "3"]);
        let mut shares = Vec::new();
        for number in 0..3 {
            args.share = Some(number);
            shares.push((args.clients(), args.plan().load));
        }
        assert_eq!(
            shares,
            [
                ((0, 4), Load::Open { rate: 3 }),
                ((4, 3), Load::Open { rate: 2 }),
                ((7, 3), Load::Open { rate: 2 })
            ]
        );
    }
}
