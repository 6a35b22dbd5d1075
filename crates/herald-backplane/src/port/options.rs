//! How a backplane is opened.

use std::time::Duration;

use herald_core::InboxLimits;

use crate::{OpenError, redis};

/// How a backplane is opened.
#[derive(Debug, Clone)]
pub struct BackplaneOptions {
    /// `memory:`, or one of
    ///
    /// | URL | |
    /// |---|---|
    /// | `redis://[user:password@]host[:port][/db]` | one server |
    /// | `redis-sentinel://[user:password@]host[:port],…/master[/db]` | the master that Sentinel names |
    /// | `redis-cluster://[user:password@]host[:port],…` | a cluster, by some of its servers |
    ///
    /// with `rediss` in place of `redis` for TLS.
    pub url: String,
    /// First part of every key and channel name, so that several Heralds can
    /// share one Redis.
    pub key_prefix: String,
    /// What an inbox keeps.
    pub inbox: InboxLimits,
    /// How long an idempotency key is kept; the newest `inbox.notices` of a user are.
    pub key_age: Duration,
    /// How long a lease is good for without renewal; at least three renewals fit.
    pub lease: Duration,
    /// How often a lease is renewed.
    pub renew_every: Duration,
    /// How long any one call may take.
    pub call_deadline: Duration,
    /// How long a channel may be silent although something is published to it every second;
    /// then it counts as lost.
    pub channel_silence: Duration,
    /// Shared connections that carry the hot path (Redis).
    pub connections: usize,
    /// Replicas of Redis that have to have a notice before it counts as accepted; 0 for none.
    pub wait_replicas: u32,
    /// Largest stored notice that travels on a channel whole, in bytes; a larger
    /// one is announced there and read from the inbox.
    pub inline_bytes: usize,
    /// Messages of one gateway's channel that may wait for it; beyond that they
    /// are dropped, counted, and the channel counts as lost.
    pub channel_capacity: usize,
}

/// The address of a backplane inside this process.
pub(super) const MEMORY: &str = "memory:";

impl BackplaneOptions {
    /// Whether a backplane can be opened from this URL, as far as that is known without
    /// connecting.
    ///
    /// # Errors
    /// [`OpenError`], which never shows what may be a secret.
    pub fn check_url(url: &str) -> Result<(), OpenError> {
        if url == MEMORY { Ok(()) } else { redis::check_url(url) }
    }
}

impl Default for BackplaneOptions {
    fn default() -> Self {
        Self {
            url: "memory:".into(),
            key_prefix: "herald".into(),
            inbox: InboxLimits::default(),
            key_age: Duration::from_hours(24),
            lease: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            call_deadline: Duration::from_secs(2),
            channel_silence: Duration::from_secs(2),
            connections: 4,
            wait_replicas: 0,
            inline_bytes: 4 << 10,
            channel_capacity: 16_384,
        }
    }
}
