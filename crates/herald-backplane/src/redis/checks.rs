//! What is looked at once, when a service starts.

use redis::{Cmd, InfoDict, Value};

use super::{Redis, error::answer, eval};
use crate::BackplaneError;

/// Exclusive ranges of streams came with it.
const OLDEST: (u32, u32) = (6, 2);

/// Sharded Pub/Sub came with it.
const OLDEST_OF_A_CLUSTER: (u32, u32) = (7, 0);

impl Redis {
    pub(crate) async fn risks(&self) -> Result<Vec<String>, BackplaneError> {
        self.check_permissions().await?;
        let mut risks = Vec::new();
        let info = Cmd::new().arg("INFO").to_owned();
        for (server, info) in self.inner.servers.everywhere(&info).await? {
            let info: InfoDict = match answer("INFO", info) {
                Ok(info) => info,
                Err(BackplaneError::Unusable(why)) => {
                    risks.push(format!(
                        "{server}: INFO is refused, so version and settings are unknown: {why}"
                    ));
                    continue;
                }
                Err(other) => return Err(other),
            };
            self.check(&server, &info, &mut risks)?;
        }
        Ok(risks)
    }

    /// Whether every command is allowed, and on our keys and channels.
    async fn check_permissions(&self) -> Result<(), BackplaneError> {
        let inner = &*self.inner;
        let [hash, stream] = inner.keys.check();
        let channel = inner.keys.check_channel();
        let command = |words: &[&str]| {
            let mut command = Cmd::new();
            command.arg(words);
            command
        };
        let [expire, random, range, life] = [
            &["EXPIRE", &hash, "60"][..],
            &["HRANDFIELD", &hash, "1", "WITHVALUES"],
            &["XREVRANGE", &stream, "+", "-", "COUNT", "1"],
            &["PTTL", &hash],
        ]
        .map(command);
        let keys = [&hash, &stream];
        let scripts = &inner.scripts;
        let script =
            inner.servers.script::<Value>(&hash, &scripts.check, |_| eval(&scripts.check, &keys));
        let mut outcomes = vec![
            script.await.map(drop),
            inner.servers.publish(&channel, b"").await.map(drop),
            inner.servers.listeners(&channel).await.map(drop),
        ];
        for (key, command) in [(&hash, expire), (&hash, random), (&stream, range), (&hash, life)] {
            outcomes.push(inner.servers.rare_command::<Value>(key, command).await.map(drop));
        }
        outcomes.into_iter().find(Result::is_err).unwrap_or(Ok(())).map_err(|error| match error {
            BackplaneError::Unusable(why) => {
                BackplaneError::Unusable(format!("a permission is missing, or a command: {why}"))
            }
            other => other,
        })
    }

    /// What one server says of itself.
    fn check(
        &self,
        server: &str,
        info: &InfoDict,
        risks: &mut Vec<String>,
    ) -> Result<(), BackplaneError> {
        let oldest =
            if info.get::<u8>("cluster_enabled") == Some(1) { OLDEST_OF_A_CLUSTER } else { OLDEST };
        if let Some(version) = info.get::<String>("redis_version") {
            let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
            let version_numbers = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
            if version_numbers < oldest {
                return Err(BackplaneError::Unusable(format!(
                    "{server}: Redis {version} is too old: Herald needs {}.{} or newer",
                    oldest.0, oldest.1
                )));
            }
        }
        let wanted = self.inner.options.wait_replicas;
        if let Some(there) = info.get::<u32>("connected_slaves")
            && there < wanted
        {
            risks.push(format!(
                "{server} has {there} of the {wanted} replicas that HERALD_REDIS_WAIT_REPLICAS asks for: \
                 no notice is accepted without them"
            ));
        }
        if let Some(policy) = info.get::<String>("maxmemory_policy")
            && policy != "noeviction"
        {
            risks.push(format!(
                "{server}: maxmemory-policy is `{policy}`: under memory pressure Redis removes inboxes and \
                 sessions without a word; set it to `noeviction`"
            ));
        }
        if info.get::<u8>("aof_enabled") == Some(0) {
            risks.push(format!(
                "{server}: appendonly is off: a restart of Redis loses the notices since its last snapshot; \
                 clients are told `herald:gap`"
            ));
        }
        Ok(())
    }
}
