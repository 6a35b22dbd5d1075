//! One message to one user.

use std::{fmt, str::FromStr};

use crate::{EventName, Payload, Place, Position, PositionError};

/// Names one notice of one user for ever: its position and its random part,
/// printed `ms-seq-random`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NoticeId(pub Place);

impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:08x}", self.0.position, self.0.random)
    }
}

impl FromStr for NoticeId {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (position, random) = text.rsplit_once('-').ok_or(PositionError)?;
        if random.len() != 8 || !random.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(PositionError);
        }
        Ok(Self(Place {
            position: position.parse::<Position>()?,
            random: u32::from_str_radix(random, 16).map_err(|_| PositionError)?,
        }))
    }
}

/// A notice as its sender gave it, before it has a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The Socket.IO event that it arrives as.
    pub event: EventName,
    /// What the client's listener is given, untouched.
    pub payload: Payload,
    /// The W3C `traceparent` of the sender's call, so that delivery joins its trace.
    pub traceparent: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_parse_back() {
        let id =
            NoticeId(Place { position: Position { ms: 1_764_000_000_000, seq: 3 }, random: 0xab });
        assert_eq!(id.to_string(), "1764000000000-3-000000ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "1-2", "1-2-3", "1-2-0000000g", "1-2-+00000ab", "-0-000000ab"] {
            assert!(text.parse::<NoticeId>().is_err(), "{text}");
        }
    }
}
