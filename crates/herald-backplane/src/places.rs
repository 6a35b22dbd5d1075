//! Where things stand right now: a notice in its inbox, sessions before or behind it.

use herald_core::{Cursor, Epoch, GatewayId, GatewayName, Place, Position, SessionId};

use crate::InboxNotice;

/// What an inbox says of one notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// When it was looked at, in milliseconds since 1970 by the backplane's clock.
    pub at_ms: u64,
    /// The inbox; `None` for a user who has none (any more).
    pub inbox: Option<InboxState>,
    /// The notice, if it stands there. Also if it has expired: see
    /// [`InboxNotice::expires_at_ms`].
    pub notice: Option<FoundNotice>,
    /// When all sessions of the user were last ended for good, in milliseconds of the backplane's
    /// clock, or a bit more; 0 for never. See [`crate::Mark`].
    pub ended_at_ms: u64,
}

/// An inbox, but for its notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxState {
    /// Its life.
    pub epoch: Epoch,
    /// The last place given out.
    pub tip: Place,
    /// The highest position removed by any limit, age included.
    pub floor: Position,
    /// Notices kept.
    pub notices: u64,
    /// Bytes that they take.
    pub bytes: u64,
}

/// A notice that stands in its inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundNotice {
    /// The notice.
    pub notice: InboxNotice,
    /// The bytes that the inbox's limit counts for it.
    pub size: u64,
}

/// Where all sessions that a user has on one gateway stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The lease that the gateway was asked under.
    pub gateway: GatewayId,
    /// The gateway.
    pub gateway_name: GatewayName,
    /// Its sessions of that user.
    pub sessions: Vec<SessionPlace>,
}

/// Where one session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionPlace {
    /// The session.
    pub session: SessionId,
    /// How far it was served: everything up to here that had not expired was handed to its socket.
    pub at: Cursor,
    /// From where; `None` before its first page.
    pub began: Option<Cursor>,
    /// Its client handed in a cursor, or asked for all that is kept.
    pub resumed: bool,
    /// It reads its inbox: it is not at the end of it, or may not be.
    pub reading: bool,
    /// Its socket takes notices more slowly than they come.
    pub lagging: bool,
}
