//! What is looked at once, when a service starts.

use std::collections::HashMap;

use redis::{Cmd, InfoDict};

use super::Redis;
use crate::BackplaneError;

/// Exclusive ranges of streams came with it.
const OLDEST: (u32, u32) = (6, 2);

impl Redis {
    pub(crate) async fn risks(&self) -> Result<Vec<String>, BackplaneError> {
        let servers = &self.inner.servers;
        let any = self.inner.keys.leases();
        let mut risks = Vec::new();
        let info = servers.rare_command(&any, Cmd::new().arg("INFO").to_owned()).await;
        let info: InfoDict = match info {
            Ok(info) => info,
            Err(BackplaneError::Unusable(why)) => {
                return Ok(vec![format!(
                    "INFO is refused, so version and settings are unknown: {why}"
                )]);
            }
            Err(other) => return Err(other),
        };
        if let Some(version) = info.get::<String>("redis_version") {
            let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
            let version_numbers = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            if version_numbers < OLDEST {
                return Err(BackplaneError::Unusable(format!(
                    "Redis {version} is too old: Herald needs {}.{} or newer",
                    OLDEST.0, OLDEST.1
                )));
            }
        }
        let mut policy = Cmd::new();
        policy.arg("CONFIG").arg("GET").arg("maxmemory-policy");
        let policy: HashMap<String, String> =
            servers.rare_command(&any, policy).await.unwrap_or_default();
        match policy.get("maxmemory-policy").or(info.get::<String>("maxmemory_policy").as_ref()) {
            Some(policy) if policy != "noeviction" => risks.push(format!(
                "maxmemory-policy is `{policy}`: under memory pressure Redis removes inboxes and sessions \
                 without a word; set it to `noeviction`"
            )),
            _ => {}
        }
        if info.get::<u8>("aof_enabled") == Some(0) {
            risks.push(
                "appendonly is off: a restart of Redis loses the notices since its last snapshot; clients \
                 are told `herald:gap`"
                    .into(),
            );
        }
        Ok(risks)
    }
}
