//! Gateways and notifiers.

use std::{net::SocketAddr, path::PathBuf, process::ExitStatus, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use herald_loadgen::{Sender, SessionOptions, http::get_once};
use http::StatusCode;

use crate::{
    binaries,
    eventually::within,
    evidence,
    ports::Port,
    process::{self, Process, Spawn},
    watchdog::Watchdog,
};

/// How long a service may take to become ready, and to end.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long one look at an admin port may take.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);

/// How long one call of a producer may take.
const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// What all services of a sandbox have in common.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    pub(crate) directory: PathBuf,
    pub(crate) backplane: String,
    pub(crate) key_prefix: String,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) watchdog: Arc<Watchdog>,
}

/// A service of ours: its process, if it runs, its ports, and all that is needed to start it
/// again just so. What only one kind of service has is below [`Gateway`] and [`Notifier`].
#[derive(Debug)]
pub struct Service<Kind> {
    spawn: Spawn,
    common: Common,
    admin: Port,
    process: Option<Process>,
    kind: Kind,
}

/// A gateway's process. By default `HERALD_CLIENT_AUTH` is `insecure`, the token is the user, and new
/// clients are let in as fast as they come.
pub type Gateway = Service<GatewayKind>;

/// A notifier's process.
pub type Notifier = Service<NotifierKind>;

/// How a gateway differs from what the sandbox makes by itself.
#[derive(Debug, Clone, Default)]
pub struct GatewayOptions {
    /// `HERALD_GATEWAY_NAME`; one that is unique in the sandbox when `None`.
    pub name: Option<String>,
    /// Further variables, which also replace the sandbox's own.
    pub env: Vec<(String, String)>,
}

/// How a notifier differs from what the sandbox makes by itself.
#[derive(Debug, Clone, Default)]
pub struct NotifierOptions {
    /// Further variables, which also replace the sandbox's own.
    pub env: Vec<(String, String)>,
}

/// What a gateway has and a notifier has not.
#[derive(Debug)]
pub struct GatewayKind {
    name: String,
    port: Port,
}

/// What a notifier has and a gateway has not.
#[derive(Debug)]
pub struct NotifierKind {
    grpc: Port,
    http: Port,
}

impl<Kind> Service<Kind> {
    /// Starts it, or starts it again with the same name and ports, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it runs already, or ends before it is ready.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        self.answers("/ready").await
    }

    /// Starts it and waits only until it lives: for one that cannot be ready.
    ///
    /// # Errors
    ///
    /// When it runs already, or ends before it lives.
    pub async fn start_unready(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        self.answers("/live").await
    }

    /// Starts it and waits for its end: for one that has to refuse.
    ///
    /// # Errors
    ///
    /// When it runs already, or has not ended within 30 s.
    pub async fn start_refused(&mut self) -> anyhow::Result<ExitStatus> {
        self.spawn()?;
        self.take()?.wait(DEADLINE).await
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it ends before, or is not ready within 30 s.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        self.answers("/ready").await
    }

    /// Where the admin port is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Status and body of a path of the admin port: `/live`, `/ready`, `/metrics`.
    ///
    /// # Errors
    ///
    /// When it does not answer within 5 s.
    pub async fn admin(&self, path: &str) -> anyhow::Result<(StatusCode, String)> {
        Ok(get_once(self.admin.address(), path, PROBE_DEADLINE).await?)
    }

    /// SIGTERM; waits for the end.
    ///
    /// # Errors
    ///
    /// When it is not running, or has not ended within 30 s.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.take()?.terminate(DEADLINE).await
    }

    /// SIGKILL; waits for the end.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.take()?.kill().await
    }

    /// Its process, for signals.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn process(&mut self) -> anyhow::Result<&mut Process> {
        let name = &self.spawn.name;
        self.process.as_mut().with_context(|| format!("{name} is not running"))
    }

    /// Runs its program once more, in the same environment and with these arguments, such as
    /// `healthcheck`: how it ended, and all that it said.
    ///
    /// # Errors
    ///
    /// When it does not end within 30 s.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<(ExitStatus, String)> {
        let mut spawn = self.spawn.clone().args(args);
        spawn.name = format!("{}-{:08x}", spawn.name, rand::random::<u32>());
        let mut process = Process::spawn(&spawn, &self.common.directory, &self.common.watchdog)?;
        let status = process.wait(DEADLINE).await?;
        Ok((status, process.log()))
    }

    /// All that it has said, over restarts.
    pub fn log(&self) -> String {
        process::read(&self.common.directory.join(format!("{}.log", self.spawn.name)))
    }

    /// The variables that it is started with.
    pub(crate) fn env(&self) -> &[(String, String)] {
        &self.spawn.env
    }

    /// Writes its figures into the sandbox' directory, if it runs and answers, and gives them.
    pub(crate) fn write_figures(&self) -> std::io::Result<String> {
        let figures = self.process.as_ref().map(|_| evidence::figures(self.admin.address()));
        let Some(Ok(figures)) = figures else { return Ok(String::new()) };
        let file = self.common.directory.join(format!("{}.metrics", self.spawn.name));
        std::fs::write(file, &figures)?;
        Ok(String::from_utf8_lossy(&figures).into())
    }

    fn prepare(
        spawn: Spawn,
        common: &Common,
        admin_variable: &str,
        kind: Kind,
    ) -> anyhow::Result<Self> {
        let admin = Port::claim()?;
        let mut spawn = spawn
            .env("HERALD_BACKPLANE", &common.backplane)
            .env("HERALD_KEY_PREFIX", &common.key_prefix)
            .env(admin_variable, admin.address().to_string());
        spawn.env.extend(common.env.iter().cloned());
        Ok(Self { spawn, common: common.clone(), admin, process: None, kind })
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            bail!("{} runs already", self.spawn.name);
        }
        let Common { directory, watchdog, .. } = &self.common;
        self.process = Some(Process::spawn(&self.spawn, directory, watchdog)?);
        Ok(())
    }

    fn take(&mut self) -> anyhow::Result<Process> {
        let name = &self.spawn.name;
        self.process.take().with_context(|| format!("{name} is not running"))
    }

    /// Waits until a path of the admin port answers 200; a process that ends is an error at once.
    async fn answers(&mut self, path: &str) -> anyhow::Result<()> {
        let name = self.spawn.name.clone();
        let what = format!("{name} answers 200 to {path}");
        let ended = within(&what, DEADLINE, async || {
            if let Some(status) = self.process()?.ended()? {
                return Ok(Some(status));
            }
            match self.admin(path).await? {
                (StatusCode::OK, _) => Ok(None),
                (status, body) => bail!("{status}: {body}"),
            }
        });
        match ended.await? {
            None => Ok(()),
            Some(status) => {
                self.process = None;
                bail!("{name} ended with {status}: {}", self.log())
            }
        }
    }
}

