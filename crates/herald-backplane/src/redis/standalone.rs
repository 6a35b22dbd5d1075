//! All keys on one server, wherever that is at the moment.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Cmd, RedisResult, Script, Value};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    clock::RedisClock,
    error::unexpected,
    lane::Guide,
    lanes::{Attempt, Failed, Lanes, Traffic},
    node::Node,
    sentinel::{Followed, Sentinels},
};
use crate::{BackplaneError, Health};

/// One server, or the one that is the master.
#[derive(Debug)]
pub(super) struct Standalone {
    followed: Arc<Followed>,
    lanes: Arc<Lanes>,
    /// Ends whoever follows the master.
    _stop: DropGuard,
}

impl Standalone {
    pub(super) fn open(node: Node, connections: usize, hiccup: Duration) -> Self {
        let deadline = node.deadline();
        let followed = Followed::new(Ok(node));
        let guide = Guide { target: followed.target.subscribe(), ask: None };
        let lanes = Arc::new(Lanes::open(guide, connections, deadline, hiccup));
        Self { followed, lanes, _stop: CancellationToken::new().drop_guard() }
    }

    pub(super) fn follow(sentinels: Sentinels, connections: usize, hiccup: Duration) -> Self {
        let deadline = sentinels.servers.deadline;
        let followed = Followed::new(Err("no Sentinel was asked yet".into()));
        let guide =
            Guide { target: followed.target.subscribe(), ask: Some(Arc::clone(&followed.ask)) };
        let stop = CancellationToken::new();
        let follow = sentinels.follow(Arc::clone(&followed));
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow));
        let lanes = Arc::new(Lanes::open(guide, connections, deadline, hiccup));
        Self { followed, lanes, _stop: stop.drop_guard() }
    }

    pub(super) fn lanes(&self) -> Arc<Lanes> {
        Arc::clone(&self.lanes)
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.lanes.health()
    }

    pub(super) fn healthy_for(&self) -> Duration {
        self.lanes.healthy_for()
    }

    pub(super) fn clock(&self) -> Arc<RedisClock> {
        self.lanes.clock()
    }

    pub(super) fn node(&self) -> Result<Node, BackplaneError> {
        self.followed.target.borrow().clone().map_err(BackplaneError::Unavailable)
    }

    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        self.followed.moves.subscribe()
    }

    pub(super) async fn call(
        &self,
        traffic: Traffic,
        until: Instant,
        script: Option<&Script>,
        make: impl Fn(i64) -> Cmd,
    ) -> Result<Value, Failed> {
        self.lanes.call(Attempt { traffic, until, script, asking: false }, make).await
    }

    pub(super) async fn bulk(
        &self,
        until: Instant,
        commands: impl IntoIterator<Item = Cmd>,
    ) -> Result<Vec<RedisResult<Value>>, Failed> {
        self.lanes.pipeline(until, commands).await
    }

    /// How many connections are subscribed to a channel.
    pub(super) async fn listeners(
        &self,
        until: Instant,
        channel: &str,
    ) -> Result<u64, BackplaneError> {
        let mut ask = Cmd::new();
        ask.arg("PUBSUB").arg("NUMSUB").arg(channel);
        let answer = self.call(Traffic::Hot, until, None, |_| ask.clone()).await?;
        let (_, count): (String, u64) =
            redis::from_redis_value(answer).map_err(|error| unexpected("NUMSUB", error))?;
        Ok(count)
    }
}
