//! What a client is told when its inbox could not be continued where it left off.

use std::fmt;

/// Why a session could not go on exactly from its place. Whatever the reason,
/// everything that is kept follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// Notices after the place were removed by a limit (count, bytes, age)
    /// before this session got them.
    Expired,
    /// The place is not one of this inbox's: it lies above the tip, in another
    /// epoch, or names a notice that is not there (the backplane lost its data
    /// or its tail).
    Reset,
    /// What the client handed in is no cursor of its user.
    Malformed,
}

impl GapReason {
    /// The word in the `herald:gap` event.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Reset => "reset",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
