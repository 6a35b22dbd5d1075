//! What those who send can do.

use herald_core::{GatewayId, Notice, NotifierId, Place, SessionId, UserId};

use super::{Dispatched, Page, Presence, Reaped, Sent, Since, Target, Terms};
use crate::{
    BackplaneError, Ending, Found, Kept, ReceiptEvents, ReceiptsWanted, Standing, memory, redis,
};

/// The handle of those who send. Cheap to clone.
#[derive(Debug, Clone)]
pub enum NotifierPort {
    #[doc(hidden)]
    Memory(memory::Memory),
    #[doc(hidden)]
    Redis(redis::Redis),
}

impl NotifierPort {
    /// [`NotifierPort::dispatch_with`] the default [`Terms`].
    ///
    /// # Errors
    /// As there.
    pub async fn dispatch(
        &self,
        user: &UserId,
        notice: &Notice,
    ) -> Result<Dispatched, BackplaneError> {
        self.dispatch_with(user, notice, &Terms::default()).await
    }

    /// Appends `notice` to the user's inbox and looks up the user's sessions, as one
    /// atomic step: a session that connects at the same time either is among the
    /// targets or finds the notice in the inbox. Tells the gateways that own one, in
    /// the same step where their channels are on the same server. Success means
    /// accepted, whoever could be told.
    ///
    /// If `terms.key` was used before, for a notice of the same event, payload and
    /// ttl, nothing is appended: the answer has the first one's place and the
    /// targets as of now, and the gateways are told once more that there is
    /// something at that place. Of any number at once, one appends.
    ///
    /// With `terms.receipts` the gateways report what becomes of the notice to
    /// [`NotifierPort::receipts`] of that id, the first ones perhaps before this
    /// answers. If acknowledgements are wanted, the targets (a retry's too) are kept for
    /// [`NotifierPort::kept`].
    ///
    /// # Errors
    /// [`BackplaneError::Unavailable`]: not accepted. [`BackplaneError::Unknown`]:
    /// accepted or not, which includes that too few replicas have it yet; a retry with
    /// the same key waits for them again. [`BackplaneError::KeyUsed`]: for another notice.
    pub async fn dispatch_with(
        &self,
        user: &UserId,
        notice: &Notice,
        terms: &Terms,
    ) -> Result<Dispatched, BackplaneError> {
        match self {
            Self::Memory(memory) => memory.dispatch(user, notice, terms),
            Self::Redis(redis) => redis.dispatch(user, notice, terms).await,
        }
    }

    /// Looks up the user's sessions and sends `notice` to the gateways that own one,
    /// whole whatever its size, and without keeping it: at most once, to who is there
    /// now, unordered against what is dispatched.
    ///
    /// # Errors
    /// [`BackplaneError::Unavailable`]: not sent. [`BackplaneError::Unknown`]: sent or
    /// not.
    pub async fn send_volatile(
        &self,
        user: &UserId,
        notice: &Notice,
    ) -> Result<Sent, BackplaneError> {
        match self {
            Self::Memory(memory) => memory.send_volatile(user, notice),
            Self::Redis(redis) => redis.send_volatile(user, notice).await,
        }
    }

    /// Sends `notice` to every gateway whose lease is good, for all of its sessions,
    /// and without keeping it. Gives how many of them were listening.
    ///
    /// # Errors
    /// As of [`NotifierPort::send_volatile`].
    pub async fn broadcast(&self, notice: &Notice) -> Result<usize, BackplaneError> {
        match self {
            Self::Memory(memory) => memory.broadcast(notice),
            Self::Redis(redis) => redis.broadcast(notice).await,
        }
    }

    /// Listens to what gateways report to `id`, for ever: an interrupted channel is
    /// connected again, and said to be in doubt. Nothing is awaited; until
    /// [`ReceiptEvents::listening`] says so, reports are missed. Must be called inside
    /// a tokio runtime.
    #[must_use]
    pub fn receipts(&self, id: NotifierId) -> ReceiptEvents {
        match self {
            Self::Memory(memory) => memory.receipts(id),
            Self::Redis(redis) => redis.receipts(id),
        }
    }

