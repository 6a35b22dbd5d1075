//! Ids that Herald makes: random, of fixed length, printable.

use std::{fmt, str::FromStr};

/// A text that is not such an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: expected {digits} hexadecimal digits")]
pub struct IdError {
    what: &'static str,
    digits: usize,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $inner:ty, $digits:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl $name {
            /// Length of the printed form, in bytes; always the same.
            pub const DIGITS: usize = $digits;

            /// A new one, from the operating system's seeded generator.
            #[must_use]
            pub fn random() -> Self {
                Self(rand::random())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$x}", self.0, width = $digits)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = IdError { what: $what, digits: $digits };
                if text.len() != $digits || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(error);
                }
                <$inner>::from_str_radix(text, 16).map(Self).map_err(|_| error)
            }
        }
    };
}

id!(
    /// One namespace connection of a user. Random, because socketioxide gives
    /// one socket id to all namespaces of a connection and reuses it when a
    /// client re-connects a namespace.
    SessionId, u128, 32, "session id"
);

id!(
    /// One lease of a gateway: fresh each time a lease is taken, so that a
    /// gateway that was thought dead cannot be mistaken for its successor.
    GatewayId, u64, 16, "gateway id"
);

id!(
    /// One process of a notifier: where gateways report to.
    NotifierId, u64, 16, "notifier id"
);

id!(
    /// One life of a user's inbox: made with its state record, so that a cursor
    /// from before the record was lost is recognised.
    Epoch, u64, 16, "epoch"
);

id!(
    /// A volatile notice, which has no place in an inbox to be named by.
    VolatileId, u128, 32, "id of a volatile notice"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_form_is_of_fixed_length_and_parses_back() {
        for id in [GatewayId(0), GatewayId(u64::MAX), GatewayId::random()] {
            let text = id.to_string();
            assert_eq!(text.len(), GatewayId::DIGITS);
            assert_eq!(text.parse(), Ok(id));
        }
        let session = SessionId::random();
        assert_eq!(session.to_string().parse(), Ok(session));
    }

    #[test]
    fn signs_and_other_lengths_are_refused() {
        for text in
            ["", "+123456789abcdef", "0123456789abcde", "0123456789abcdef0", "g123456789abcdef"]
        {
            assert!(text.parse::<GatewayId>().is_err(), "{text}");
        }
    }
}