impl Gateway {
    pub(crate) fn new(
        process: &str,
        options: GatewayOptions,
        common: &Common,
    ) -> anyhow::Result<Self> {
        let name = options.name.unwrap_or_else(|| process.to_owned());
        let port = Port::claim()?;
        let spawn = Spawn::new(process, binaries::ours("herald-gateway")?)
            .env("HERALD_GATEWAY_NAME", &name)
            .env("HERALD_GATEWAY_LISTEN", port.address().to_string())
            .env("HERALD_CLIENT_AUTH", "insecure")
            // Tests come faster than clients do.
            .env("HERALD_HANDSHAKE_RATE", "100000")
            // Many tests are about many sessions of one user.
            .env("HERALD_SESSIONS_PER_USER", "100000");
        let kind = GatewayKind { name, port };
        let mut gateway = Self::prepare(spawn, common, "HERALD_GATEWAY_ADMIN_LISTEN", kind)?;
        gateway.spawn.env.extend(options.env);
        Ok(gateway)
    }

    /// Its `HERALD_GATEWAY_NAME`.
    pub fn name(&self) -> &str {
        &self.kind.name
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.kind.port.address()
    }

    /// Options for a session of this user, straight to this gateway.
    pub fn session(&self, user: &str) -> SessionOptions {
        SessionOptions::new(self.address(), user)
    }
}

impl Notifier {
    pub(crate) fn new(
        process: &str,
        options: NotifierOptions,
        common: &Common,
    ) -> anyhow::Result<Self> {
        let (grpc, http) = (Port::claim()?, Port::claim()?);
        let spawn = Spawn::new(process, binaries::ours("herald-notifier")?)
            .env("HERALD_NOTIFIER_GRPC_LISTEN", grpc.address().to_string())
            .env("HERALD_NOTIFIER_HTTP_LISTEN", http.address().to_string());
        let kind = NotifierKind { grpc, http };
        let mut notifier = Self::prepare(spawn, common, "HERALD_NOTIFIER_ADMIN_LISTEN", kind)?;
        notifier.spawn.env.extend(options.env);
        Ok(notifier)
    }

    /// Where gRPC is served.
    pub fn grpc_address(&self) -> SocketAddr {
        self.kind.grpc.address()
    }

    /// Where JSON over HTTP is served.
    pub fn http_address(&self) -> SocketAddr {
        self.kind.http.address()
    }

    /// A producer over gRPC, with 10 s a call.
    pub fn grpc(&self) -> Sender {
        Sender::grpc(self.grpc_address(), CALL_DEADLINE)
    }

    /// A producer over HTTP, with 10 s a call.
    pub fn http(&self) -> Sender {
        Sender::http(self.http_address(), CALL_DEADLINE)
    }
}
