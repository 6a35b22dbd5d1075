//! Sessions that are ended for good: log-out, a stolen token, one session too many.
//!
//! Whoever ends sessions leaves a *mark* with the user: a time of the backplane's clock, which only
//! grows. A gateway learns the mark when it lets a client in, and hands it in whenever it registers
//! the session. A session let in before the last mark is refused then, wherever it has been: in the
//! middle of its handshake, or on a gateway that was frozen. Single sessions are marked by their id.

use herald_core::{Cursor, SessionId, UserId};

/// Which sessions of a user are to end, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// These; `None` for all that were let in before now.
    pub sessions: Option<Vec<SessionId>>,
    /// From now on tokens that were issued before now are not accepted either.
    pub tokens: bool,
    /// Why, of a few.
    pub why: EndReason,
    /// Why, in the words of who asked for it; at most 128 bytes.
    pub words: String,
}

/// Why a session is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// A caller asked for it.
    Kicked,
    /// The user has more sessions than allowed, and this was the oldest.
    Evicted,
    /// All that is kept of the user goes.
    Purged,
}

impl EndReason {
    /// The reason as clients and figures have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kicked => "kicked",
            Self::Evicted => "evicted",
            Self::Purged => "purged",
        }
    }
}

/// What a gateway is told of an ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndOrder {
    /// Whose sessions.
    pub user: UserId,
    /// These; `None` for all whose mark is below `mark`.
    pub sessions: Option<Vec<SessionId>>,
    /// The mark that was left.
    pub mark: Mark,
    /// Why, of a few.
    pub why: EndReason,
    /// Why, in words.
    pub words: String,
}

/// When the sessions of a user were last ended as a whole, in milliseconds of the backplane's clock,
/// or a bit more; 0 for never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark(pub u64);

/// What is to be known before a client is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Admission {
    /// The last place of the user's inbox, or `None` for a user who has none.
    pub tip: Option<Cursor>,
    /// The mark to register with.
    pub mark: Mark,
    /// Tokens issued before this are not accepted: milliseconds since 1970, 0 for none.
    pub tokens_from_ms: u64,
}

/// What is known of a session that was to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is registered.
    Registered,
    /// Its gateway has taken it out.
    Left,
    /// It is not registered, but its gateway's lease is not good any more: somebody else may have
    /// taken it out.
    Unknown,
}

/// Sessions that are marked one by one, at most, for each user; the oldest marks go first.
pub(crate) const MARKED_SESSIONS: usize = 100;
