//! Names that come from outside: validated once, where they enter.
//!
//! All of them are short texts without control characters. Being of one of
//! these types is the proof of validity, so nothing further in is checked twice.

use std::{fmt, sync::Arc};

/// Why a name was refused. Its message says the limit and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Longer than allowed.
    #[error("must be at most {limit} bytes of UTF-8, got {actual}")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
        /// The length found, in bytes.
        actual: usize,
    },
    /// A control character (Unicode category Cc) inside.
    #[error("must not contain control characters, found U+{found:04X} at byte {at}")]
    Control {
        /// The character's code point.
        found: u32,
        /// Its byte offset.
        at: usize,
    },
    /// A name that Socket.IO or Herald keeps for itself.
    #[error("`{0}` is reserved; choose another name")]
    Reserved(String),
    /// A namespace without its leading slash, or with a comma or question mark.
    #[error("must start with `/` and contain neither `,` nor `?`, got `{0}`")]
    Namespace(String),
}

fn check(text: &str, limit: usize) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > limit {
        return Err(NameError::TooLong { limit, actual: text.len() });
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, c)) => Err(NameError::Control { found: c.into(), at }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $limit:literal, |$text:ident| $extra:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest one allowed, in bytes of UTF-8.
            pub const MAX_BYTES: usize = $limit;

            /// Validates `text`.
            ///
            /// # Errors
            /// [`NameError`] says which rule it breaks and what was found.
            pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
                let $text = text.as_ref();
                check($text, Self::MAX_BYTES)?;
                $extra?;
                Ok(Self($text.into()))
            }

            /// The text as it was given.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
    };
}

name!(
    /// Who a notice is for: an opaque id, 1 to 128 bytes of UTF-8 without
    /// control characters. Braces, slashes, spaces are all fine.
    UserId, 128, |text| Ok::<(), NameError>(())
);

name!(
    /// A client's own word for the device it runs on, at most 64 bytes.
    Device, 64, |text| Ok::<(), NameError>(())
);

name!(
    /// What an operator calls a gateway (default `host:port`), unique among
    /// those that are alive; at most 128 bytes.
    GatewayName, 128, |text| Ok::<(), NameError>(())
);

name!(
    /// The Socket.IO event that a notice arrives as, at most 128 bytes; neither
    /// one of Socket.IO's own (`connect`, `disconnect`, …) nor in Herald's
    /// `herald:` name space.
    EventName, 128, |text| reserved(text)
);

name!(
    /// What a caller calls one of its notices, so that a retry of it is known as
    /// such; at most 128 bytes.
    IdempotencyKey, 128, |text| Ok::<(), NameError>(())
);

name!(
    /// A Socket.IO namespace, with its leading slash; at most 128 bytes.
    Namespace, 128, |text| namespace(text)
);

impl EventName {
    /// The event of a notice whose sender named none.
    #[must_use]
    pub fn notice() -> Self {
        Self("notice".into())
    }
}

/// The names that the official clients emit locally or refuse to send
/// (socket.io-client `RESERVED_EVENTS`, socket.io `RESERVED_EVENTS`).
const SOCKET_IO_EVENTS: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

fn reserved(text: &str) -> Result<(), NameError> {
    if SOCKET_IO_EVENTS.contains(&text) || text.starts_with("herald:") {
        return Err(NameError::Reserved(text.to_owned()));
    }
    Ok(())
}

fn namespace(text: &str) -> Result<(), NameError> {
    if text.starts_with('/') && !text.contains([',', '?']) {
        return Ok(());
    }
    Err(NameError::Namespace(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_ids_are_one_to_128_bytes() {
        assert_eq!(UserId::new(""), Err(NameError::Empty));
        assert!(UserId::new("u".repeat(128)).is_ok());
        assert_eq!(
            UserId::new("u".repeat(129)),
            Err(NameError::TooLong { limit: 128, actual: 129 })
        );
        assert_eq!(
            UserId::new("é".repeat(65)).unwrap_err().to_string(),
            "must be at most 128 bytes of UTF-8, got 130"
        );
    }

    #[test]
    fn control_characters_are_refused_and_named() {
        let error = UserId::new("a\u{7f}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "must not contain control characters, found U+007F at byte 1"
        );
        assert!(UserId::new("a\nb").is_err());
        assert!(UserId::new("a\u{85}b").is_err());
    }

    #[test]
    fn braces_and_spaces_are_ordinary() {
        assert!(UserId::new("{tenant} user/1").is_ok());
    }

    #[test]
    fn reserved_events_are_refused() {
        for event in ["connect", "disconnect", "newListener", "herald:ready", "herald:"] {
            assert_eq!(EventName::new(event), Err(NameError::Reserved(event.into())));
        }
        assert!(EventName::new("heraldic").is_ok());
    }

    #[test]
    fn namespaces_start_with_a_slash() {
        assert!(Namespace::new("/").is_ok());
        assert!(Namespace::new("notice").is_err());
        assert!(Namespace::new("/a,b").is_err());
    }
}
