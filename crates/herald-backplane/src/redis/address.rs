//! From a backplane URL to a Redis client.

use std::time::Duration;

use redis::{
    Client, IntoConnectionInfo, ProtocolVersion,
    io::tcp::{TcpSettings, socket2},
};

use crate::OpenError;

/// A Redis address with the settings that every connection of ours has.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    pub(crate) client: Client,
    /// `host:port/db`, without user and password: for logs and errors.
    pub(crate) shown: String,
}

impl Address {
    /// # Errors
    /// [`OpenError`] that never shows the password.
    pub(crate) fn parse(url: &str, call_deadline: Duration) -> Result<Self, OpenError> {
        let info = url.into_connection_info().map_err(|error| {
            OpenError(format!(
                "not a Redis address ({error}); expected redis://[user:password@]host:port/database"
            ))
        })?;
        let settings = info.redis_settings().clone();
        let shown = format!("{}/{}", info.addr(), settings.db());
        // A peer that vanished without a word is noticed after one call's deadline of silence.
        let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(15));
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive)
            .set_user_timeout(call_deadline * 2);
        // Pushes need RESP3; with it one connection carries messages and the calls that probe it.
        let settings = settings
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name("herald", env!("CARGO_PKG_VERSION"));
        let info = info.set_redis_settings(settings).set_tcp_settings(tcp);
        let client = Client::open(info)
            .map_err(|error| OpenError(format!("cannot use the Redis address {shown}: {error}")))?;
        Ok(Self { client, shown })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_has_no_password() {
        let address =
            Address::parse("redis://joe:hunter2@cache.example:6380/3", Duration::from_secs(2))
                .unwrap();
        assert_eq!(address.shown, "cache.example:6380/3");
    }

    #[test]
    fn a_wrong_address_is_explained_without_its_secret() {
        let error = Address::parse("redis://joe:hunter2@host:notaport", Duration::from_secs(2))
            .unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(error.to_string().contains("expected redis://"), "{error}");
    }
}