    /// What is kept of the notice at `place` whose acknowledgements were wanted. Kept
    /// as long as an inbox keeps notices, and at most four records for each notice that
    /// an inbox may hold; the oldest go first.
    ///
    /// # Errors
    /// Retryable ones; nothing is changed.
    pub async fn kept(&self, user: &UserId, place: Place) -> Result<Kept, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.kept(user, place)),
            Self::Redis(redis) => redis.kept(user, place).await,
        }
    }

    /// Looks for the notice at `place`.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn find(&self, user: &UserId, place: Place) -> Result<Found, BackplaneError> {
        match self {
            Self::Memory(memory) => memory.find(user, place),
            Self::Redis(redis) => redis.find(user, place).await,
        }
    }

    /// Asks the gateways that own a session of the user where these stand. The answers come
    /// to [`NotifierPort::receipts`] of `to`, one of each gateway, as
    /// [`crate::ReceiptEvent::Places`]; of one that does not run, or whose answer is lost, none
    /// does. Gives the sessions asked for, each with whether its gateway was listening.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn ask_places(
        &self,
        user: &UserId,
        to: ReceiptsWanted,
    ) -> Result<Vec<Target>, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.ask_places(user, to)),
            Self::Redis(redis) => redis.ask_places(user, to).await,
        }
    }

    /// Reads one page of a user's inbox, at most `max_notices` long (and never
    /// beyond the page limits in force). A user without an inbox has an empty one
    /// with an epoch of 0.
    ///
    /// # Errors
    /// Retryable ones; nothing is changed.
    pub async fn read(
        &self,
        user: &UserId,
        since: Since,
        max_notices: u32,
    ) -> Result<Page, BackplaneError> {
        match self {
            Self::Memory(memory) => memory.read(user, since, max_notices),
            Self::Redis(redis) => redis.read(user, since, max_notices).await,
        }
    }

    /// Who of `users` is there now, in the order asked. A gateway that lapsed is
    /// gone from the answer within a second, though its sessions are not reaped yet.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn presence(&self, users: &[UserId]) -> Result<Vec<Presence>, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.presence(users)),
            Self::Redis(redis) => redis.presence(users).await,
        }
    }

    /// Ends sessions of the user for good and tells the gateways that own one. Gives those
    /// that are registered; what comes of them, [`NotifierPort::standing`] says. A session
    /// that is not registered now, and was let in before, is refused when it registers, for
    /// as long as the user's state is remembered. Of single sessions the last 100 that were
    /// ended are known.
    ///
    /// # Errors
    /// [`BackplaneError::Unavailable`]: nothing was ended. [`BackplaneError::Unknown`]:
    /// ended or not; repeating is harmless.
    pub async fn end_sessions(
        &self,
        user: &UserId,
        ending: &Ending,
    ) -> Result<Vec<Target>, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.end_sessions(user, ending)),
            Self::Redis(redis) => redis.end_sessions(user, ending).await,
        }
    }

    /// What is known of these sessions, each with the lease that it was found under, in
    /// the order asked.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn standing(
        &self,
        user: &UserId,
        sessions: &[(SessionId, GatewayId)],
    ) -> Result<Vec<Standing>, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.standing(user, sessions)),
            Self::Redis(redis) => redis.standing(user, sessions).await,
        }
    }

    /// Takes out of the registry what was ended and whose gateway has not taken it out. If
    /// that gateway lives after all, its audit finds the session missing, tries to register
    /// it, and is refused.
    ///
    /// # Errors
    /// Retryable ones; repeating is harmless.
    pub async fn forget_sessions(
        &self,
        user: &UserId,
        sessions: &[(SessionId, GatewayId)],
    ) -> Result<(), BackplaneError> {
        match self {
            Self::Memory(memory) => {
                memory.forget_sessions(user, sessions);
                Ok(())
            }
            Self::Redis(redis) => redis.forget_sessions(user, sessions).await,
        }
    }

    /// Removes everything that is kept of a user: inbox, places, idempotency keys, receipts.
    /// What keeps ended sessions out stays, and so does the registry.
    ///
    /// # Errors
    /// Retryable ones; repeating is harmless.
    pub async fn purge(&self, user: &UserId) -> Result<(), BackplaneError> {
        match self {
            Self::Memory(memory) => {
                memory.purge(user);
                Ok(())
            }
            Self::Redis(redis) => redis.purge(user).await,
        }
    }

    /// Removes what lapsed leases left behind, each by one reaper at a time, at
    /// the cost of that lease's sessions. Does nothing until the backplane was
    /// seen healthy for one whole lease without a break, so that an outage, in
    /// which nobody could renew, reaps nobody. To be called about every second.
    ///
    /// # Errors
    /// Retryable ones; what was not removed is found by the next round.
    pub async fn reap(&self) -> Result<Reaped, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.reap()),
            Self::Redis(redis) => redis.reap().await,
        }
    }
}
