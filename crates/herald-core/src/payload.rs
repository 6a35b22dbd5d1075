//! A notice's JSON, kept as the bytes that the sender wrote.

use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

/// JSON text (RFC 8259), checked once and from then on untouched: the numbers,
/// escapes and white space inside are the sender's. White space around it is
/// not part of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

/// Why a payload was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Larger than the limit in force.
    #[error("must be at most {limit} bytes of JSON, got {actual}")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
        /// The size found, in bytes.
        actual: usize,
    },
    /// No JSON.
    #[error("must be JSON: {0}")]
    NotJson(String),
    /// Arrays and objects inside each other beyond [`Payload::MAX_DEPTH`].
    #[error("must nest arrays and objects at most {limit} deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
}

impl Payload {
    /// How deep arrays and objects may nest. Clients parse recursively, and some
    /// of them (Python's `json`) drop the connection rather than the message.
    pub const MAX_DEPTH: usize = 128;

    /// Checks that `json` is at most `limit` bytes of JSON.
    ///
    /// # Errors
    /// [`PayloadError`], with the place where the JSON goes wrong.
    pub fn new(json: impl Into<Bytes>, limit: usize) -> Result<Self, PayloadError> {
        let json = json.into();
        if json.len() > limit {
            return Err(PayloadError::TooLarge { limit, actual: json.len() });
        }
        let raw: &RawValue = serde_json::from_slice(&json)
            .map_err(|error| PayloadError::NotJson(error.to_string()))?;
        if depth(raw.get()) > Self::MAX_DEPTH {
            return Err(PayloadError::TooDeep { limit: Self::MAX_DEPTH });
        }
        Ok(Self(json.slice_ref(raw.get().as_bytes())))
    }

    /// What a store or channel of ours gives back: it was checked when it was
    /// accepted, and it is checked again when it is put on the wire.
    #[must_use]
    pub fn from_trusted(json: Bytes) -> Self {
        Self(json)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }
}

/// How deep `json`, which is valid, nests.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    deepest
}

impl fmt::Debug for Payload {
    /// Users' contents do not belong in logs: only the size is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_inside_are_the_senders() {
        let json = r#" {"n": 12345678901234567890123, "s":"\u00e9é", "e":{ }} "#;
        assert_eq!(Payload::new(json, 100).unwrap().bytes(), json.trim());
        for json in ["null", "{}", "1e400", "\"\"", "[[],[{}]]"] {
            assert_eq!(Payload::new(json, 100).unwrap().bytes(), json);
        }
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for json in ["", "{", "{} {}", "nul", "'a'", "{\"a\":1,}", "\u{1}"] {
            let error = Payload::new(json, 100).unwrap_err();
            assert!(error.to_string().contains("line 1 column"), "{json}: {error}");
        }
        assert!(Payload::new(&b"\"\xff\""[..], 100).is_err());
    }

    #[test]
    fn the_limit_counts_bytes() {
        assert!(Payload::new("\"é\"", 4).is_ok());
        assert_eq!(Payload::new("\"éa\"", 4), Err(PayloadError::TooLarge { limit: 4, actual: 5 }));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Payload::new(nested(128), 100_000).is_ok());
        assert_eq!(Payload::new(nested(129), 100_000), Err(PayloadError::TooDeep { limit: 128 }));
        assert_eq!(
            Payload::new(nested(40_000), 100_000),
            Err(PayloadError::TooDeep { limit: 128 })
        );
        let quoted = format!(r#"["\"{}"]"#, "[".repeat(200));
        assert!(Payload::new(quoted, 1_000).is_ok());
    }
}
