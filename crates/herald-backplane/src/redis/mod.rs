//! The backplane on Redis 6.2 or newer.
//!
//! `keys.rs` makes every name; `lua/` holds the scripts; `lanes.rs` the shared
//! connections of the hot path; `channel.rs` each gateway's own subscription;
//! the pool serves what is rare or long.

mod address;
mod audit;
mod backoff;
mod channel;
mod checks;
mod clock;
mod dispatch;
mod error;
mod inbox;
mod keys;
mod lanes;
mod lease;
mod presence;
mod reap;
mod volatile;

use std::{sync::Arc, time::Duration};

use deadpool_redis::{Manager, Pool, Runtime};
use redis::{AsyncConnectionConfig, Script};
use tokio::sync::watch;

#[doc(hidden)]
pub use self::clock::RedisClock;
pub use self::lease::RedisGateway;
use self::{address::Address, keys::Keys, lanes::Lanes};
use crate::{BackplaneError, BackplaneOptions, Clock, Health, OpenError};

/// Connections for what is rare or long, at most.
const POOL: usize = 8;

/// A Redis that any number of processes share. Clones share connections.
#[derive(Debug, Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: BackplaneOptions,
    keys: Keys,
    lanes: Lanes,
    pool: Pool,
    scripts: Scripts,
}

/// The scripts, each sent by its digest and loaded where it is missing.
#[derive(Debug)]
struct Scripts {
    dispatch: Script,
    volatile: Script,
    broadcast: Script,
    read: Script,
    forget: Script,
    lease_open: Script,
    lease_renew: Script,
    lease_claim: Script,
}

impl Scripts {
    fn new() -> Self {
        const INBOX: &str = concat!(include_str!("lua/clock.lua"), include_str!("lua/inbox.lua"));
        const LEASES: &str = concat!(include_str!("lua/clock.lua"), include_str!("lua/leases.lua"));
        const KEYS: &str = include_str!("lua/keys.lua");
        const CHANNEL: &str = include_str!("lua/channel.lua");
        let with = |common: &str, script: &str| Script::new(&format!("{common}\n{script}"));
        let publishing =
            |common: &str, script: &str| Script::new(&format!("{common}\n{CHANNEL}\n{script}"));
        Self {
            dispatch: publishing(&format!("{INBOX}\n{KEYS}"), include_str!("lua/dispatch.lua")),
            volatile: publishing(INBOX, include_str!("lua/volatile.lua")),
            broadcast: publishing(LEASES, include_str!("lua/broadcast.lua")),
            read: with(INBOX, include_str!("lua/read.lua")),
            forget: Script::new(include_str!("lua/forget.lua")),
            lease_open: with(LEASES, include_str!("lua/lease_open.lua")),
            lease_renew: with(LEASES, include_str!("lua/lease_renew.lua")),
            lease_claim: with(LEASES, include_str!("lua/lease_claim.lua")),
        }
    }
}

impl Redis {
    pub(crate) fn open(options: &BackplaneOptions) -> Result<Self, OpenError> {
        let keys = Keys::new(&options.key_prefix)?;
        let address = Address::parse(&options.url, options.call_deadline)?;
        let pool = pool(&address, options.call_deadline)?;
        let hiccup = hiccup(options.lease);
        let lanes = Lanes::open(address, options.connections, options.call_deadline, hiccup);
        let inner = Inner { options: options.clone(), keys, lanes, pool, scripts: Scripts::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.inner.lanes.health()
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock::Redis(self.inner.lanes.clock())
    }

    /// A connection for what is rare or long.
    async fn pooled(&self) -> Result<deadpool_redis::Connection, BackplaneError> {
        self.inner.pool.get().await.map_err(|error| BackplaneError::Unavailable(error.to_string()))
    }
}

fn pool(address: &Address, deadline: Duration) -> Result<Pool, OpenError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(deadline))
        .set_response_timeout(Some(deadline));
    let info = address.client.get_connection_info().clone();
    let manager = Manager::new_with_config(info, config);
    manager
        .map_err(|error| error.to_string())
        .and_then(|manager| {
            Pool::builder(manager)
                .max_size(POOL)
                .wait_timeout(Some(deadline))
                .create_timeout(Some(deadline))
                .recycle_timeout(Some(deadline))
                .runtime(Runtime::Tokio1)
                .build()
                .map_err(|error| error.to_string())
        })
        .map_err(|error| {
            OpenError(format!("cannot use the Redis address {}: {error}", address.shown))
        })
}

/// How long Redis may be silent before it matters to who judges leases: a holder renews at least
/// three times a lease, so a silence that makes one lapse is longer than this.
fn hiccup(lease: Duration) -> Duration {
    lease / 5
}

/// Whole milliseconds, for scripts.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
