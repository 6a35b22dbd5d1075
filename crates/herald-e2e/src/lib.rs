//! A sandbox for end-to-end tests: Redis, gateways, notifiers, nginx and official clients as child
//! processes on ports of their own, so that any number of tests run side by side.
//!
//! Three promises: **nothing leaks in**, a child sees no `HERALD_…` variable but those that the
//! test gives; **nothing leaks out**, all children end with the test, also when it is killed
//! ([`Watchdog`]); **a failure explains itself**, what the children said is printed when a test
//! panics, and kept if `HERALD_E2E_KEEP` is set.

mod binaries;
mod browser;
mod dev;
mod documented;
mod eventually;
mod evidence;
mod nginx;
mod ports;
mod process;
mod redis;
mod relay;
mod sandbox;
mod script;
mod service;
mod watchdog;

pub use self::{
    browser::Browser,
    dev::{Addresses, Dev},
    documented::Documented,
    eventually::{eventually, within},
    evidence::note_secret,
    nginx::{Nginx, Upstream},
    ports::Port,
    process::{Process, Signal, Spawn},
    redis::{Cluster, Monitor, Published, RedisServer, Sentinel},
    relay::Relay,
    sandbox::{Sandbox, SandboxBuilder},
    script::Script,
    service::{
        Gateway, GatewayKind, GatewayOptions, Notifier, NotifierKind, NotifierOptions, Service,
    },
    watchdog::Watchdog,
};
