//! What is known of a notice's way: wanted by who sends, reported by gateways.

use std::fmt;

use herald_core::{
    Device, GatewayId, GatewayName, Namespace, NotifierId, Place, SessionId, SessionRecord, UserId,
};
use tokio::sync::{mpsc, watch};

use crate::{Health, Places};

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

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GoneReason {
    /// Its client left, as clients do by themselves.
    ClientLeft,
    /// Its connection closed or broke.
    ConnectionLost,
    /// Its client did not answer a ping in time.
    Silent,
    /// Its token ended.
    TokenExpired,
    /// A caller ended it.
    Kicked,
    /// Its user had too many sessions, and it was the oldest.
    Evicted,
    /// All that is kept of its user was removed.
    Purged,
    /// Its socket took nothing for too long.
    Lagging,
    /// Its gateway ended, and sent its clients to others.
    GatewayEnded,
    /// It could not be registered.
    Unregistered,
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
    /// Where it is emitted: whether it was read from the inbox because the client connected.
    pub replayed: bool,
    /// Where it is gone: why the session ended, if its gateway knew.
    pub gone: Option<GoneReason>,
}

impl Receipt {
    /// Of that session, nothing further being known.
    #[must_use]
    pub fn of(session: &SessionRecord, state: ReceiptState, at_ms: u64) -> Self {
        Self {
            session: session.id,
            namespace: session.namespace.clone(),
            device: session.device.clone(),
            connected_at_ms: session.connected_at_ms,
            state,
            at_ms,
            replayed: false,
            gone: None,
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
    /// Whom it was meant for when it was accepted; `None` once that is no longer kept.
    pub targets: Option<KeptTargets>,
    /// Whom its retries told of it once more, those that wanted acknowledgements too.
    pub retries: Vec<KeptTargets>,
    /// What gateways reported.
    pub reports: Vec<KeptReport>,
}

/// The sessions that a user had when a notice was accepted, or sent once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTargets {
    /// When, in milliseconds since 1970 by the backplane's clock.
    pub at_ms: u64,
    /// All of them, in no order.
    pub sessions: Vec<KeptTarget>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTarget {
    /// The session; what tells of its client's machine, `socket_id` and `user_agent`, is left out.
    pub session: SessionRecord,
    /// Whether its gateway listened to its channel then; `None` where that was not noted.
    pub heard: Option<bool>,
}

impl KeptTarget {
    pub(crate) fn of(session: &SessionRecord, heard: Option<bool>) -> Self {
        let session =
            SessionRecord { socket_id: String::new(), user_agent: None, ..session.clone() };
        Self { session, heard }
    }
}

/// A report as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptReport {
    /// Since when, in milliseconds since 1970 by the backplane's clock.
    pub at_ms: u64,
    /// The report.
    pub report: Report,
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
    /// Where a user's sessions on one gateway stand, for the call of that token.
    Places {
        /// Of [`ReceiptsWanted`].
        token: u64,
        /// The answer.
        places: Places,
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
