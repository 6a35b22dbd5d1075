//! `herald dev`.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use herald_loadgen::http::get_once;
use http::StatusCode;

use crate::{
    binaries,
    eventually::within,
    ports::Port,
    process::{Process, Spawn},
    sandbox::Sandbox,
};

const DEADLINE: Duration = Duration::from_secs(30);
const PROBE_DEADLINE: Duration = Duration::from_secs(5);

/// A process of `herald dev`: gateway, notifier and page, each on a port that the system gave it.
#[derive(Debug)]
pub struct Dev {
    process: Process,
    addresses: Addresses,
    _admin: Port,
}

/// Where the parts of `herald dev` are, as it printed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The page.
    pub page: SocketAddr,
    /// Where clients connect.
    pub gateway: SocketAddr,
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Where JSON over HTTP is served.
    pub http: SocketAddr,
}

impl Dev {
    /// Starts it, and waits until clients can connect.
    ///
    /// # Errors
    ///
    /// When it ends, does not print its addresses, or is not ready within 30 s.
    pub async fn start(sandbox: &Sandbox) -> anyhow::Result<Self> {
        let admin = Port::claim()?;
        let spawn = Spawn::new("dev", binaries::ours("herald")?)
            .args(["dev", "--gateway-admin-listen", &admin.address().to_string()])
            .args(["--dev-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0"])
            .args(["--notifier-grpc-listen", "127.0.0.1:0"])
            .args(["--notifier-http-listen", "127.0.0.1:0"]);
        let mut process = sandbox.spawn(&spawn)?;
        let started = within("herald dev is ready", DEADLINE, async || {
            if let Some(status) = process.ended()? {
                return Ok(Err(status));
            }
            let addresses = Addresses::printed(&process.log())?;
            match get_once(admin.address(), "/ready", PROBE_DEADLINE).await? {
                (StatusCode::OK, _) => Ok(Ok(addresses)),
                (status, body) => bail!("{status}: {body}"),
            }
        });
        match started.await? {
            Ok(addresses) => Ok(Self { process, addresses, _admin: admin }),
            Err(status) => bail!("herald dev ended with {status}: {}", process.log()),
        }
    }

    /// Where its parts are.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Addresses {
    /// From what `herald dev` prints: a label, then an address or a URL with one in it.
    fn printed(text: &str) -> anyhow::Result<Self> {
        let find = |label: &str| {
            let line = text
                .lines()
                .find_map(|line| line.trim_start().strip_prefix(label)?.strip_prefix(' '))
                .with_context(|| format!("no line begins with {label:?}"))?;
            line.split(|c: char| !c.is_ascii_digit() && c != '.' && c != ':')
                .map(|part| part.trim_matches(':'))
                .find_map(|part| part.parse().ok())
                .with_context(|| format!("no address in {line:?}"))
        };
        Ok(Self {
            page: find("page")?,
            gateway: find("clients")?,
            grpc: find("gRPC")?,
            http: find("HTTP")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_what_is_printed() {
        let text = "\nRunning.\n\n  page    http://127.0.0.1:1/\n  clients  io('http://127.0.0.1:2/x')\n  \
                    gRPC  127.0.0.1:3 (y)\n  HTTP  http://127.0.0.1:4 (http://127.0.0.1:4/z)\n";
        let found = Addresses::printed(text).unwrap();
        let ports = [found.page, found.gateway, found.grpc, found.http].map(|found| found.port());
        assert_eq!(ports, [1, 2, 3, 4]);
        let error = Addresses::printed("page http://127.0.0.1:1/\n").unwrap_err();
        assert!(error.to_string().contains("clients"), "{error}");
    }
}
