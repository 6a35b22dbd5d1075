//! The one way in which everything here asks Redis, whatever kind of Redis it is.
//!
//! A call names a key, and goes to the server that has it; all keys of a call are in one slot. It
//! ends by the deadline of all calls, and its errors say whether it can have happened. What
//! happened on no server may be tried again within the deadline; what may have happened is not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Cmd, FromRedisValue, RedisResult, Value, aio::MultiplexedConnection};
use tokio::sync::watch;

use super::{
    address::Address,
    clock::RedisClock,
    cluster::Cluster,
    error::unexpected,
    lanes::{Failed, Lanes, Traffic},
    node::Node,
    script::Script,
    standalone::Standalone,
};
use crate::{BackplaneError, BackplaneOptions, Health, figures::CallFigures};

/// All servers of a backplane.
#[derive(Debug)]
pub(super) struct Servers {
    kind: Kind,
    deadline: Duration,
    /// Replicas that have to have an accepted notice; 0 for none.
    replicas: u32,
    commands: CallFigures,
    publications: CallFigures,
    bulk: CallFigures,
}

#[derive(Debug)]
enum Kind {
    Standalone(Box<Standalone>),
    Cluster(Cluster),
}

impl Servers {
    /// Nothing is awaited: who is away is connected to in the background, for ever.
    pub(super) fn open(address: Address, options: &BackplaneOptions, hiccup: Duration) -> Self {
        let connections = options.connections;
        let kind = match address {
            Address::Standalone(node) => {
                Kind::Standalone(Box::new(Standalone::open(node, connections, hiccup)))
            }
            Address::Sentinel(sentinels) => {
                Kind::Standalone(Box::new(Standalone::follow(sentinels, connections, hiccup)))
            }
            Address::Cluster { seeds, settings } => {
                Kind::Cluster(Cluster::open(seeds, settings, connections, hiccup))
            }
        };
        Self {
            kind,
            deadline: options.call_deadline,
            replicas: options.wait_replicas,
            commands: CallFigures::new("command"),
            publications: CallFigures::new("publish"),
            bulk: CallFigures::new("bulk"),
        }
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        match &self.kind {
            Kind::Standalone(server) => server.health(),
            Kind::Cluster(cluster) => cluster.health(),
        }
    }

    /// The clock that notices expire by.
    pub(super) fn clock(&self) -> Arc<RedisClock> {
        match &self.kind {
            Kind::Standalone(server) => server.clock(),
            Kind::Cluster(cluster) => cluster.clock(),
        }
    }

    /// For how long the server that has `key` has answered every probe at once.
    pub(super) fn healthy_for(&self, key: &str) -> Duration {
        match &self.kind {
            Kind::Standalone(server) => server.healthy_for(),
            Kind::Cluster(cluster) => cluster.healthy_for(key),
        }
    }

