//! Accepting a notice: one script, one round trip.

use std::collections::HashMap;

use bytes::Bytes;
use herald_core::{Epoch, GatewayId, Notice, Place, UserId};

use super::{Redis, error::unexpected, millis};
use crate::{BackplaneError, Dispatched, Target, Terms, wire};

/// What `dispatch.lua` gives: now, position, epoch, sessions, listeners by gateway.
type Answer = (u64, String, String, Sessions, Listeners);
type Sessions = Vec<(Vec<u8>, Vec<u8>)>;
type Listeners = Vec<(String, u64)>;

impl Redis {
    pub(crate) async fn dispatch(
        &self,
        user: &UserId,
        notice: &Notice,
        terms: &Terms,
    ) -> Result<Dispatched, BackplaneError> {
        let inner = &*self.inner;
        let limits = &inner.options.inbox;
        let random: u32 = rand::random();
        let stored = wire::encode_notice(notice);
        let size = stored.len() + terms.ttl.map_or(0, |_| wire::EXPIRY_BYTES);
        let inline = size <= inner.options.inline_bytes;
        let tag = if inline { wire::encode_notice_tag(size) } else { Bytes::new() };
        let mut call = inner.scripts.dispatch.prepare_invoke();
        for key in inner.keys.user(user) {
            call.key(key);
        }
        call.arg(inner.lanes.deadline_ms())
            .arg(Epoch::random().to_string())
            .arg(format!("{random:08x}"))
            .arg(&stored[..])
            .arg(terms.ttl.map_or(0, millis))
            .arg(wire::encode_announcement(user))
            .arg(&tag[..])
            .arg(inner.keys.gateway_channels())
            .arg(limits.notices)
            .arg(limits.bytes)
            .arg(millis(limits.age))
            .arg(limits.memory.as_secs());
        let run = async |mut connection| call.invoke_async::<Answer>(&mut connection).await;
        let (at_ms, position, epoch, sessions, listeners) = inner.lanes.run(run).await?;
        let position = position.parse().map_err(|error| unexpected("dispatch", error))?;
        let epoch = epoch.parse().map_err(|error| unexpected("dispatch", error))?;
        let targets = targets(&sessions, listeners)?;
        Ok(Dispatched { place: Place { position, random }, epoch, at_ms, targets })
    }
}

/// The sessions that were looked up, each with whether its gateway was listening.
fn targets(sessions: &Sessions, listeners: Listeners) -> Result<Vec<Target>, BackplaneError> {
    let heard: HashMap<GatewayId, bool> = listeners
        .into_iter()
        .map(|(gateway, count)| Ok((gateway.parse()?, count > 0)))
        .collect::<Result<_, herald_core::IdError>>()
        .map_err(|error| unexpected("dispatch", error))?;
    sessions
        .iter()
        .map(|(id, value)| {
            let session = wire::decode_session(id, value)?;
            let heard = heard.get(&session.gateway).copied().unwrap_or(false);
            Ok(Target { session, heard })
        })
        .collect()
}
