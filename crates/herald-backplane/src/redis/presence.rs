//! Who is there, leaving out those whose gateway lapsed.

use std::collections::HashSet;

use herald_core::{GatewayId, UserId};
use redis::{Cmd, Value};

use super::{
    Redis,
    error::{answer, unexpected},
};
use crate::{BackplaneError, Presence, wire};

/// Users asked for in one pipeline, so that one long question does not hold up
/// Redis or a connection for long.
const USERS_AT_ONCE: usize = 200;

impl Redis {
    pub(crate) async fn presence(&self, users: &[UserId]) -> Result<Vec<Presence>, BackplaneError> {
        let inner = &*self.inner;
        let alive = self.alive().await?;
        let mut out = Vec::with_capacity(users.len());
        for users in users.chunks(USERS_AT_ONCE) {
            let ask = users.iter().map(|user| {
                let key = inner.keys.sessions(user);
                let mut ask = Cmd::new();
                ask.arg("HGETALL").arg(&key);
                (key, ask)
            });
            let answers = inner.servers.read(ask.collect()).await?;
            for (user, sessions) in users.iter().zip(answers) {
                let sessions: Vec<(Vec<u8>, Vec<u8>)> = answer("presence", sessions)?;
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
    pub(super) async fn alive(&self) -> Result<HashSet<GatewayId>, BackplaneError> {
        let key = self.inner.keys.leases();
        let (mut time, mut leases) = (Cmd::new(), Cmd::new());
        time.arg("TIME");
        leases.arg("HGETALL").arg(&key);
        let ask = vec![(key.clone(), time), (key, leases)];
        let mut answers = self.inner.servers.read(ask).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Ok(Value::Nil));
        let (seconds, micros): (u64, u64) = answer("TIME", next())?;
        let leases: Vec<(String, String)> = answer("the leases", next())?;
        let now = seconds * 1000 + micros / 1000;
        let mut alive = HashSet::new();
        for (gateway, lease) in leases {
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
