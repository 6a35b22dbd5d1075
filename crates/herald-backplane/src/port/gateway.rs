//! What a gateway can do under its lease.

use herald_core::{Cursor, GatewayId, SessionId, SessionRecord, UserId};

use super::{NotifierPort, Page, Since};
use crate::{
    Admission, BackplaneError, Mark, Outgoing, Places, ReceiptsWanted, Reported, memory, redis,
};

/// A session as its gateway has it, to be compared with what the backplane has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed {
    /// Whose.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// How far it was served.
    pub cursor: Cursor,
}

/// What an audit found out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// The sessions that are not as their gateway believes, in the order asked.
    pub findings: Vec<Finding>,
    /// Sessions of which nothing could be found out, because what stands in the
    /// backplane is not what Herald wrote there.
    pub unreadable: usize,
    /// Times that the backplane was asked and awaited.
    pub round_trips: u32,
}

/// One session that is not registered, or whose place is not its inbox's tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Which of the sessions asked about, counted from 0.
    pub nth: usize,
    /// Whether it is registered under this lease, and a reaper would find it.
    pub registered: bool,
    /// The last place of its inbox; of a user who has none, the place before
    /// everything in epoch 0.
    pub tip: Cursor,
}

/// A gateway's lease and what can be done under it. Cheap to clone. Dropping the
/// last clone without [`GatewayPort::release`] leaves the lease to lapse, as a
/// crash would.
#[derive(Debug, Clone)]
pub enum GatewayPort {
    #[doc(hidden)]
    Memory(memory::MemoryGateway),
    #[doc(hidden)]
    Redis(redis::RedisGateway),
}

impl GatewayPort {
    /// The id of this lease.
    #[must_use]
    pub fn id(&self) -> GatewayId {
        match self {
            Self::Memory(gateway) => gateway.id(),
            Self::Redis(gateway) => gateway.id(),
        }
    }