    /// When a call that starts now has to be over.
    pub(super) fn until(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// Runs a script on the server that has `key`, one of its keys. `make` gives the call; it is
    /// told the deadline, in ms of that server's clock.
    pub(super) async fn script<T: FromRedisValue>(
        &self,
        key: &str,
        script: &Script,
        make: impl Fn(i64) -> Cmd,
    ) -> Result<T, BackplaneError> {
        self.call(&script.figures, Traffic::Hot, key, Some(script), make).await
    }

    /// The same for what must not be lost: it is on as many replicas as is asked for.
    pub(super) async fn lasting_script<T: FromRedisValue>(
        &self,
        key: &str,
        script: &Script,
        make: impl Fn(i64) -> Cmd,
    ) -> Result<T, BackplaneError> {
        let traffic = match self.replicas {
            0 => Traffic::Hot,
            replicas => Traffic::Confirmed(replicas),
        };
        self.call(&script.figures, traffic, key, Some(script), make).await
    }

    /// Runs a command of one key, which somebody waits for.
    pub(super) async fn command<T: FromRedisValue>(
        &self,
        key: &str,
        command: Cmd,
    ) -> Result<T, BackplaneError> {
        self.call(&self.commands, Traffic::Hot, key, None, |_| command.clone()).await
    }

    /// The same where it is rare, or its answer long.
    pub(super) async fn rare_command<T: FromRedisValue>(
        &self,
        key: &str,
        command: Cmd,
    ) -> Result<T, BackplaneError> {
        self.call(&self.commands, Traffic::Bulk, key, None, |_| command.clone()).await
    }

    async fn call<T: FromRedisValue>(
        &self,
        figures: &CallFigures,
        traffic: Traffic,
        key: &str,
        script: Option<&Script>,
        make: impl Fn(i64) -> Cmd,
    ) -> Result<T, BackplaneError> {
        let (began, until) = (Instant::now(), self.until());
        let code = script.map(|script| &**script);
        let answer = match &self.kind {
            Kind::Standalone(server) => server.call(traffic, until, code, make).await,
            Kind::Cluster(cluster) => cluster.call(traffic, until, key, code, make).await,
        };
        let answer = answer.map_err(BackplaneError::from).and_then(|answer| {
            let what = if script.is_some() { "a script" } else { "a command" };
            T::from_redis_value(answer).map_err(|error| unexpected(what, error))
        });
        figures.ended(began, &answer);
        answer
    }

    /// Runs any number of commands, each of the key beside it, and gives the answer of each. Costs
    /// the time of one round trip and of the pool's look at its connection, none of the hot path's.
    pub(super) async fn bulk(
        &self,
        commands: Vec<(String, Cmd)>,
    ) -> Result<Vec<RedisResult<Value>>, BackplaneError> {
        let (began, count) = (Instant::now(), commands.len());
        let answers = match &self.kind {
            Kind::Standalone(server) => {
                server.bulk(self.until(), commands.into_iter().map(|(_, command)| command)).await
            }
            Kind::Cluster(cluster) => cluster.bulk(self.until(), commands).await,
        };
        let answers = answers.map_err(BackplaneError::from);
        self.bulk.ended(began, &answers);
        let answers = answers?;
        if answers.len() == count {
            Ok(answers)
        } else {
            Err(unexpected("many commands", format!("{} answers of {count}", answers.len())))
        }
    }

    /// The same for commands that only read: where the connection broke they are asked once more.
    pub(super) async fn read(
        &self,
        commands: Vec<(String, Cmd)>,
    ) -> Result<Vec<RedisResult<Value>>, BackplaneError> {
        match self.bulk(commands.clone()).await {
            Err(BackplaneError::Unknown(_)) => self.bulk(commands).await,
            answered => answered,
        }
    }

    /// Asks every master the same; each answer stands beside who gave it.
    pub(super) async fn everywhere(
        &self,
        command: &Cmd,
    ) -> Result<Vec<(String, RedisResult<Value>)>, BackplaneError> {
        let asked = match &self.kind {
            Kind::Standalone(server) => {
                let node = server.node()?;
                let answer = server.call(Traffic::Bulk, self.until(), None, |_| command.clone());
                vec![(node.shown().to_owned(), answer.await)]
            }
            Kind::Cluster(cluster) => cluster.everywhere(self.until(), command).await?,
        };
        let each = asked.into_iter().map(|(server, answer)| match answer {
            Ok(value) => Ok((server, Ok(value))),
            Err(Failed::Redis(error)) => Ok((server, Err(error))),
            Err(failed) => Err(failed.into()),
        });
        each.collect()
    }

    /// The way to the server where all keys are on one, and scripts publish.
    pub(super) fn lanes_that_publish(&self) -> Option<Arc<Lanes>> {
        match &self.kind {
            Kind::Standalone(server) if self.publishes_in_scripts() => Some(server.lanes()),
            _ => None,
        }
    }

    /// Whether scripts are to publish. They cannot to the channels of a cluster, which are in slots
    /// of their own; and what waits for replicas is told to nobody before they have it.
    pub(super) fn publishes_in_scripts(&self) -> bool {
        self.replicas == 0 && matches!(self.kind, Kind::Standalone(_))
    }

    /// The command that publishes to a channel, which is its key. It answers how many listen.
    pub(super) fn publication(&self, channel: &str, message: &[u8]) -> Cmd {
        let mut publish = Cmd::new();
        publish
            .arg(match &self.kind {
                Kind::Standalone(_) => "PUBLISH",
                Kind::Cluster(_) => "SPUBLISH",
            })
            .arg(channel)
            .arg(message);
        publish
    }

    /// Publishes, and gives how many listened.
    pub(super) async fn publish(
        &self,
        channel: &str,
        message: &[u8],
    ) -> Result<u64, BackplaneError> {
        let publish = self.publication(channel, message);
        self.call(&self.publications, Traffic::Hot, channel, None, |_| publish.clone()).await
    }

    /// How many are subscribed to a channel.
    pub(super) async fn listeners(&self, channel: &str) -> Result<u64, BackplaneError> {
        match &self.kind {
            Kind::Standalone(server) => server.listeners(self.until(), channel).await,
            Kind::Cluster(cluster) => Ok(cluster.listeners(self.until(), channel).await?),
        }
    }

    /// Where a channel is subscribed to.
    pub(super) fn home(&self, channel: &str) -> Result<Node, BackplaneError> {
        match &self.kind {
            Kind::Standalone(server) => server.node(),
            Kind::Cluster(cluster) => cluster.home(channel).map_err(BackplaneError::Unavailable),
        }
    }

    /// Subscribes a connection to a channel whose home its server is.
    pub(super) async fn subscribe(
        &self,
        connection: &mut MultiplexedConnection,
        channel: &str,
    ) -> RedisResult<()> {
        match &self.kind {
            Kind::Standalone(_) => connection.subscribe(channel).await,
            Kind::Cluster(cluster) => cluster.subscribe(connection, channel).await,
        }
    }

    /// Changes whenever what was on one server is on another one, which may have less of it.
    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        match &self.kind {
            Kind::Standalone(server) => server.moves(),
            Kind::Cluster(cluster) => cluster.moves(),
        }
    }
}
