//! Every key and channel name that Herald uses in Redis.
//!
//! All of a user's keys stand under one hash tag, so that Redis Cluster keeps
//! them in one slot. User ids are base64url inside keys: a brace would break the
//! tag.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use herald_core::{GatewayId, NotifierId, UserId};

use crate::OpenError;

/// Version of the layout: another layout is another key space.
const LAYOUT: &str = "v1";

/// Longest prefix, in bytes.
const MAX_PREFIX: usize = 64;

/// Makes names under one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    base: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Result<Self, OpenError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.:".contains(&b);
        if prefix.is_empty() || prefix.len() > MAX_PREFIX || !prefix.bytes().all(allowed) {
            return Err(OpenError(format!(
                "key prefix `{prefix}` must be 1 to {MAX_PREFIX} letters, digits, `-`, `_`, `.` or `:`"
            )));
        }
        Ok(Self { base: format!("{prefix}:{LAYOUT}") })
    }

    /// State, inbox and sessions of a user, in the order of the scripts' KEYS.
    pub(crate) fn user(&self, user: &UserId) -> [String; 3] {
        self.tagged(user, ["state", "inbox", "sessions"])
    }

    /// Those, and the idempotency keys used for the user.
    pub(crate) fn inbox(&self, user: &UserId) -> [String; 4] {
        self.tagged(user, ["state", "inbox", "sessions", "keys"])
    }

    /// What is known of the way of a user's notices.
    pub(crate) fn receipts(&self, user: &UserId) -> String {
        let [receipts] = self.tagged(user, ["receipts"]);
        receipts
    }

    /// Keys of a user. Put together by hand, since each notice needs four of them.
    fn tagged<const N: usize>(&self, user: &UserId, parts: [&str; N]) -> [String; N] {
        let tag = URL_SAFE_NO_PAD.encode(user.as_str());
        parts.map(|part| [&self.base, ":{", &tag, "}:", part].concat())
    }

    pub(crate) fn state(&self, user: &UserId) -> String {
        let [state] = self.tagged(user, ["state"]);
        state
    }

    pub(crate) fn sessions(&self, user: &UserId) -> String {
        let [sessions] = self.tagged(user, ["sessions"]);
        sessions
    }

    /// The leases of all gateways.
    pub(crate) fn leases(&self) -> String {
        format!("{}:leases", self.base)
    }

    /// Which sessions of which users stand under a lease: what a reaper has to do.
    pub(crate) fn lease_sessions(&self, gateway: GatewayId) -> String {
        format!("{}:lease:{gateway}:sessions", self.base)
    }

    /// What every gateway's channel name starts with; its id follows.
    pub(crate) fn gateway_channels(&self) -> String {
        format!("{}:gateway:", self.base)
    }

    pub(crate) fn gateway_channel(&self, gateway: GatewayId) -> String {
        format!("{}{gateway}", self.gateway_channels())
    }

    /// A hash and a stream that nothing is kept in.
    pub(crate) fn check(&self) -> [String; 2] {
        ["hash", "stream"].map(|part| format!("{}:{{check}}:{part}", self.base))
    }

    /// A channel that nobody listens to.
    pub(crate) fn check_channel(&self) -> String {
        format!("{}:check", self.base)
    }

    /// Where gateways report to a notifier.
    pub(crate) fn notifier_channel(&self, notifier: NotifierId) -> String {
        format!("{}:notifier:{notifier}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_keys_share_one_hash_tag_whatever_the_id() {
        let keys = Keys::new("herald").unwrap();
        for id in ["alice", "{a}", "}{", "a{b}c", "ü \u{1F600}"] {
            let user = UserId::new(id).unwrap();
            let tags: Vec<_> = keys
                .inbox(&user)
                .iter()
                .chain([&keys.receipts(&user)])
                .map(|key| {
                    let (_, rest) = key.split_once('{').unwrap();
                    rest.split_once('}').unwrap().0.to_owned()
                })
                .collect();
            assert!(tags.iter().all(|tag| *tag == URL_SAFE_NO_PAD.encode(id)), "{id}: {tags:?}");
        }
    }

    #[test]
    fn a_prefix_with_a_brace_is_refused() {
        for prefix in ["", "a{b", "a b", &"p".repeat(65)] {
            assert!(Keys::new(prefix).is_err(), "{prefix}");
        }
    }
}
