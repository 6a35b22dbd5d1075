//! What who sends says of a notice, and is told of it.

use std::time::Duration;

use herald_core::{Epoch, IdempotencyKey, Place, SessionRecord, UserId, VolatileId};

use crate::ReceiptsWanted;

/// What goes for one dispatch besides its notice. The default: the notice lives as
/// long as the inbox keeps it, and a second dispatch is a second notice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long the notice is of use, in whole milliseconds from its acceptance by
    /// the backplane's clock. After that no page holds it, though its place stays
    /// taken and readers' places move over it.
    pub ttl: Option<Duration>,
    /// Makes a second dispatch of the same notice a retry of the first.
    pub key: Option<Key>,
    /// Who wants to hear what becomes of it. A retry wants to hear for itself.
    pub receipts: Option<ReceiptsWanted>,
}

/// An idempotency key. It is kept beside the user's inbox, for
/// [`BackplaneOptions::key_age`](crate::BackplaneOptions::key_age) and as long as it is among the newest of that user,
/// whether its notice is still kept or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose: the same key of two callers is two keys. Without control characters;
    /// empty where callers are not told apart.
    pub caller: String,
    /// The caller's key, for this one user.
    pub key: IdempotencyKey,
}

/// What the backplane says about a dispatched notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatched {
    /// Where it stands; with it the notice has its id.
    pub place: Place,
    /// The life of the inbox it was appended to.
    pub epoch: Epoch,
    /// The key had been used for this very notice, which stands at `place` (or did,
    /// if a limit removed it meanwhile). Nothing was appended.
    pub duplicate: bool,
    /// When the sessions were looked up, in milliseconds since 1970 by the
    /// backplane's clock.
    pub at_ms: u64,
    /// Every session that the user had at that very moment.
    pub targets: Vec<Target>,
}

/// What the backplane says about a volatile notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What it is called: random, since it has no place.
    pub id: VolatileId,
    /// When it was sent, in milliseconds since 1970 by the backplane's clock.
    pub at_ms: u64,
    /// Every session that the user had at that very moment.
    pub targets: Vec<Target>,
}

/// One session that a notice was meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The session.
    pub session: SessionRecord,
    /// Whether its gateway was listening. If not, it may be resubscribing: the
    /// notice stays in the inbox, where the gateway will look; a volatile one is lost.
    pub heard: bool,
}

/// Who of the users asked for is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The user.
    pub user: UserId,
    /// Its sessions, those of lapsed gateways left out, oldest first (by session id
    /// where they connected in the same millisecond).
    pub sessions: Vec<SessionRecord>,
}

/// What became of a round of reaping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaped {
    /// Lapsed leases that were removed.
    pub leases: usize,
    /// Sessions that went with them.
    pub sessions: usize,
}
