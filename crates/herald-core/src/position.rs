//! Places in an inbox.

use std::{fmt, str::FromStr};

/// A place in one inbox: milliseconds of the backplane's clock and a sequence
/// within them. Strictly growing per inbox; the very same form as a Redis
/// stream id (`ms-seq`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position {
    /// Milliseconds since 1970 by the backplane's clock, never going back.
    pub ms: u64,
    /// Counts the notices of one millisecond.
    pub seq: u32,
}

/// A text that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a position: expected milliseconds and a sequence as in `1764000000000-0`")]
pub struct PositionError;

impl Position {
    /// Before every notice.
    pub const ZERO: Self = Self { ms: 0, seq: 0 };

    /// The position of a notice appended at `now_ms` after `self`: at the
    /// clock's time, or right after the last one if the clock stands or went back.
    #[must_use]
    pub fn next(self, now_ms: u64) -> Self {
        if now_ms > self.ms {
            return Self { ms: now_ms, seq: 0 };
        }
        match self.seq.checked_add(1) {
            Some(seq) => Self { ms: self.ms, seq },
            None => Self { ms: self.ms + 1, seq: 0 },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (ms, seq) = text.split_once('-').ok_or(PositionError)?;
        Ok(Self { ms: digits(ms)?, seq: digits(seq)? })
    }
}

/// `from_str` of integers takes a leading `+`; a position has none.
fn digits<T: FromStr>(text: &str) -> Result<T, PositionError> {
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(PositionError);
    }
    text.parse().map_err(|_| PositionError)
}

/// A position together with the random part of the notice that stands there,
/// which tells two notices apart that were given the same position (one before,
/// one after a failover that lost the first).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Place {
    /// Where.
    pub position: Position,
    /// The random part of the notice there; 0 at [`Position::ZERO`].
    pub random: u32,
}

impl Place {
    /// Before every notice.
    pub const ZERO: Self = Self { position: Position::ZERO, random: 0 };
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn next_always_grows(ms in 0..1u64 << 48, seq: u32, now in 0..1u64 << 48) {
            let last = Position { ms, seq };
            prop_assert!(last.next(now) > last);
            prop_assert!(last.next(now).ms >= now);
        }

        #[test]
        fn text_form_parses_back(ms: u64, seq: u32) {
            let position = Position { ms, seq };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "-", "1", "1-", "-1", "+1-0", "1-+0", "1-0-0", "a-0", "1-4294967296"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
