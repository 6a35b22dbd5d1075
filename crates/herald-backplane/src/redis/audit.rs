//! Comparing what a gateway believes with what stands in Redis, in bulk.

use herald_core::{Cursor, Epoch, GatewayId, Place, SessionId, UserId};
use redis::{Cmd, FromRedisValue, RedisResult, Value};

use super::{
    Redis,
    error::{answer, unexpected},
    inbox::{parse, place},
    lives::Lives,
    millis,
    reap::indexed,
};
use crate::{Audit, BackplaneError, Believed, Finding};

/// Sessions asked about in one pipeline, so that one long question does not hold
/// up Redis or a connection for long.
const SESSIONS_AT_ONCE: usize = 500;

/// Commands for each user in such a pipeline, in this order: the tip, what is
/// left of the state's life, the sessions' entries.
const COMMANDS_A_USER: usize = 3;

/// What Redis has of one user.
struct Stands {
    tip: Cursor,
    /// What is left of the state's life, in milliseconds; negative if that has no end.
    life: i64,
    /// Whether each session asked about is registered under the lease.
    registered: Vec<bool>,
}

impl Redis {
    /// Plain reads on a connection of the pool. Only a state record with less
    /// than half of its life left is written to, which prolongs it.
    pub(super) async fn audit(
        &self,
        gateway: GatewayId,
        sessions: &[Believed],
    ) -> Result<Audit, BackplaneError> {
        let mut audit = Audit::default();
        if sessions.is_empty() {
            return Ok(audit);
        }
        let inner = &*self.inner;
        let life = Lives::of(&inner.options.inbox).state;
        let prolong_below =
            i64::try_from(millis(inner.options.inbox.memory) / 2).unwrap_or(i64::MAX);
        let mut first = 0;
        for some in sessions.chunks(SESSIONS_AT_ONCE) {
            let answers = inner.servers.read(self.question(gateway, some)).await?;
            audit.round_trips += 1;
            let [indexed, of_users @ ..] = &answers[..] else {
                return Err(unexpected("an audit", "no answer"));
            };
            let indexed: Vec<Option<Value>> = read(indexed)?;
            let (mut of_users, mut nth) = (of_users.chunks(COMMANDS_A_USER), 0);
            let mut prolong = Vec::new();
            for of_user in some.chunk_by(|a, b| a.user == b.user) {
                let stands = of_users.next().unwrap_or_default();
                match stands_of(gateway, stands) {
                    Ok(stands) => {
                        if (0..prolong_below).contains(&stands.life) {
                            let key = inner.keys.state(&of_user[0].user);
                            let mut expire = Cmd::new();
                            expire.arg("PEXPIRE").arg(&key).arg(life);
                            prolong.push((key, expire));
                        }
                        for (at, believed) in of_user.iter().enumerate() {
                            let registered = stands.registered.get(at) == Some(&true)
                                && indexed.get(nth + at).is_some_and(Option::is_some);
                            if !registered || stands.tip != believed.cursor {
                                let nth = first + nth + at;
                                audit.findings.push(Finding { nth, registered, tip: stands.tip });
                            }
                        }
                    }
                    Err(error) if error.is_retryable() => return Err(error),
                    Err(error) => {
                        tracing::warn!(session = %of_user[0].session, %error, "session not audited");
                        audit.unreadable += of_user.len();
                    }
                }
                nth += of_user.len();
            }
            if !prolong.is_empty() {
                for prolonged in inner.servers.bulk(prolong).await? {
                    answer::<bool>("an audit", prolonged)?;
                }
                audit.round_trips += 1;
            }
            first += some.len();
        }
        Ok(audit)
    }

    /// What stands in the index of the lease, if it is more than `known`.
    pub(super) async fn registered(
        &self,
        gateway: GatewayId,
        known: usize,
    ) -> Result<Vec<(UserId, SessionId)>, BackplaneError> {
        let index = self.inner.keys.lease_sessions(gateway);
        let mut count = Cmd::new();
        count.arg("HLEN").arg(&index);
        if self.inner.servers.rare_command::<usize>(&index, count).await? <= known {
            return Ok(Vec::new());
        }
        let (mut standing, mut cursor) = (Vec::new(), 0);
        loop {
            let mut scan = Cmd::new();
            scan.arg("HSCAN").arg(&index).arg(cursor).arg("COUNT").arg(SESSIONS_AT_ONCE);
            let (next, some): (u64, Vec<(String, String)>) =
                self.inner.servers.rare_command(&index, scan).await?;
            for entry in &some {
                standing.push(indexed(entry)?);
            }
            if next == 0 {
                return Ok(standing);
            }
            cursor = next;
        }
    }

    fn question(&self, gateway: GatewayId, sessions: &[Believed]) -> Vec<(String, Cmd)> {
        let keys = &self.inner.keys;
        let mut ask = Vec::with_capacity(1 + COMMANDS_A_USER * sessions.len());
        let hmget = |key: String, fields: &[Believed]| {
            let mut command = Cmd::new();
            command.arg("HMGET").arg(&key);
            for believed in fields {
                command.arg(believed.session.to_string());
            }
            (key, command)
        };
        ask.push(hmget(keys.lease_sessions(gateway), sessions));
        for of_user in sessions.chunk_by(|a, b| a.user == b.user) {
            let [state, _, registry] = keys.user(&of_user[0].user);
            let (mut tip, mut life) = (Cmd::new(), Cmd::new());
            tip.arg("HMGET").arg(&state).arg(&["e", "l", "r"]);
            life.arg("PTTL").arg(&state);
            ask.push((state.clone(), tip));
            ask.push((state, life));
            ask.push(hmget(registry, of_user));
        }
        ask
    }
}

fn stands_of(gateway: GatewayId, answers: &[RedisResult<Value>]) -> Result<Stands, BackplaneError> {
    let [tip, life, entries] = answers else {
        return Err(unexpected("an audit", "too few answers"));
    };
    let tip = match read::<(Option<String>, Option<String>, Option<String>)>(tip)? {
        (Some(epoch), Some(position), Some(random)) => {
            Cursor { epoch: parse(&epoch)?, place: place(&position, &random)? }
        }
        _ => Cursor { epoch: Epoch(0), place: Place::ZERO },
    };
    let gateway = gateway.to_string();
    let entries: Vec<Option<Vec<u8>>> = read(entries)?;
    let ours = |entry: &Vec<u8>| entry.starts_with(gateway.as_bytes());
    let registered = entries.iter().map(|entry| entry.as_ref().is_some_and(ours)).collect();
    Ok(Stands { tip, life: read(life)?, registered })
}

fn read<T: FromRedisValue>(answered: &RedisResult<Value>) -> Result<T, BackplaneError> {
    answer("an audit", answered.clone())
}
