//! The seam between the services and what they share.
//!
//! [`Backplane`] is opened from an address and hands out two narrow handles:
//! [`NotifierPort`] for who sends, [`GatewayPort`] for who delivers. Both are
//! concrete enums over the implementations, so that services carry no type
//! parameters; what they guarantee is written here and held by the conformance
//! suite, which every implementation passes.

mod gateway;
mod inbox;
mod notifier;
mod options;
mod sending;

use herald_core::GatewayName;
use tokio::sync::watch;

use self::options::MEMORY;
pub use self::{
    gateway::{Audit, Believed, Finding, GatewayPort},
    inbox::{InboxNotice, Page, Since},
    notifier::NotifierPort,
    options::BackplaneOptions,
    sending::{Dispatched, Key, Presence, Reaped, Sent, Target, Terms},
};
use crate::{BackplaneError, Clock, GatewayEvents, LeaseError, OpenError, memory, redis};

/// Whether the backplane can be used right now, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Ready,
    /// It does not; the text is for operators.
    Away(String),
}

/// Registry, inboxes and channels. A cheap handle; clones share everything.
#[derive(Debug, Clone)]
pub enum Backplane {
    /// Everything inside this process.
    Memory(memory::Memory),
    /// Redis, shared by any number of processes.
    Redis(redis::Redis),
}

impl Backplane {
    /// Opens the backplane that `options.url` names. Nothing is awaited: a
    /// backplane that is away is connected to in the background, for ever, and
    /// [`Backplane::health`] tells. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`] if the address or an option can never work.
    pub fn open(options: &BackplaneOptions) -> Result<Self, OpenError> {
        if options.url == MEMORY {
            return Ok(Self::Memory(memory::Memory::new(options)));
        }
        redis::Redis::open(options).map(Self::Redis)
    }

    /// Follows whether the backplane answers.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        match self {
            Self::Memory(memory) => memory.health(),
            Self::Redis(redis) => redis.health(),
        }
    }

    /// The backplane's clock, as far as it is known here.
    #[must_use]
    pub fn clock(&self) -> Clock {
        match self {
            Self::Memory(_) => Clock::System,
            Self::Redis(redis) => redis.clock(),
        }
    }

    /// What an operator should know of this backplane: settings that put notices
    /// at risk. Empty when there is nothing to say.
    ///
    /// # Errors
    /// [`BackplaneError::Unusable`] when it can never work (too old, missing
    /// permission); retryable errors while it is away.
    pub async fn risks(&self) -> Result<Vec<String>, BackplaneError> {
        match self {
            Self::Memory(_) => Ok(Vec::new()),
            Self::Redis(redis) => redis.risks().await,
        }
    }

    /// The handle of those who send.
    #[must_use]
    pub fn notifier(&self) -> NotifierPort {
        match self {
            Self::Memory(memory) => NotifierPort::Memory(memory.clone()),
            Self::Redis(redis) => NotifierPort::Redis(redis.clone()),
        }
    }

    /// Takes a lease for the gateway `name` and opens its channel: subscribed
    /// and confirmed before the lease is taken, renewed in the background until
    /// the port is released or dropped.
    ///
    /// A lease that `name` left behind is taken over (fenced, its sessions
    /// removed) if it lapsed or nobody listens on its channel any more.
    ///
    /// # Errors
    /// [`LeaseError::NameTaken`] while another one of that name is alive.
    pub async fn gateway(
        &self,
        name: &GatewayName,
    ) -> Result<(GatewayPort, GatewayEvents), LeaseError> {
        match self {
            Self::Memory(memory) => {
                let (port, events) = memory.gateway(name)?;
                Ok((GatewayPort::Memory(port), events))
            }
            Self::Redis(redis) => {
                let (port, events) = redis.gateway(name).await?;
                Ok((GatewayPort::Redis(port), events))
            }
        }
    }
}
