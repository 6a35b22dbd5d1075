//! From what callers sent to what is known to be right.
//!
//! Everything wrong with a request is found at once. What this version does not offer is refused
//! by name, never ignored.

mod asking;
mod ending;
mod sending;

use herald_core::InboxLimits;

pub(crate) use self::{
    asking::{Listing, explanation, listing, presence},
    ending::{disconnect, purge},
    sending::{Sendable, Way, batch, broadcast, item, notice},
};
use crate::config::Options;

/// The limits that requests are held to.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Largest payload, in bytes of JSON text.
    pub(crate) payload_bytes: usize,
    /// Most items in a batch.
    pub(crate) batch_items: usize,
    /// Largest batch, in bytes as encoded.
    pub(crate) batch_bytes: usize,
    /// What an inbox keeps.
    pub(crate) inbox: InboxLimits,
}

impl Limits {
    /// Those that a notifier was given.
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            payload_bytes: options.payload_bytes,
            batch_items: options.batch_items,
            batch_bytes: options.batch_bytes,
            inbox: options.inbox,
        }
    }
}

#[cfg(test)]
mod samples {
    //! What the tests of all checks have in common.

    use std::time::Duration;

    use herald_core::InboxLimits;

    use super::Limits;
    use crate::error::Error;

    pub(super) fn limits() -> Limits {
        Limits {
            payload_bytes: 64,
            batch_items: 3,
            batch_bytes: 1_000,
            inbox: InboxLimits { age: Duration::from_secs(60), ..InboxLimits::default() },
        }
    }

    pub(super) fn violations(error: Error) -> Vec<(String, String)> {
        let listed = error.violations().unwrap_or_else(|| panic!("{error}")).listed().to_vec();
        listed.into_iter().map(|v| (v.field, v.description)).collect()
    }
}
