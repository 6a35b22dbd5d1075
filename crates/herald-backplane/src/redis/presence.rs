//! Who is there, leaving out those whose gateway lapsed.

use std::collections::HashSet;

use herald_core::{GatewayId, UserId};
use redis::{Pipeline, Value};

use super::{
    Redis,
    error::{classify, unexpected},
};
use crate::{BackplaneError, Presence, wire};

/// Users asked for in one pipeline, so that one long question does not hold up
/// Redis or a connection for long.
const USERS_AT_ONCE: usize = 200;

impl Redis {
    pub(crate) async fn presence(&self, users: &[UserId]) -> Result<Vec<Presence>, BackplaneError> {
        let mut connection = self.pooled().await?;
        let alive = self.alive(&mut connection).await?;
        let mut out = Vec::with_capacity(users.len());
        for users in users.chunks(USERS_AT_ONCE) {
            let mut ask = Pipeline::with_capacity(users.len());
            for user in users {
                ask.cmd("HGETALL").arg(self.inner.keys.sessions(user));
            }
            let answers: Vec<Vec<(Vec<u8>, Vec<u8>)>> =
                ask.query_async(&mut connection).await.map_err(classify)?;
            for (user, sessions) in users.iter().zip(answers) {
                let mut sessions = sessions
                    .iter()
                    .map(|(id, value)| wire::decode_session(id, value))
                    .collect::<Result<Vec<_>, _>>()?;
                sessions.retain(|session| alive.contains(&session.gateway));
                sessions.sort_by_key(|session| (session.connected_at_ms, session.id));
                out.push(Presence { user: user.clone(), sessions });
            }
        }
        Ok(out)
    }

    /// The gateways whose lease is good now.
    async fn alive(
        &self,
        connection: &mut deadpool_redis::Connection,
    ) -> Result<HashSet<GatewayId>, BackplaneError> {
        let mut ask = Pipeline::with_capacity(2);
        ask.cmd("TIME").cmd("HGETALL").arg(self.inner.keys.leases());
        let ((seconds, micros), leases): ((u64, u64), Vec<(String, Value)>) =
            ask.query_async(connection).await.map_err(classify)?;
        let now = seconds * 1000 + micros / 1000;
        let mut alive = HashSet::new();
        for (gateway, lease) in leases {
            let lease: String =
                redis::from_redis_value(lease).map_err(|error| unexpected("a lease", error))?;
            let mut words = lease.split(' ');
            let (Some(state), Some(expires)) = (words.next(), words.next()) else {
                return Err(unexpected("a lease", lease));
            };
            let expires: u64 = expires.parse().map_err(|error| unexpected("a lease", error))?;
            if state == "held" && expires > now {
                alive.insert(gateway.parse().map_err(|error| unexpected("a lease", error))?);
            }
        }
        Ok(alive)
    }
}
