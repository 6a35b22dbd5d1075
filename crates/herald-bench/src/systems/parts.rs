//! What systems are made of.

use std::{env, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use herald_e2e::{Port, Sandbox, Spawn};
use herald_loadgen::{
    Sender,
    http::{HttpClient, get_once},
    measure::{Dialect, Producer, Tokens},
};
use http::StatusCode;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{Part, Running, collector::Collector};

/// How long starting may take, and one call.
const DEADLINE: Duration = Duration::from_secs(30);
pub(super) const CALL_DEADLINE: Duration = Duration::from_secs(10);
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

/// A system while it is put together.
pub(super) struct Builder {
    sandbox: Sandbox,
    ports: Vec<Port>,
    parts: Vec<Part>,
    tokens: Tokens,
    grpc: Option<SocketAddr>,
    collector: Option<Collector>,
}

impl Builder {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            sandbox: Sandbox::builder().prepare()?,
            ports: Vec::new(),
            parts: Vec::new(),
            tokens: Tokens::default(),
            grpc: None,
            collector: None,
        })
    }

    /// What clients have to show.
    pub(super) fn tokens(&mut self, tokens: Tokens) {
        self.tokens = tokens;
    }

    /// Where to send traces.
    pub(super) async fn collector(&mut self) -> anyhow::Result<String> {
        let collector = Collector::start().await?;
        Ok(self.collector.insert(collector).url.clone())
    }

    /// Where Herald's API is served over gRPC: a producer for it.
    pub(super) fn grpc(&mut self, address: SocketAddr) -> Producer {
        self.grpc = Some(address);
        Producer::Herald(Sender::grpc(address, CALL_DEADLINE))
    }

    /// A port of its own, for as long as the system runs.
    pub(super) fn port(&mut self) -> anyhow::Result<SocketAddr> {
        let port = Port::claim()?;
        let address = port.address();
        self.ports.push(port);
        Ok(address)
    }

    /// A directory of its own.
    pub(super) fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let directory = self.sandbox.directory().join(name);
        std::fs::create_dir_all(&directory)?;
        Ok(directory)
    }

    pub(super) fn spawn(&mut self, role: &'static str, spawn: &Spawn) -> anyhow::Result<()> {
        self.parts.push(Part { role, process: self.sandbox.spawn(spawn)? });
        Ok(())
    }

    /// A Redis that keeps what it is told as a careful user's does, a second behind, or keeps
    /// nothing.
    pub(super) async fn redis(&mut self, durable: bool) -> anyhow::Result<SocketAddr> {
        let address = self.port()?;
        let directory = self.directory("redis")?;
        let spawn = Spawn::new("redis", system("redis-server")?)
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", if durable { "yes" } else { "no" }])
            .args(["--appendfsync", "everysec", "--maxmemory-policy", "noeviction"])
            .args(["--dir".as_ref(), directory.as_os_str()]);
        self.spawn("redis", &spawn)?;
        self.listens(address).await?;
        Ok(address)
    }

    /// Waits until a path answers 2xx.
    pub(super) async fn answers(&mut self, address: SocketAddr, path: &str) -> anyhow::Result<()> {
        self.wait(async || {
            let answer = get_once(address, path, PROBE_DEADLINE).await;
            answer.is_ok_and(|(status, _)| StatusCode::is_success(&status))
        })
        .await
    }

    /// Waits until a POST to a path is answered 2xx.
    pub(super) async fn accepts(&mut self, address: SocketAddr, path: &str) -> anyhow::Result<()> {
        self.wait(async || {
            let mut client = HttpClient::new(address);
            let answer = timeout(PROBE_DEADLINE, client.post_json(path, "{}")).await;
            answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status().is_success()))
        })
        .await
    }

    /// Waits until a port takes connections.
    pub(super) async fn listens(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        self.wait(async || TcpStream::connect(address).await.is_ok()).await
    }

    async fn wait(&mut self, ready: impl AsyncFn() -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            for Part { process, .. } in &mut self.parts {
                if let Some(status) = process.ended()? {
                    bail!("{} ended with {status}: {}", process.name(), process.log());
                }
            }
            if ready().await {
                return Ok(());
            }
            if Instant::now() > deadline {
                let log = self.parts.last().map(|part| part.process.log());
                bail!("not ready within {DEADLINE:?}: {}", log.unwrap_or_default());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) fn finish(
        self,
        gateways: Vec<SocketAddr>,
        dialect: Dialect,
        producer: Producer,
    ) -> Running {
        let Self { sandbox, ports, parts, tokens, grpc, collector } = self;
        Running {
            gateways,
            dialect,
            producer,
            tokens,
            grpc,
            parts,
            _ports: ports,
            _collector: collector,
            sandbox,
        }
    }
}

/// A binary of this workspace, built beside this one; those without telemetry are in `bare/`.
pub(super) fn ours(name: &str) -> anyhow::Result<PathBuf> {
    let path = env::current_exe()?.with_file_name(name);
    if !path.is_file() {
        bail!(
            "{} is not there; run: make bench, or make overhead for what is in bare/",
            path.display()
        );
    }
    Ok(path)
}

/// A program of the system; `sbin` is looked at too, which is not on everybody's path.
pub(super) fn system(name: &str) -> anyhow::Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places =
        env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from));
    places
        .find_map(|place| Some(place.join(name)).filter(|path| path.is_file()))
        .with_context(|| format!("{name} is not installed; run: scripts/setup.sh bench"))
}

/// The repository's bench directory.
pub(super) fn files() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench"))
}
