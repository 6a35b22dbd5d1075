//! Ending sessions for good, and forgetting users.

use herald_core::{Cursor, GatewayId, SessionId, UserId};
use redis::Cmd;

use super::{
    Redis,
    dispatch::{Sessions, Told, targets},
    eval,
    inbox::{parse, place},
    lives::Lives,
};
use crate::{
    Admission, BackplaneError, Ending, Mark, Standing, Target, ending::MARKED_SESSIONS, wire,
};

impl Redis {
    pub(crate) async fn admission(&self, user: &UserId) -> Result<Admission, BackplaneError> {
        let mut get = Cmd::new();
        let key = self.inner.keys.state(user);
        get.arg("HMGET").arg(&key).arg(&["e", "l", "r", "m", "t"]);
        type Field = Option<String>;
        type Fields = (Field, Field, Field, Option<u64>, Option<u64>);
        let fields: Fields = self.inner.servers.command(&key, get).await?;
        let (epoch, position, random, mark, tokens) = fields;
        let tip = match (epoch, position, random) {
            (Some(epoch), Some(position), Some(random)) => {
                Some(Cursor { epoch: parse(&epoch)?, place: place(&position, &random)? })
            }
            _ => None,
        };
        Ok(Admission {
            tip,
            mark: Mark(mark.unwrap_or_default()),
            tokens_from_ms: tokens.unwrap_or_default(),
        })
    }

    pub(crate) async fn end_sessions(
        &self,
        user: &UserId,
        ending: &Ending,
    ) -> Result<Vec<Target>, BackplaneError> {
        let inner = &*self.inner;
        let [state, _, sessions] = inner.keys.user(user);
        let keys = [state, sessions];
        let message = wire::encode_end(user, ending);
        let call = |deadline: i64| {
            let mut call = eval(&inner.scripts.end, &keys);
            call.arg(deadline)
                .arg(Lives::of(&inner.options.inbox).state)
                .arg(if ending.sessions.is_none() { "all" } else { "" })
                .arg(if ending.tokens { "1" } else { "" })
                .arg(&message[..])
                .arg(inner.keys.gateway_channels())
                .arg(MARKED_SESSIONS);
            for session in ending.sessions.iter().flatten() {
                call.arg(session.to_string());
            }
            call
        };
        let (_, sessions, told): (u64, Sessions, Told) =
            inner.servers.script(&keys[0], &inner.scripts.end, call).await?;
        let listeners = self.tell(told).await;
        targets(&sessions, listeners)
    }

    pub(crate) async fn standing(
        &self,
        user: &UserId,
        sessions: &[(SessionId, GatewayId)],
    ) -> Result<Vec<Standing>, BackplaneError> {
        let key = self.inner.keys.sessions(user);
        let mut ask = Cmd::new();
        ask.arg("HKEYS").arg(&key);
        let registered: Vec<String> = self.inner.servers.command(&key, ask).await?;
        // Asked for later: a lease that is good now was good when its session was taken out.
        let alive = self.alive().await?;
        let of = |(session, gateway): &(SessionId, GatewayId)| {
            if registered.contains(&session.to_string()) {
                Standing::Registered
            } else if alive.contains(gateway) {
                Standing::Left
            } else {
                Standing::Unknown
            }
        };
        Ok(sessions.iter().map(of).collect())
    }

    pub(crate) async fn session_count(&self, user: &UserId) -> Result<usize, BackplaneError> {
        let key = self.inner.keys.sessions(user);
        let mut ask = Cmd::new();
        ask.arg("HLEN").arg(&key);
        self.inner.servers.command(&key, ask).await
    }

    pub(crate) async fn forget_sessions(
        &self,
        user: &UserId,
        sessions: &[(SessionId, GatewayId)],
    ) -> Result<(), BackplaneError> {
        for (session, gateway) in sessions {
            self.forget(*gateway, &[(user.clone(), *session)]).await?;
        }
        Ok(())
    }

    pub(crate) async fn purge(&self, user: &UserId) -> Result<(), BackplaneError> {
        let inner = &*self.inner;
        let mut keys = inner.keys.inbox(user).to_vec();
        keys.push(inner.keys.receipts(user));
        let call = |deadline: i64| {
            let mut call = eval(&inner.scripts.purge, &keys);
            call.arg(deadline);
            call
        };
        let _: u64 = inner.servers.script(&keys[0], &inner.scripts.purge, call).await?;
        Ok(())
    }
}
