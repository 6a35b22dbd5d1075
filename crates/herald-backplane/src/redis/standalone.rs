//! All keys on one server, wherever that is at the moment.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Cmd, RedisResult, Script, Value};
use tokio::sync::watch;

use super::{
    clock::RedisClock,
    error::unexpected,
    lanes::{Failed, Lanes, Target, Traffic},
    node::Node,
};
use crate::{BackplaneError, Health};

/// One server.
#[derive(Debug)]
pub(super) struct Standalone {
    target: watch::Sender<Target>,
    lanes: Lanes,
}

impl Standalone {
    pub(super) fn open(node: Node, connections: usize, hiccup: Duration) -> Self {
        let deadline = node.deadline();
        let (target, follow) = watch::channel(Ok(node));
        Self { target, lanes: Lanes::open(follow, connections, deadline, hiccup) }
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
        self.target.borrow().clone().map_err(BackplaneError::Unavailable)
    }

    pub(super) async fn call(
        &self,
        traffic: Traffic,
        until: Instant,
        script: Option<&Script>,
        make: impl Fn(i64) -> Cmd,
    ) -> Result<Value, Failed> {
        self.lanes.call(traffic, until, script, make).await
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
        let answer = self.lanes.call(Traffic::Hot, until, None, |_| ask.clone()).await?;
        let (_, count): (String, u64) =
            redis::from_redis_value(answer).map_err(|error| unexpected("NUMSUB", error))?;
        Ok(count)
    }
}
