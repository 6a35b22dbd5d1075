//! The limits in force, with their defaults.

use std::time::Duration;

/// What one inbox keeps. Whichever limit is reached first removes the oldest notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxLimits {
    /// Notices kept per user.
    pub notices: u32,
    /// Bytes kept per user: stored notices, payload and envelope.
    pub bytes: u64,
    /// How long a notice is kept.
    pub age: Duration,
    /// How long the inbox remembers where it was after its last notice, so that
    /// returning clients learn what they missed; at least `age`.
    pub memory: Duration,
    /// Notices in one page of a replay.
    pub page_notices: u32,
    /// Bytes in one page of a replay, unless a single notice is larger.
    pub page_bytes: u32,
}

impl Default for InboxLimits {
    fn default() -> Self {
        Self {
            notices: 1_000,
            bytes: 1 << 20,
            age: Duration::from_hours(24),
            memory: Duration::from_hours(30 * 24),
            page_notices: 100,
            page_bytes: 256 << 10,
        }
    }
}

/// What one client connection may ask of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Largest packet from client to server, in bytes.
    pub packet_bytes: u64,
    /// Largest token, in bytes.
    pub token_bytes: usize,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { packet_bytes: 16 << 10, token_bytes: 8 << 10 }
    }
}

/// Largest payload of a notice, in bytes, unless configured otherwise.
pub const PAYLOAD_BYTES: usize = 64 << 10;

/// Most items in one batch call.
pub const BATCH_ITEMS: usize = 1_000;

/// Largest batch call, in bytes.
pub const BATCH_BYTES: usize = 4 << 20;

/// The longest that a call may wait for receipts, and so the longest that anybody wants to hear of
/// a notice.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);
