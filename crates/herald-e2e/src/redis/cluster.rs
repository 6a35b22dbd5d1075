//! A Redis Cluster: three masters, each with a replica.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use super::RedisServer;
use crate::{eventually::within, ports::Port, watchdog::Watchdog};

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// How long it may take until everybody knows everybody.
const DEADLINE: Duration = Duration::from_secs(60);

/// Six Redis servers of a test's own. Dropped, all of them end.
#[derive(Debug)]
pub struct Cluster {
    /// The servers: at first three masters, then the replica of each. They keep their data over
    /// restarts.
    pub servers: Vec<RedisServer>,
    /// Of their bus.
    _ports: Vec<Port>,
    // Last: children are killed before their directory goes.
    _directory: TempDir,
}

impl Cluster {
    /// Starts all of it, and waits until everybody knows everybody. A master that is silent for
    /// `node_timeout` is replaced.
    ///
    /// # Errors
    ///
    /// When a program is missing or something does not become ready.
    pub async fn start(node_timeout: Duration) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("herald-cluster-").tempdir()?;
        let watchdog = Arc::new(Watchdog::start()?);
        // Its destructor does not run where it is kept for a whole test process.
        watchdog.clean_up(directory.path());
        let (mut servers, mut ports) = (Vec::new(), Vec::new());
        for nth in 0..2 * MASTERS {
            let path = directory.path().join(format!("redis-{nth}"));
            let bus = Port::claim()?;
            let mut server = RedisServer::prepare(path, true, &watchdog)?
                .args(["--cluster-enabled", "yes", "--cluster-port", &bus.number().to_string()])
                .args(["--cluster-node-timeout", &node_timeout.as_millis().to_string()])
                .args(["--repl-backlog-size", "16mb", "--repl-diskless-sync-delay", "0"])
                .args(["--appendfsync", "everysec"]);
            server.start().await?;
            servers.push(server);
            ports.push(bus);
        }
        let cluster = Self { servers, _ports: ports, _directory: directory };
        cluster.assemble().await?;
        Ok(cluster)
    }

    async fn assemble(&self) -> anyhow::Result<()> {
        let servers = &self.servers;
        for (nth, server) in servers[..MASTERS].iter().enumerate() {
            let (first, after) = (nth * SLOTS / MASTERS, (nth + 1) * SLOTS / MASTERS);
            let (first, last) = (first.to_string(), (after - 1).to_string());
            server.cli(&["cluster", "addslotsrange", &first, &last]).await?;
        }
        for (nth, server) in servers.iter().enumerate() {
            server.cli(&["cluster", "set-config-epoch", &(nth + 1).to_string()]).await?;
        }
        for (server, bus) in servers.iter().zip(&self._ports).skip(1) {
            let (port, bus) = (server.address().port().to_string(), bus.number().to_string());
            servers[0].cli(&["cluster", "meet", "127.0.0.1", &port, &bus]).await?;
        }
        within("all know each other", DEADLINE, async || {
            for server in servers {
                let known = server.cli(&["cluster", "nodes"]).await?;
                let met = known.lines().filter(|line| !line.contains("handshake")).count();
                ensure!(met == servers.len(), "{known}");
            }
            Ok(())
        })
        .await?;
        for (master, replica) in servers[..MASTERS].iter().zip(&servers[MASTERS..]) {
            let id = master.cli(&["cluster", "myid"]).await?;
            within("a replica follows", DEADLINE, async || {
                replica.cli(&["cluster", "replicate", &id]).await
            })
            .await?;
        }
        within("the cluster is complete", DEADLINE, async || self.is_complete().await).await
    }

    async fn is_complete(&self) -> anyhow::Result<()> {
        for (nth, server) in self.servers.iter().enumerate() {
            let info = server.cli(&["cluster", "info"]).await?;
            ensure!(info.contains("cluster_state:ok"), "{info}");
            if nth < MASTERS {
                ensure!(server.info("slave0").await?.contains("state=online"));
            }
            let slots = server.cli(&["cluster", "slots"]).await?;
            for server in &self.servers {
                ensure!(slots.contains(&server.address().port().to_string()), "{slots}");
            }
        }
        Ok(())
    }

    /// Its URL, for `HERALD_BACKPLANE`.
    pub fn url(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(|s| s.address().to_string()).collect();
        format!("redis-cluster://{}", servers[..MASTERS].join(","))
    }

    /// Which server has a slot, as that server itself sees it.
    ///
    /// # Errors
    ///
    /// When nobody says that it has it.
    pub async fn owner(&self, slot: u16) -> anyhow::Result<usize> {
        for (nth, server) in self.servers.iter().enumerate() {
            // Who was killed does not answer.
            let Ok(nodes) = server.cli(&["cluster", "nodes"]).await else { continue };
            let myself = nodes.lines().find(|line| line.contains("myself")).context("no self")?;
            // `id address flags master ping pong epoch link slots…`
            let mut words = myself.split_whitespace();
            if words.nth(2).is_some_and(|flags| !flags.contains("master")) {
                continue;
            }
            let has = |range: &str| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
                    return false;
                };
                (first..=last).contains(&slot)
            };
            if words.skip(5).any(has) {
                return Ok(nth);
            }
        }
        bail!("nobody has slot {slot}")
    }

    /// Moves a slot with all its keys to another master, while both serve. What lies between two
    /// steps is `pause` long.
    ///
    /// # Errors
    ///
    /// When a server refuses a step.
    pub async fn move_slot(&self, slot: u16, to: usize, pause: Duration) -> anyhow::Result<()> {
        let from = self.owner(slot).await?;
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let (source_id, target_id) =
            (source.cli(&["cluster", "myid"]).await?, target.cli(&["cluster", "myid"]).await?);
        let number = slot.to_string();
        target.cli(&["cluster", "setslot", &number, "importing", &source_id]).await?;
        source.cli(&["cluster", "setslot", &number, "migrating", &target_id]).await?;
        let port = target.address().port().to_string();
        loop {
            tokio::time::sleep(pause).await;
            let keys = source.cli(&["cluster", "getkeysinslot", &number, "1"]).await?;
            if keys.is_empty() {
                break;
            }
            source.cli(&["migrate", "127.0.0.1", &port, &keys, "0", "5000"]).await?;
        }
        tokio::time::sleep(pause).await;
        for server in [target, source] {
            server.cli(&["cluster", "setslot", &number, "node", &target_id]).await?;
        }
        Ok(())
    }
}
