//! What a gateway hears, and how it waits to be taken.

use std::sync::Arc;

use herald_core::{Notice, Place, Position, UserId, VolatileId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::{Clock, EndOrder, Health, ReceiptsWanted};

/// What a gateway hears from the backplane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GatewayEvent {
    /// A notice for a user that has (or just had) a session here. Hints: they may
    /// be missing, late, doubled or out of order.
    Notice(Announced),
    /// A notice that is in no inbox, for the sessions that this user has here.
    Volatile(UserId, VolatileNotice),
    /// A notice that is in no inbox, for every session here.
    Broadcast(VolatileNotice),
    /// Sessions that this user has here are to end for good.
    End(EndOrder),
    /// Somebody wants to know where the sessions that this user has here stand: to be answered
    /// with [`crate::GatewayPort::tell_places`].
    AskPlaces(UserId, ReceiptsWanted),
    /// The channel was interrupted and is back, or messages were dropped: any
    /// number of hints may be missing. Every session is in doubt.
    Doubt,
    /// The lease is no longer ours (it was fenced, or the registry was emptied).
    /// Nothing further comes; open a new one and register the sessions anew.
    LeaseLost,
}

/// A notice as it was announced to a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Whose.
    pub user: UserId,
    /// Where it stands.
    pub place: Place,
    /// The position before it in that inbox; a session that stands elsewhere
    /// missed something.
    pub previous: Position,
    /// The random part of the notice at `previous`, which tells it from one that was given the same
    /// position before a failover; absent from senders that do not tell it.
    pub previous_random: Option<u32>,
    /// The notice; absent when it is too large for a channel, when it expired while
    /// it waited to be taken, or when it is of a version that this gateway does not
    /// know: then the inbox is to be read, which holds what is still good.
    pub notice: Option<Notice>,
    /// Who wants to hear of it: its sender, or a retry's.
    pub receipts: Option<ReceiptsWanted>,
}

/// A notice that is in no inbox: whoever does not get it now never does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolatileNotice {
    /// What it is called.
    pub id: VolatileId,
    /// When it was published, in milliseconds since 1970 by the backplane's clock.
    pub sent_at_ms: u64,
    /// The notice, whole whatever its size.
    pub notice: Notice,
}

/// Bytes of volatile notices that may wait for one gateway. Others are small, or
/// stay in their inbox.
const VOLATILE_BYTES: usize = 64 << 20;

/// An event that waits for its gateway.
#[derive(Debug)]
pub(crate) struct Queued {
    event: GatewayEvent,
    /// When its notice expires; 0 for never.
    expires_at_ms: u64,
    _room: Option<OwnedSemaphorePermit>,
}

/// How many bytes of volatile notices more may wait.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<Semaphore>);

impl Room {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(VOLATILE_BYTES)))
    }

    /// Takes what `queued` needs until it is taken, or dropped; false if there is not as
    /// much.
    pub(crate) fn hold(&self, queued: &mut Queued) -> bool {
        let (GatewayEvent::Volatile(_, volatile) | GatewayEvent::Broadcast(volatile)) =
            &queued.event
        else {
            return true;
        };
        let bytes = u32::try_from(volatile.notice.payload.bytes().len()).unwrap_or(u32::MAX);
        queued._room = Arc::clone(&self.0).try_acquire_many_owned(bytes).ok();
        queued._room.is_some()
    }
}

impl Queued {
    pub(crate) fn notice(announced: Announced, expires_at_ms: u64) -> Self {
        Self { event: GatewayEvent::Notice(announced), expires_at_ms, _room: None }
    }

    /// Whether nobody can make good for it from an inbox, or has to.
    pub(crate) fn is_volatile(&self) -> bool {
        matches!(self.event, GatewayEvent::Volatile(..) | GatewayEvent::Broadcast(_))
    }

    #[cfg(test)]
    pub(crate) fn expires_at_ms(&self) -> u64 {
        self.expires_at_ms
    }

    #[cfg(test)]
    pub(crate) fn into_event(self) -> GatewayEvent {
        self.event
    }
}

impl From<GatewayEvent> for Queued {
    fn from(event: GatewayEvent) -> Self {
        Self { event, expires_at_ms: 0, _room: None }
    }
}

/// A gateway's stream of events, bounded by `channel_capacity`.
#[derive(Debug)]
pub struct GatewayEvents {
    queue: mpsc::Receiver<Queued>,
    clock: Clock,
    channel: watch::Receiver<Health>,
}

impl GatewayEvents {
    pub(crate) fn new(
        queue: mpsc::Receiver<Queued>,
        clock: Clock,
        channel: watch::Receiver<Health>,
    ) -> Self {
        Self { queue, clock, channel }
    }

    /// Follows whether the channel carries what is published to it. It is away only if a new
    /// connection did not help; what is missed meanwhile is found by audits.
    #[must_use]
    pub fn channel(&self) -> watch::Receiver<Health> {
        self.channel.clone()
    }

    /// The next one; `None` after [`GatewayEvent::LeaseLost`] or release. Of a notice
    /// whose time was over while it waited here, only the announcement is left.
    pub async fn next(&mut self) -> Option<GatewayEvent> {
        let Queued { mut event, expires_at_ms, .. } = self.queue.recv().await?;
        if self.clock.is_past(expires_at_ms)
            && let GatewayEvent::Notice(announced) = &mut event
        {
            announced.notice = None;
        }
        Some(event)
    }
}
