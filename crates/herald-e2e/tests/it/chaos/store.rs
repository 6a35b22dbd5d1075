//! What keeps the inboxes, and what happens to it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use herald_e2e::{Cluster, RedisServer, Sandbox, SandboxBuilder, Sentinel, within};
use tokio::time::sleep;

use super::{
    journal::Journal,
    plan::{Fault, Kind, MASTERS, Target, What},
    stage::{comes, failed},
};

/// How long a master is silent before it is replaced.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// How long it may take until it is, all in all.
const REPLACED: Duration = Duration::from_secs(30);

/// Time between two cuts of what is cut again and again.
const CUT_AGAIN: Duration = Duration::from_secs(1);

const SLOTS: usize = 16_384;

/// The servers, unless there is only the sandbox's own.
pub(crate) enum Store {
    Single,
    Sentinel(Sentinel),
    Cluster(Cluster),
}

impl Store {
    pub(crate) async fn start(kind: Kind) -> anyhow::Result<Self> {
        Ok(match kind {
            Kind::Single => Self::Single,
            Kind::Sentinel => Self::Sentinel(Sentinel::start(DOWN_AFTER).await?),
            Kind::Cluster => Self::Cluster(Cluster::start(DOWN_AFTER).await?),
        })
    }

    /// A sandbox that uses them. What is accepted has to outlive a master, so all replicas have to
    /// confirm it: a master that hung for a while has some until they hear of the new one.
    pub(crate) fn sandbox(&self) -> SandboxBuilder {
        let (url, replicas) = match self {
            Self::Single => return Sandbox::builder().persist(),
            Self::Sentinel(sentinel) => (sentinel.url(), "2"),
            Self::Cluster(cluster) => (cluster.url(), "1"),
        };
        Sandbox::builder().backplane(url).env("HERALD_REDIS_WAIT_REPLICAS", replicas)
    }

    /// Plays what happens to it; `single` is the sandbox's own server.
    pub(crate) async fn play(
        &mut self,
        single: &mut RedisServer,
        faults: &[Fault],
        begin: Instant,
        journal: &Journal,
    ) {
        for fault in faults {
            if comes(fault, begin, journal).await
                && let Err(error) = self.suffer(single, fault).await
            {
                failed(journal, fault, &error);
            }
            journal.common("redis is over it");
        }
    }

    async fn suffer(&mut self, single: &mut RedisServer, fault: &Fault) -> anyhow::Result<()> {
        match fault.what {
            What::Cut => self.cut(single, &["normal", "pubsub"], fault.lasts).await,
            What::CutChannels => self.cut(single, &["pubsub"], fault.lasts).await,
            What::MoveSlot => self.move_slot(fault).await,
            What::Freeze => {
                let server = self.server(single, fault.target).await?;
                server.freeze()?;
                sleep(fault.lasts).await;
                server.thaw()
            }
            What::Terminate => {
                let server = self.server(single, fault.target).await?;
                server.stop().await?;
                sleep(fault.lasts).await;
                server.start().await
            }
            What::Kill => {
                let server = self.server(single, fault.target).await?;
                let address = server.address();
                server.kill().await?;
                sleep(fault.lasts).await;
                within("the master is replaced", REPLACED, async || match self {
                    Self::Single => Ok(()),
                    _ => {
                        let master = self.master(fault.target).await?;
                        ensure!(self.servers()[master].address() != address, "it is not");
                        Ok(())
                    }
                })
                .await?;
                let servers = match self {
                    Self::Single => std::slice::from_mut(single),
                    Self::Sentinel(sentinel) => &mut sentinel.servers[..],
                    Self::Cluster(cluster) => &mut cluster.servers[..],
                };
                let mut killed = servers.iter_mut().filter(|server| server.address() == address);
                killed.next().context("it was there before")?.start().await
            }
            other => bail!("{other} is nothing that happens to redis"),
        }
    }

    /// Closes connections to all servers, again and again for so long.
    async fn cut(
        &self,
        single: &RedisServer,
        kinds: &[&str],
        time: Duration,
    ) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let servers = match self {
                Self::Single => std::slice::from_ref(single),
                other => other.servers(),
            };
            for server in servers {
                for kind in kinds {
                    server.cli(&["client", "kill", "type", kind]).await?;
                }
            }
            if begin.elapsed() >= time {
                return Ok(());
            }
            sleep(CUT_AGAIN).await;
        }
    }

    /// Moves the slot of some user, with pauses that together last about as long as the fault.
    async fn move_slot(&self, fault: &Fault) -> anyhow::Result<()> {
        let (Self::Cluster(cluster), Target::Shard(shard)) = (self, fault.target) else {
            bail!("only a cluster has slots");
        };
        let first = shard * SLOTS / MASTERS;
        let mut slots = first..first + SLOTS / MASTERS;
        // The first one of this third that holds anything.
        let owner = &cluster.servers[cluster.owner(u16::try_from(first)?).await?];
        let slot = loop {
            let slot = u16::try_from(slots.next().context("nobody is in this shard")?)?;
            if owner.cli(&["cluster", "countkeysinslot", &slot.to_string()]).await? != "0" {
                break slot;
            }
        };
        let from = cluster.owner(slot).await?;
        let others = (1..MASTERS).map(|next| (shard + next) % MASTERS * SLOTS / MASTERS);
        for other in others {
            let to = cluster.owner(u16::try_from(other)?).await?;
            if to != from {
                // Some four keys, one before and one after.
                return cluster.move_slot(slot, to, fault.lasts / 6).await;
            }
        }
        bail!("one master has everything")
    }

    async fn server<'s>(
        &'s mut self,
        single: &'s mut RedisServer,
        target: Target,
    ) -> anyhow::Result<&'s mut RedisServer> {
        if let Self::Single = self {
            return Ok(single);
        }
        let master = self.master(target).await?;
        Ok(match self {
            Self::Single => single,
            Self::Sentinel(sentinel) => &mut sentinel.servers[master],
            Self::Cluster(cluster) => &mut cluster.servers[master],
        })
    }

    /// Which server is the master now.
    async fn master(&self, target: Target) -> anyhow::Result<usize> {
        match (self, target) {
            (Self::Sentinel(sentinel), _) => sentinel.master().await,
            (Self::Cluster(cluster), Target::Shard(shard)) => {
                cluster.owner(u16::try_from(shard * SLOTS / MASTERS)?).await
            }
            _ => bail!("{target} has no master"),
        }
    }

    fn servers(&self) -> &[RedisServer] {
        match self {
            Self::Single => &[],
            Self::Sentinel(sentinel) => &sentinel.servers,
            Self::Cluster(cluster) => &cluster.servers,
        }
    }
}