    /// The last place of the user's inbox, or `None` for a user who has none.
    /// Changes nothing.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn tip(&self, user: &UserId) -> Result<Option<Cursor>, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.tip(user)),
            Self::Redis(gateway) => gateway.tip(user).await,
        }
    }

    /// What is to be known before a client is let in; its tip is that of
    /// [`GatewayPort::tip`]. Changes nothing.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn admission(&self, user: &UserId) -> Result<Admission, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.memory().admission(user)),
            Self::Redis(gateway) => gateway.redis().admission(user).await,
        }
    }

    /// How many sessions the user has, those of lapsed gateways included.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn session_count(&self, user: &UserId) -> Result<usize, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.memory().session_count(user)),
            Self::Redis(gateway) => gateway.redis().session_count(user).await,
        }
    }

    /// What those who send can ask too: a gateway ends the sessions of a user who has too
    /// many.
    #[must_use]
    pub fn notifier(&self) -> NotifierPort {
        match self {
            Self::Memory(gateway) => NotifierPort::Memory(gateway.memory().clone()),
            Self::Redis(gateway) => NotifierPort::Redis(gateway.redis().clone()),
        }
    }

    /// [`GatewayPort::register`] of a session that nobody has ended.
    ///
    /// # Errors
    /// As there.
    pub async fn connect(
        &self,
        user: &UserId,
        session: &SessionRecord,
        since: Since,
    ) -> Result<Page, BackplaneError> {
        self.register(user, session, since, Mark(u64::MAX)).await
    }

    /// Registers a session and reads the first page after `since`, as one step,
    /// atomic with [`NotifierPort::dispatch`]: every later notice is announced.
    /// Registering the same session again (after a doubt, under a new lease)
    /// replaces its entry. The session counts for this lease whatever
    /// `session.gateway` says. `mark` is that of the [`GatewayPort::admission`] that the
    /// client was let in by.
    ///
    /// # Errors
    /// [`BackplaneError::SessionEnded`] if it was ended since.
    /// Retryable ones: it may be registered or not, so that who gives up calls
    /// [`GatewayPort::disconnect`]. [`BackplaneError::LeaseLost`].
    pub async fn register(
        &self,
        user: &UserId,
        session: &SessionRecord,
        since: Since,
        mark: Mark,
    ) -> Result<Page, BackplaneError> {
        match self {
            Self::Memory(gateway) => gateway.connect(user, session, since, mark),
            Self::Redis(gateway) => gateway.connect(user, session, since, mark).await,
        }
    }

    /// Removes sessions of this lease, and only of this one; unknown ones are
    /// passed over.
    ///
    /// # Errors
    /// Retryable ones; repeating is harmless.
    pub async fn disconnect(&self, sessions: &[(UserId, SessionId)]) -> Result<(), BackplaneError> {
        match self {
            Self::Memory(gateway) => {
                gateway.disconnect(sessions);
                Ok(())
            }
            Self::Redis(gateway) => gateway.disconnect(sessions).await,
        }
    }

    /// Reads one page of a user's inbox.
    ///
    /// # Errors
    /// Retryable ones; nothing is changed.
    pub async fn read(&self, user: &UserId, since: Since) -> Result<Page, BackplaneError> {
        match self {
            Self::Memory(gateway) => gateway.read(user, since),
            Self::Redis(gateway) => gateway.read(user, since).await,
        }
    }

    /// Compares sessions with the registry and with the tips of their inboxes, and
    /// tells those that differ: not registered under this lease (missing, or
    /// under another one), or at another place than the tip. What changes while
    /// it is asked may be told or not, so that a session that stands elsewhere by
    /// now is no finding of its own.
    ///
    /// Costs at most two round trips for every 500 sessions, and nothing that is
    /// on the hot path's connections; sessions of one user should stand next to
    /// each other. It changes nothing, except that it counts as a use of the
    /// users' inboxes: who is connected is not forgotten, however long it hears
    /// nothing.
    ///
    /// # Errors
    /// Retryable ones. [`BackplaneError::LeaseLost`].
    pub async fn audit(&self, sessions: &[Believed]) -> Result<Audit, BackplaneError> {
        match self {
            Self::Memory(gateway) => gateway.audit(sessions),
            Self::Redis(gateway) => gateway.audit(sessions).await,
        }
    }

    /// The sessions that stand under this lease, if they are more than `known`: what a
    /// gateway has taken out may be back after a failover, and nobody else removes it
    /// while the lease is good. Some may be told twice. Costs a round trip for each
    /// 500 sessions, on no connection of the hot path, and one if there is nothing to
    /// tell.
    ///
    /// # Errors
    /// Retryable ones; nothing is changed.
    pub async fn registered(
        &self,
        known: usize,
    ) -> Result<Vec<(UserId, SessionId)>, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.registered(known)),
            Self::Redis(gateway) => gateway.registered(known).await,
        }
    }

    /// Hands reports to the notifiers that want them, and keeps those that are to be
    /// kept; in order, and with one round trip for all. A report that its notifier does
    /// not hear is lost, and counted in the answer. Of a user of whom no notice's targets
    /// are kept any more, since they lapsed or the user was purged, no report is.
    ///
    /// # Errors
    /// Any: some may have been heard and kept. Repeating is harmless, but what is late is
    /// of little use.
    pub async fn report(&self, reports: &[Outgoing]) -> Result<Reported, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.report(reports)),
            Self::Redis(gateway) => gateway.report(reports).await,
        }
    }

    /// Answers [`crate::GatewayEvent::AskPlaces`]; whether anybody heard.
    ///
    /// # Errors
    /// Any; repeating is harmless, but what is late is of no use.
    pub async fn tell_places(
        &self,
        to: ReceiptsWanted,
        places: &Places,
    ) -> Result<bool, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.memory().tell_places(to, places)),
            Self::Redis(gateway) => gateway.redis().tell_places(to, places).await,
        }
    }

    /// Gives the lease back with all that is registered under it. Its events end.
    ///
    /// # Errors
    /// Retryable ones; without success it lapses by itself.
    pub async fn release(&self) -> Result<(), BackplaneError> {
        match self {
            Self::Memory(gateway) => {
                gateway.release();
                Ok(())
            }
            Self::Redis(gateway) => gateway.release().await,
        }
    }
}
