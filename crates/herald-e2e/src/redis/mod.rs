//! Redis servers.

mod cluster;
mod monitor;
mod sentinel;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use tokio::{process::Command, time::timeout};

pub use self::{
    cluster::Cluster,
    monitor::{Monitor, Published},
    sentinel::Sentinel,
};
use crate::{
    binaries,
    eventually::within,
    ports::Port,
    process::{Process, Spawn},
    watchdog::Watchdog,
};

/// How long starting, ending and one command may take.
const DEADLINE: Duration = Duration::from_secs(20);

/// A Redis server on a port of its own that it keeps over restarts. With `persist` its data
/// survives `kill -9`; without, a restart is a Redis that lost everything.
#[derive(Debug)]
pub struct RedisServer {
    port: Port,
    directory: PathBuf,
    persist: bool,
    args: Vec<String>,
    process: Option<Process>,
    watchdog: Arc<Watchdog>,
}

impl RedisServer {
    /// Claims a port for a server that is not started yet.
    ///
    /// # Errors
    ///
    /// When there is no port.
    pub fn prepare(
        directory: PathBuf,
        persist: bool,
        watchdog: &Arc<Watchdog>,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory.join("data"))?;
        Ok(Self {
            port: Port::claim()?,
            directory,
            persist,
            args: Vec::new(),
            process: None,
            watchdog: Arc::clone(watchdog),
        })
    }

    /// With more arguments of redis-server.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item: Into<String>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it runs already, or cannot be started.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        if self.process.is_some() {
            bail!("redis runs already");
        }
        let port = self.port.number().to_string();
        let data = self.directory.join("data");
        let append = if self.persist { "yes" } else { "no" };
        let spawn = Spawn::new("redis", binaries::system("redis-server")?)
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", append])
            // What was answered is on disk: `kill -9` then loses nothing.
            .args(["--appendfsync", "always", "--maxmemory-policy", "noeviction"])
            .args(["--dir".as_ref(), data.as_os_str()])
            .args(&self.args);
        self.process = Some(Process::spawn(&spawn, &self.directory, &self.watchdog)?);
        // With a data set to load it answers LOADING at first.
        within("redis answers", DEADLINE, async || self.cli(&["ping"]).await).await?;
        Ok(())
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Its URL, for `HERALD_BACKPLANE`.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }

    /// Its process.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn process(&mut self) -> anyhow::Result<&mut Process> {
        self.process.as_mut().context("redis is not running")
    }

    /// SIGTERM, and waits for the end: connections are closed, the port is refused.
    ///
    /// # Errors
    ///
    /// When it is not running or does not end.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("redis is not running")?;
        process.terminate(DEADLINE).await?;
        Ok(())
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().context("redis is not running")?.kill().await
    }

    /// SIGSTOP: connections stay open, and nothing answers.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn freeze(&mut self) -> anyhow::Result<()> {
        self.process()?.signal(Signal::STOP)
    }

    /// SIGCONT: goes on with all that was asked meanwhile.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn thaw(&mut self) -> anyhow::Result<()> {
        self.process()?.signal(Signal::CONT)
    }

    /// Runs one command by redis-cli and returns what it printed.
    ///
    /// # Errors
    ///
    /// When redis does not answer, or answers with an error.
    pub async fn cli(&self, args: &[&str]) -> anyhow::Result<String> {
        cli(self.address(), args).await
    }

    /// A figure of INFO.
    ///
    /// # Errors
    ///
    /// When redis does not answer, or knows no such figure.
    pub async fn info(&self, figure: &str) -> anyhow::Result<String> {
        let info = self.cli(&["info", "everything"]).await?;
        let mut figures = info.lines().filter_map(|line| line.trim().split_once(':'));
        let found = figures.find(|(name, _)| *name == figure);
        Ok(found.with_context(|| format!("INFO has no {figure}"))?.1.to_owned())
    }

    /// Starts to collect all commands that it executes, those of scripts included.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn monitor(&self) -> anyhow::Result<Monitor> {
        Monitor::start(self.address()).await
    }
}

/// Runs one command by redis-cli and returns what it printed.
async fn cli(address: SocketAddr, args: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(binaries::system("redis-cli")?);
    command.args(["-e", "-p", &address.port().to_string()]).args(args).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output())
        .await
        .with_context(|| format!("redis-cli {args:?} takes longer than {DEADLINE:?}"))??;
    let answer = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if !output.status.success() {
        bail!("redis-cli {args:?}: {answer} {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(answer)
}
