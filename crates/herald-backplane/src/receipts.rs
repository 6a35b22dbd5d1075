//! What is known of a notice's way: wanted by who sends, reported by gateways.

use std::fmt;

use herald_core::{
    Device, GatewayId, GatewayName, Namespace, NotifierId, Place, SessionId, SessionRecord, UserId,
};
use tokio::sync::{mpsc, watch};

use crate::Health;

/// Who wants to hear what becomes of a notice. Travels with it, and is kept with it, so that
/// whoever delivers it later reports too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiptsWanted {
    /// The notifier that listens.
    pub notifier: NotifierId,
    /// Which of its calls: random and made before the notice has an id, since reports may be
    /// there before the answer.
    pub token: u64,
    /// Clients are asked to acknowledge; what is reported is kept beside the inbox too.
    pub acks: bool,
}

/// How far a notice is known to have come with one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptState {
    /// The session reads its inbox and will come to it.
    Accepted,
    /// The session's socket takes notices more slowly than they come; it reads at its own pace.
    Lagging,
    /// Handed to the socket's queue.
    Emitted,
    /// The client library acknowledged it.
    Acked,
    /// The session ended before it was handed over, or before it was acknowledged.
    Gone,
}

/// One session's word on one notice, with what names the session to who knows nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The session.
    pub session: SessionId,
    /// Its namespace.
    pub namespace: Namespace,
    /// What its client calls its device.
    pub device: Option<Device>,
    /// When it connected, in milliseconds since 1970.
    pub connected_at_ms: u64,
    /// How far the notice has come.
    pub state: ReceiptState,
    /// When it came there, in milliseconds since 1970 by the gateway's clock.
    pub at_ms: u64,
}

impl Receipt {
    /// Of that session.
    #[must_use]
    pub fn of(session: &SessionRecord, state: ReceiptState, at_ms: u64) -> Self {
        Self {
            session: session.id,
            namespace: session.namespace.clone(),
            device: session.device.clone(),
            connected_at_ms: session.connected_at_ms,
            state,
            at_ms,
        }
    }
}

/// What a gateway has seen of one notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The gateway.
    pub gateway_name: GatewayName,
    /// Set when the receipts are of *all* sessions that the user has there: the lease under which
    /// the gateway was told. A target of that lease that is not among them has ended.
    pub roll_call: Option<GatewayId>,
    /// What was seen, each session once.
    pub receipts: Vec<Receipt>,
}

/// A report on its way from a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Whose notice.
    pub user: UserId,
    /// Which.
    pub place: Place,
    /// Who wants to hear of it now.
    pub to: Vec<ReceiptsWanted>,
    /// Whether it is to be kept beside the inbox.
    pub keep: bool,
    /// The report.
    pub report: Report,
}

/// What became of reports that were handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reported {
    /// Heard by the notifier that wanted them.
    pub heard: usize,
    /// Its notifier does not listen, now or any more.
    pub unheard: usize,
}

/// What is kept of one notice, oldest first. Complete as far as the retention reaches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// The sessions that were its targets when it was accepted, each with its lease; `None` once
    /// that is no longer kept.
    pub targets: Option<Vec<(SessionId, GatewayId)>>,
    /// What gateways reported.
    pub reports: Vec<Report>,
}

/// What a notifier hears of the notices that it wants to hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptEvent {
    /// A report, for the call of that token. They may be missing or late; those of one gateway
    /// come in the order in which things happened.
    Report {
        /// Of [`ReceiptsWanted`].
        token: u64,
        /// What was seen.
        report: Report,
    },
    /// The channel is there (again), or reports were dropped: any number may be missing.
    Doubt,
}

/// A notifier's stream of reports, bounded by `channel_capacity`. Dropping it ends the
/// subscription.
pub struct ReceiptEvents {
    id: NotifierId,
    queue: mpsc::Receiver<ReceiptEvent>,
    listening: watch::Receiver<bool>,
    channel: watch::Receiver<Health>,
    /// Ends with this.
    _guard: Box<dyn std::any::Any + Send + Sync>,
}

impl fmt::Debug for ReceiptEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiptEvents").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ReceiptEvents {
    pub(crate) fn new(
        id: NotifierId,
        queue: mpsc::Receiver<ReceiptEvent>,
        listening: watch::Receiver<bool>,
        channel: watch::Receiver<Health>,
        guard: impl Send + Sync + 'static,
    ) -> Self {
        Self { id, queue, listening, channel, _guard: Box::new(guard) }
    }

    /// Where gateways report to.
    #[must_use]
    pub fn id(&self) -> NotifierId {
        self.id
    }

    /// Follows whether the channel is there, so that what is reported now is heard.
    #[must_use]
    pub fn listening(&self) -> watch::Receiver<bool> {
        self.listening.clone()
    }

    /// Follows whether the channel carries what is published to it. It is away only if a new
    /// connection did not help.
    #[must_use]
    pub fn channel(&self) -> watch::Receiver<Health> {
        self.channel.clone()
    }

    /// The next one. Ends never, unless the backplane does.
    pub async fn next(&mut self) -> Option<ReceiptEvent> {
        self.queue.recv().await
    }
}
