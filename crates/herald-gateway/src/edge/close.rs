//! Why the gateway closed a connection.

use std::fmt;

/// Why the gateway closed a transport or a connection of its own accord.
///
/// The client sees the same in every case (a transport that closes, so it comes back); the reason
/// is for figures and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CloseReason {
    /// A caller asked for the session's end.
    Kicked = 1,
    /// The user opened more sessions than allowed; this was the oldest.
    Evicted = 2,
    /// The client did not read what it was sent.
    Lagging = 3,
    /// The session's token expired.
    Expired = 4,
    /// The session could not be written into the registry.
    Unregistered = 5,
    /// The gateway is leaving and its sessions move.
    Draining = 6,
    /// The gateway stops.
    Shutdown = 7,
    /// Who could say whose the client's token is cannot be asked.
    Unauthenticated = 8,
}

impl CloseReason {
    pub(super) const ALL: [Self; 8] = [
        Self::Kicked,
        Self::Evicted,
        Self::Lagging,
        Self::Expired,
        Self::Unregistered,
        Self::Draining,
        Self::Shutdown,
        Self::Unauthenticated,
    ];

    /// The reason as a metric label and log field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kicked => "kicked",
            Self::Evicted => "evicted",
            Self::Lagging => "lagging",
            Self::Expired => "expired",
            Self::Unregistered => "unregistered",
            Self::Draining => "draining",
            Self::Shutdown => "shutdown",
            Self::Unauthenticated => "unauthenticated",
        }
    }

    /// A non-zero code, so that one atomic byte can say "not closed" too.
    pub(super) const fn code(self) -> u8 {
        self as u8
    }

    /// The reason of a [`code`](Self::code).
    pub(super) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_never_zero() {
        for reason in CloseReason::ALL {
            assert_ne!(reason.code(), 0);
            assert_eq!(CloseReason::from_code(reason.code()), Some(reason));
        }
        assert_eq!(CloseReason::from_code(0), None);
    }
}
