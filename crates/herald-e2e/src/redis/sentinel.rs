//! A master with two replicas, watched by three Sentinels.

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::{RedisServer, cli};
use crate::{
    binaries,
    eventually::within,
    ports::Port,
    process::{Process, Spawn},
    watchdog::Watchdog,
};

const SERVERS: usize = 3;
const SENTINELS: usize = 3;

/// What the Sentinels call the master.
const MASTER: &str = "herald";

/// How long it may take until everybody knows everybody.
const DEADLINE: Duration = Duration::from_secs(60);

/// Three Redis servers and three Sentinels of a test's own. Dropped, all of them end.
#[derive(Debug)]
pub struct Sentinel {
    /// The servers; the first one is the master at first. They keep their data over restarts.
    pub servers: Vec<RedisServer>,
    sentinels: Vec<(Port, Process)>,
    // Last: children are killed before their directory goes.
    _directory: TempDir,
}

impl Sentinel {
    /// Starts all of it, and waits until everybody knows everybody. A master that is silent for
    /// `down_after` is replaced.
    ///
    /// # Errors
    ///
    /// When a program is missing or something does not become ready.
    pub async fn start(down_after: Duration) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("herald-sentinel-").tempdir()?;
        let watchdog = Arc::new(Watchdog::start()?);
        // Its destructor does not run where it is kept for a whole test process.
        watchdog.clean_up(directory.path());
        let mut servers: Vec<RedisServer> = Vec::new();
        for nth in 0..SERVERS {
            let path = directory.path().join(format!("redis-{nth}"));
            // A replica that was away for a moment goes on from there.
            let mut server = RedisServer::prepare(path, true, &watchdog)?.args([
                "--repl-backlog-size",
                "16mb",
                "--repl-diskless-sync-delay",
                "0",
            ]);
            if let Some(master) = servers.first() {
                server =
                    server.args(["--replicaof", "127.0.0.1", &master.address().port().to_string()]);
            }
            server.start().await?;
            servers.push(server);
        }
        let mut sentinels = Vec::new();
        for nth in 0..SENTINELS {
            let port = Port::claim()?;
            let path = directory.path().join(format!("sentinel-{nth}"));
            fs::create_dir_all(&path)?;
            let config = path.join("sentinel.conf");
            let lines = [
                format!("port {}", port.number()),
                "bind 127.0.0.1".to_owned(),
                format!("sentinel monitor {MASTER} 127.0.0.1 {} 2", servers[0].address().port()),
                format!("sentinel down-after-milliseconds {MASTER} {}", down_after.as_millis()),
                format!("sentinel failover-timeout {MASTER} {}", 4 * down_after.as_millis()),
            ];
            fs::write(&config, lines.join("\n"))?;
            let spawn = Spawn::new("sentinel", binaries::system("redis-server")?)
                .args([config.as_os_str(), "--sentinel".as_ref()]);
            sentinels.push((port, Process::spawn(&spawn, &path, &watchdog)?));
        }
        let started = Self { servers, sentinels, _directory: directory };
        within("the sentinels know everybody", DEADLINE, async || started.is_complete().await)
            .await?;
        Ok(started)
    }

    async fn is_complete(&self) -> anyhow::Result<()> {
        for (port, _) in &self.sentinels {
            let known = cli(port.address(), &["sentinel", "master", MASTER]).await?;
            let words: Vec<_> = known.lines().map(str::trim).collect();
            let figure = |name| {
                let at = words.iter().position(|word| *word == name);
                at.and_then(|at| words.get(at + 1).copied())
            };
            ensure!(figure("num-slaves") == Some("2"), "{known}");
            ensure!(figure("num-other-sentinels") == Some("2"), "{known}");
            ensure!(figure("flags") == Some("master"), "{known}");
        }
        let master = &self.servers[self.master().await?];
        let (first, second) = (master.info("slave0").await?, master.info("slave1").await?);
        ensure!(first.contains("state=online") && second.contains("state=online"));
        Ok(())
    }

    /// Its URL, for `HERALD_BACKPLANE`.
    pub fn url(&self) -> String {
        let of = |(port, _): &(Port, Process)| port.address().to_string();
        let sentinels: Vec<_> = self.sentinels.iter().map(of).collect();
        format!("redis-sentinel://{}/{MASTER}", sentinels.join(","))
    }

    /// Which server is the master, as the first Sentinel sees it.
    ///
    /// # Errors
    ///
    /// When it does not answer, or names somebody else's.
    pub async fn master(&self) -> anyhow::Result<usize> {
        let (port, _) = &self.sentinels[0];
        let answer = cli(port.address(), &["sentinel", "get-master-addr-by-name", MASTER]).await?;
        let port: u16 = answer.lines().nth(1).context("no port")?.trim().parse()?;
        let mut servers = self.servers.iter();
        servers.position(|server| server.address().port() == port).context("not one of ours")
    }
}
