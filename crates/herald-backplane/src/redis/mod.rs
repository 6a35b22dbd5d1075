//! The backplane on Redis 6.2 or newer: one server, Sentinel or Cluster.
//!
//! `keys.rs` makes every name; `lua/` holds the scripts; `servers.rs` is the one
//! way to ask, whatever kind of Redis it is; `lanes.rs` the connections to one
//! server, `pool.rs` those that a call has to itself; `subscription.rs` the one on
//! which a gateway (`channel.rs`) or a notifier (`receipts.rs`) listens.

mod accepted;
mod address;
mod audit;
mod backoff;
mod canary;
mod channel;
mod checks;
mod clock;
mod cluster;
mod confirmed;
mod dispatch;
mod dispatcher;
mod ending;
mod error;
#[doc(hidden)]
pub mod hot;
mod inbox;
mod index;
mod keys;
mod lane;
mod lanes;
mod lease;
mod lives;
mod masters;
mod node;
mod places;
mod pool;
mod presence;
mod reap;
mod receipts;
mod script;
mod sentinel;
mod servers;
mod slots;
mod standalone;
mod subscription;
mod volatile;

use std::{sync::Arc, time::Duration};

use redis::{Cmd, ToRedisArgs};
use tokio::sync::watch;

#[doc(hidden)]
pub use self::clock::RedisClock;
pub use self::lease::RedisGateway;
use self::{
    address::Address, dispatch::Calls, dispatcher::Dispatcher, keys::Keys, script::Script,
    servers::Servers,
};
use crate::{BackplaneOptions, Clock, Health, OpenError, figures};

/// A Redis that any number of processes share. Clones share connections.
#[derive(Debug, Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: BackplaneOptions,
    keys: Keys,
    servers: Servers,
    scripts: Scripts,
    calls: Arc<Calls>,
    /// Where notices can travel together.
    dispatcher: Option<Dispatcher>,
}

/// The scripts, each sent by its digest and loaded where it is missing.
#[derive(Debug)]
struct Scripts {
    dispatch: Script,
    volatile: Script,
    broadcast: Script,
    read: Script,
    find: Script,
    forget: Script,
    end: Script,
    purge: Script,
    lease_open: Script,
    lease_renew: Script,
    lease_claim: Script,
    check: Script,
}

impl Scripts {
    /// Those that publish do it themselves, or leave it to their caller.
    fn new(publish: bool) -> Self {
        const INBOX: &str = concat!(include_str!("lua/clock.lua"), include_str!("lua/inbox.lua"));
        const LEASES: &str = concat!(include_str!("lua/clock.lua"), include_str!("lua/leases.lua"));
        const KEYS: &str = include_str!("lua/keys.lua");
        const RECEIPTS: &str = include_str!("lua/receipts.lua");
        const CHANNEL: &str = include_str!("lua/channel.lua");
        let with = |name: &'static str, common: &str, script: &str| {
            Script::new(name, &format!("{common}\n{script}"))
        };
        let tell =
            if publish { include_str!("lua/tell.lua") } else { include_str!("lua/tell_later.lua") };
        let publishing = |name: &'static str, common: &str, script: &str| {
            Script::new(name, &format!("{common}\n{CHANNEL}\n{tell}\n{script}"))
        };
        Self {
            dispatch: publishing(
                "dispatch",
                &format!("{INBOX}\n{KEYS}\n{RECEIPTS}"),
                include_str!("lua/dispatch.lua"),
            ),
            volatile: publishing("volatile", INBOX, include_str!("lua/volatile.lua")),
            broadcast: publishing("broadcast", LEASES, include_str!("lua/broadcast.lua")),
            read: with("read", INBOX, include_str!("lua/read.lua")),
            find: with("find", INBOX, include_str!("lua/find.lua")),
            forget: Script::new("forget", include_str!("lua/forget.lua")),
            end: publishing("end", INBOX, include_str!("lua/end.lua")),
            purge: with("purge", INBOX, include_str!("lua/purge.lua")),
            lease_open: with("lease_open", LEASES, include_str!("lua/lease_open.lua")),
            lease_renew: with("lease_renew", LEASES, include_str!("lua/lease_renew.lua")),
            lease_claim: with("lease_claim", LEASES, include_str!("lua/lease_claim.lua")),
            check: Script::new("check", include_str!("lua/check.lua")),
        }
    }
}

impl Redis {
    pub(crate) fn open(options: &BackplaneOptions) -> Result<Self, OpenError> {
        let keys = Keys::new(&options.key_prefix)?;
        figures::declare();
        let address = Address::parse(&options.url, options.call_deadline)?;
        let hiccup = hiccup(options.lease);
        let servers = Servers::open(address, options, hiccup);
        let scripts = Scripts::new(servers.publishes_in_scripts());
        let calls = Arc::new(Calls::new(scripts.dispatch.clone(), &keys, options));
        let lanes = servers.lanes_that_publish();
        let dispatcher = lanes.map(|lanes| Dispatcher::open(lanes, Arc::clone(&calls)));
        let inner = Inner { options: options.clone(), keys, servers, scripts, calls, dispatcher };
        Ok(Self { inner: Arc::new(inner) })
    }

    pub(crate) fn health(&self) -> watch::Receiver<Health> {
        self.inner.servers.health()
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock::Redis(self.inner.servers.clock())
    }
}

/// Whether it is the URL of a Redis.
pub(crate) fn check_url(url: &str) -> Result<(), OpenError> {
    Address::parse(url, Duration::from_secs(1)).map(drop)
}

/// The beginning of a script's call. Its arguments follow, the deadline first if it heeds one.
fn eval(script: &Script, keys: &[impl ToRedisArgs]) -> Cmd {
    let mut call = Cmd::new();
    call.arg("EVALSHA").arg(script.get_hash()).arg(keys.len()).arg(keys);
    call
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
