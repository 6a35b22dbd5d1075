//! The command line.

use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
    time::Duration,
};

use crate::measure::args::MeasureArgs;

/// Opens Socket.IO sessions, sends notices to their users and checks what arrives.
///
/// The gateways must accept a user's id as the token (HERALD_CLIENT_AUTH=insecure).
#[derive(Debug, clap::Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) check: Args,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Measure throughput and latency instead, with as little work for each notice as there can be
    Measure(MeasureArgs),
    /// Keep clients connected that come back by themselves, until the standard input ends
    Stay(StayArgs),
}

/// Clients that come back.
#[derive(Debug, clap::Args)]
pub(crate) struct StayArgs {
    /// Gateways, or the proxies before them; an attempt begins with any of them and tries the next
    /// one if that one does not take it
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "127.0.0.1:8013")]
    pub(crate) gateway: Vec<SocketAddr>,

    /// How many clients, each a user of its own
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) users: u32,

    /// Begin every user's name with this
    #[arg(long, default_value = "stay-")]
    pub(crate) user_prefix: String,

    /// Local addresses to connect from; clients take turns (one has about 28,000 ports)
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub(crate) source: Vec<IpAddr>,

    /// Seconds before the first attempt to return; it doubles with each that fails
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) first_pause: Duration,

    /// Seconds between attempts at most
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) longest_pause: Duration,

    /// The gateway's socket path
    #[arg(long, default_value = "/notice")]
    pub(crate) path: String,

    /// The Socket.IO namespace
    #[arg(long, default_value = "/notice")]
    pub(crate) namespace: String,
}

/// A run that checks.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Gateways, or the proxies before them; sessions take turns
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "127.0.0.1:8013")]
    pub(crate) gateway: Vec<SocketAddr>,

    /// The notifier's gRPC address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50051")]
    pub(crate) grpc: SocketAddr,

    /// The notifier's HTTP address: send over HTTP instead of gRPC
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,

    /// How many users
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) users: u32,

    /// Sessions for each user, a number or a range such as 1-3
    #[arg(long, default_value = "1-3")]
    pub(crate) sessions: Range,

    /// Of the sessions, percent by long-polling
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100))]
    pub(crate) polling: u32,

    /// Of the sessions, percent that upgrade from long-polling to WebSocket
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100))]
    pub(crate) upgrade: u32,

    /// How many notices, each to a random user
    #[arg(long, default_value_t = 1000)]
    pub(crate) notices: u64,

    /// Notices a second over all senders; as fast as answers come if 0
    #[arg(long, default_value_t = 0)]
    pub(crate) rate: u32,

    /// How many senders; each has its own users, so that the order of acceptance is known
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) senders: u32,

    /// Size of a payload in bytes; at least what the sender's number and time take
    #[arg(long, value_name = "BYTES", default_value_t = 250)]
    pub(crate) payload: usize,

    /// Local addresses to connect from; sessions take turns (one has about 28,000 ports)
    #[arg(long, value_name = "IP", value_delimiter = ',')]
    pub(crate) source: Vec<IpAddr>,

    /// Sessions opened at the same time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connecting: u32,

    /// Begin every user's name with this
    #[arg(long, default_value = "load-")]
    pub(crate) user_prefix: String,

    /// The gateway's socket path
    #[arg(long, default_value = "/notice")]
    pub(crate) path: String,

    /// The Socket.IO namespace
    #[arg(long, default_value = "/notice")]
    pub(crate) namespace: String,

    /// Send the token in the query too, for a proxy that hashes it
    #[arg(long)]
    pub(crate) token_in_query: bool,

    /// Seconds to wait for what is still on its way after the last notice was sent
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) settle: Duration,

    /// Seconds for one call to the notifier
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) deadline: Duration,
}

/// A number or a range of them, both ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range(pub(crate) RangeInclusive<u32>);

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.parse::<u32>().map_err(|e| format!("{text:?}: {e}"));
        let (low, high) = (number(low)?, number(high)?);
        if low == 0 || low > high {
            return Err("must begin at 1 or more and not run backwards".to_owned());
        }
        Ok(Self(low..=high))
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|e| format!("{e}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["x", "--sessions", "2", "--source", "127.0.0.2,127.0.0.3"]);
        let args = cli.check;
        assert_eq!(args.sessions, Range(2..=2));
        assert_eq!(args.source.len(), 2);
    }

    #[test]
    fn a_range_must_not_be_empty() {
        assert_eq!("1-3".parse(), Ok(Range(1..=3)));
        for text in ["0", "3-1", "", "a", "1-"] {
            assert!(text.parse::<Range>().is_err(), "{text}");
        }
    }
}
