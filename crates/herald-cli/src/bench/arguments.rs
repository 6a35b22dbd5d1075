//! What `herald bench` can be told.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, value_parser};
use herald_loadgen::measure::{Dialect, Load, Plan, Population, Signer, Tokens};

use crate::notifier::{Failed, Notifier, read};

/// Measure a deployment: connect clients, send notices, tell how they fared
///
/// Each client is a user of its own, and notices go to one user after the other, so many a second
/// whatever the answers take: latency counts from when a notice was due to its arrival, both in this
/// process. Its own processor time is told, since it is part of what is measured. The users' inboxes
/// keep what was sent as any other notice, unless it is --volatile.
///
/// Exit codes: 0 all arrived, 1 something was not accepted, went missing or lost its connection,
/// 64 wrong arguments, 69 a gateway or the notifier cannot be reached or takes nothing now, 77 one of
/// them does not let this in, 70 anything else.
#[derive(Debug, Parser)]
#[command(name = "herald bench")]
pub(super) struct Arguments {
    /// Gateways, or what is before them, as host:port without TLS; clients take turns
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "127.0.0.1:8013")]
    gateway: Vec<String>,
    /// Clients to connect
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..))]
    clients: u32,
    /// Connections opened at the same time
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..))]
    connecting: u32,
    /// Begin every user's id with this; a number follows
    #[arg(long, value_name = "TEXT", default_value = "bench-")]
    user_prefix: String,
    /// What clients show, with {user} for the user's id; the id itself if there is no secret either
    #[arg(long, value_name = "PATTERN", conflicts_with = "jwt_secret_file")]
    token: Option<String>,
    /// File with the secret to sign a JWT (HS256) for each client with; HERALD_JWT_SECRET is the
    /// secret itself
    #[arg(long, value_name = "FILE", env = "HERALD_JWT_SECRET_FILE")]
    jwt_secret_file: Option<PathBuf>,
    /// The JWTs' issuer
    #[arg(long, value_name = "TEXT", env = "HERALD_JWT_ISSUER")]
    jwt_issuer: Option<String>,
    /// The JWTs' audience
    #[arg(long, value_name = "TEXT", env = "HERALD_JWT_AUDIENCE")]
    jwt_audience: Option<String>,
    /// The gateways' socket path
    #[arg(long, default_value = "/notice")]
    path: String,
    /// The Socket.IO namespace
    #[arg(long, default_value = "/notice")]
    namespace: String,
    /// Notices a second
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Notices a call
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=1000))]
    batch: u32,
    /// Size of a payload in bytes; at least what a time stamp takes
    #[arg(long, value_name = "BYTES", default_value_t = 200)]
    payload: usize,
    /// Send volatile notices: kept nowhere
    #[arg(long)]
    volatile: bool,
    /// Seconds to send before it is measured
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(super) warm_up: Duration,
    /// Seconds to measure
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(super) duration: Duration,
    /// Print lines of JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) notifier: Notifier,
}

impl Arguments {
    pub(super) fn clients(&self) -> u32 {
        self.clients
    }

    pub(super) fn gateways(&self) -> String {
        self.gateway.join(", ")
    }

    pub(super) fn user(&self, number: u32) -> String {
        format!("{}{number}", self.user_prefix)
    }

    pub(super) fn plan(&self) -> Plan {
        Plan {
            batch: self.batch,
            payload: self.payload,
            volatile: self.volatile,
            ..Plan::new(Load::Open { rate: self.rate })
        }
    }

    pub(super) async fn population(&self) -> Result<Population, Failed> {
        let mut addresses = Vec::new();
        for gateway in &self.gateway {
            let found = tokio::net::lookup_host(gateway.as_str()).await;
            let wrong = |why| Failed::Wrong(format!("the gateway's address {gateway}: {why}"));
            let mut found = found
                .map_err(|error| wrong(format!("expected host:port without a scheme: {error}")))?;
            addresses
                .push(found.next().ok_or_else(|| wrong("the name has no address".to_owned()))?);
        }
        let dialect =
            Dialect::SocketIo { path: self.path.clone(), namespace: self.namespace.clone() };
        let mut population = Population::new(addresses, dialect);
        if let [gateway] = &self.gateway[..] {
            population.host = Some(gateway.clone());
        }
        population.prefix.clone_from(&self.user_prefix);
        population.connecting = self.connecting;
        population.tokens = self.tokens()?;
        Ok(population)
    }

    fn tokens(&self) -> Result<Tokens, Failed> {
        if let Some(pattern) = &self.token {
            return Ok(Tokens::Pattern(pattern.clone()));
        }
        let given = std::env::var("HERALD_JWT_SECRET").ok().filter(|secret| !secret.is_empty());
        let secret = match (&self.jwt_secret_file, given) {
            (Some(_), Some(_)) => {
                let both = "give HERALD_JWT_SECRET or HERALD_JWT_SECRET_FILE, not both";
                return Err(Failed::Wrong(both.into()));
            }
            (Some(file), None) => read(file)?.trim_ascii().to_vec(),
            (None, Some(secret)) => secret.into_bytes(),
            (None, None) => return Ok(Tokens::UserId),
        };
        let (issuer, audience) = (self.jwt_issuer.clone(), self.jwt_audience.clone());
        Ok(Tokens::Signed(Signer::new(&secret, issuer, audience)))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("expected seconds: {error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[tokio::test]
    async fn an_address_with_a_scheme_is_refused_with_what_to_write() {
        let arguments = Arguments::parse_from(["x", "--gateway", "http://127.0.0.1:8013"]);
        let refused = arguments.population().await.unwrap_err().to_string();
        assert!(refused.contains("http://127.0.0.1:8013: expected host:port"), "{refused}");
    }
}
