//! From a backplane URL to the servers that it names.

use std::time::Duration;

use redis::{ConnectionAddr, IntoConnectionInfo};

use super::node::{Node, Settings};
use crate::OpenError;

/// What a URL names.
#[derive(Debug)]
pub(super) enum Address {
    /// One server.
    Standalone(Node),
}

impl Address {
    /// # Errors
    /// [`OpenError`] that never shows the password.
    pub(super) fn parse(url: &str, deadline: Duration) -> Result<Self, OpenError> {
        let wrong = |error: String| {
            OpenError(format!(
                "not a Redis address ({error}); expected redis://[user:password@]host:port/database"
            ))
        };
        let info = url.into_connection_info().map_err(|error| wrong(error.to_string()))?;
        let settings = Settings::new(false, info.redis_settings().clone(), deadline);
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(wrong("neither host nor port".into()));
        };
        let node = settings.node(host, *port).map_err(|error| wrong(error.to_string()))?;
        Ok(Self::Standalone(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(2);

    #[test]
    fn what_is_shown_has_no_password() {
        let Address::Standalone(node) =
            Address::parse("redis://joe:hunter2@cache.example:6380/3", DEADLINE).unwrap();
        assert_eq!(node.shown(), "cache.example:6380/3");
        assert!(!format!("{node:?}").contains("hunter2"));
    }

    #[test]
    fn a_wrong_address_is_explained_without_its_secret() {
        let error = Address::parse("redis://joe:hunter2@host:notaport", DEADLINE).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(error.to_string().contains("expected redis://"), "{error}");
    }
}
