//! All keys spread over the masters of a Redis Cluster.
//!
//! A call that a server refused happened nowhere: it is tried again, at the server
//! that was named or a little later, until its deadline. One whose connection broke
//! may have happened, and is never sent a second time; the client library's own
//! cluster connection would do that.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use redis::{
    Cmd, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};
use tokio::{sync::watch, time::timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    clock::RedisClock,
    error::is_read_only,
    lanes::{Attempt, Failed, Traffic},
    masters::{Master, Masters},
    node::{Node, Settings},
    slots::{HostPort, slot_of},
};
use crate::Health;

/// The first pause before a refused call is tried again; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A cluster.
pub(super) struct Cluster {
    masters: Arc<Masters>,
    /// Ends whoever follows the masters.
    _stop: DropGuard,
}

/// What may help a call that failed.
enum Remedy {
    /// Nothing.
    None,
    /// Another try at once, where the slot is now.
    Again,
    /// Another try at once, with leave to ask a server that does not have the slot yet.
    Ask(Arc<Master>),
    /// Another try after a while.
    Later,
    /// To wait until the server is connected to for the first time.
    Connect,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("seeds", &self.masters.seeds).finish_non_exhaustive()
    }
}

impl Cluster {
    pub(super) fn open(
        seeds: Vec<HostPort>,
        settings: Settings,
        connections: usize,
        hiccup: Duration,
    ) -> Self {
        let masters = Arc::new(Masters::new(seeds, settings, connections, hiccup));
        let stop = CancellationToken::new();
        let follow = Arc::clone(&masters).follow();
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow));
        Self { masters, _stop: stop.drop_guard() }
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.masters.health.subscribe()
    }

    pub(super) fn healthy_for(&self, key: &str) -> Duration {
        let owner = self.masters.owner(slot_of(key));
        owner.map_or(Duration::ZERO, |server| server.lanes.healthy_for())
    }

    pub(super) fn clock(&self) -> Arc<RedisClock> {
        Arc::clone(&self.masters.clock)
    }

    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        self.masters.moves.subscribe()
    }

    /// The server that has the slot of `key`.
    pub(super) fn home(&self, key: &str) -> Result<Node, String> {
        self.masters.owner(slot_of(key)).map(|server| server.node.clone()).ok_or_else(|| self.why())
    }

    /// Why there is nobody to ask.
    fn why(&self) -> String {
        match &*self.masters.health.borrow() {
            Health::Away(why) => why.clone(),
            Health::Ready => "no master of the cluster has that slot".into(),
        }
    }

    pub(super) async fn call(
        &self,
        traffic: Traffic,
        until: Instant,
        key: &str,
        script: Option<&Script>,
        make: impl Fn(i64) -> Cmd,
    ) -> Result<Value, Failed> {
        let slot = slot_of(key);
        let (mut granted, mut pause) = (None, PAUSE);
        loop {
            let asking = granted.is_some();
            let Some(server) = granted.take().or_else(|| self.masters.owner(slot)) else {
                self.masters.ask.notify_one();
                return Err(Failed::Away(self.why()));
            };
            let attempt = Attempt { traffic, until, script, asking };
            let failed = match server.lanes.call(attempt, &make).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match self.remedy(&failed, &server, slot) {
                Remedy::None => return Err(failed),
                Remedy::Again => {}
                Remedy::Ask(server) => granted = Some(server),
                Remedy::Later => {
                    tokio::time::sleep_until((Instant::now() + pause).min(until).into()).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Remedy::Connect => {
                    let mut health = server.lanes.health();
                    let connected = health.wait_for(|health| *health == Health::Ready);
                    if timeout_at(until.into(), connected).await.is_err() {
                        return Err(failed);
                    }
                }
            }
            if Instant::now() >= until {
                return Err(failed);
            }
        }
    }

    /// One pipeline for each server; what was refused there is tried again, one by one.
    pub(super) async fn bulk(
        &self,
        until: Instant,
        commands: Vec<(String, Cmd)>,
    ) -> Result<Vec<RedisResult<Value>>, Failed> {
        let mut groups: Vec<(Arc<Master>, Vec<usize>)> = Vec::new();
        for (nth, (key, _)) in commands.iter().enumerate() {
            let Some(server) = self.masters.owner(slot_of(key)) else {
                self.masters.ask.notify_one();
                return Err(Failed::Away(self.why()));
            };
            match groups.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &server)) {
                Some((_, group)) => group.push(nth),
                None => groups.push((server, vec![nth])),
            }
        }
        let commands = &commands;
        let asked = groups.iter().map(async |(server, group)| {
            let of_group = group.iter().map(|nth| commands[*nth].1.clone());
            match server.lanes.pipeline(until, of_group).await {
                Ok(answers) => Ok((group, answers)),
                Err(failed) => {
                    self.masters.ask.notify_one();
                    Err(failed)
                }
            }
        });
        let mut answers: Vec<Option<RedisResult<Value>>> = vec![None; commands.len()];
        for answered in join_all(asked).await {
            let (group, answered) = answered?;
            for (nth, answer) in group.iter().zip(answered) {
                let (key, command) = &commands[*nth];
                answers[*nth] = Some(match answer {
                    Err(error) if is_refused(&error) => {
                        let again = self.call(Traffic::Bulk, until, key, None, |_| command.clone());
                        match again.await {
                            Ok(value) => Ok(value),
                            Err(Failed::Redis(error)) => Err(error),
                            Err(failed) => return Err(failed),
                        }
                    }
                    answer => answer,
                });
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    fn remedy(&self, failed: &Failed, asked: &Arc<Master>, slot: u16) -> Remedy {
        let error = match failed {
            Failed::Redis(error) if is_refused(error) => error,
            Failed::Away(_) if asked.opened.elapsed() < self.masters.settings.deadline => {
                return Remedy::Connect;
            }
            Failed::Away(_) | Failed::Late(_) => {
                self.masters.ask.notify_one();
                return Remedy::None;
            }
            Failed::Redis(error) => {
                if error.is_io_error() {
                    self.masters.ask.notify_one();
                }
                return Remedy::None;
            }
        };
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Ask) => {
                match self.masters.named(error, asked).map(|named| self.masters.server(&named)) {
                    Some(Ok(server)) => Remedy::Ask(server),
                    _ => Remedy::Later,
                }
            }
            ErrorKind::Server(ServerErrorKind::Moved)
                if self.masters.note_move(error, slot, Some(asked)) =>
            {
                Remedy::Again
            }
            _ => {
                self.masters.ask.notify_one();
                Remedy::Later
            }
        }
    }

    /// Asks every master the same; each answer stands beside who gave it.
    pub(super) async fn everywhere(
        &self,
        until: Instant,
        command: &Cmd,
    ) -> Result<Vec<(String, Result<Value, Failed>)>, Failed> {
        let servers = self.masters.all();
        if servers.is_empty() {
            return Err(Failed::Away(self.why()));
        }
        let asked = servers.iter().map(async |server| {
            let attempt = Attempt { traffic: Traffic::Bulk, until, script: None, asking: false };
            let answer = server.lanes.call(attempt, |_| command.clone()).await;
            (server.node.shown().to_owned(), answer)
        });
        Ok(join_all(asked).await)
    }

    /// How many are subscribed to a sharded channel, wherever they are: all masters are asked,
    /// since one that does not have the channel's slot says 0.
    pub(super) async fn listeners(&self, until: Instant, channel: &str) -> Result<u64, Failed> {
        let mut ask = Cmd::new();
        ask.arg("PUBSUB").arg("SHARDNUMSUB").arg(channel);
        let mut sum = 0;
        for (_, answer) in self.everywhere(until, &ask).await? {
            let (_, count): (String, u64) = redis::from_redis_value(answer?)
                .map_err(|error| Failed::Redis(RedisError::from(error)))?;
            sum += count;
        }
        Ok(sum)
    }

    /// Subscribes `connection` to a channel whose home its server is thought to be.
    pub(super) async fn subscribe(
        &self,
        connection: &mut MultiplexedConnection,
        channel: &str,
    ) -> RedisResult<()> {
        let mut subscribe = Cmd::new();
        subscribe.arg("SSUBSCRIBE").arg(channel);
        let subscribed = subscribe.query_async::<Value>(connection).await;
        if let Err(error) = &subscribed {
            self.masters.note_move(error, slot_of(channel), None);
        }
        subscribed.map(drop)
    }
}

/// Whether the server did not do it, though another one, or the same a little later, might.
fn is_refused(error: &RedisError) -> bool {
    is_read_only(error)
        || matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::Moved
                    | ServerErrorKind::Ask
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::BusyLoading
            )
        )
}
