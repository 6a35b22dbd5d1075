//! Accepting a notice: one script, one round trip.

use std::collections::HashMap;

use herald_core::{Epoch, GatewayId, Notice, Place, UserId};

use super::{Redis, error::unexpected, millis};
use crate::{BackplaneError, Dispatched, Target, wire};

/// What `dispatch.lua` gives: position, epoch, sessions, listeners by gateway.
type Answer = (String, String, Vec<(Vec<u8>, Vec<u8>)>, Vec<(String, u64)>);

impl Redis {
    pub(crate) async fn dispatch(
        &self,
        user: &UserId,
        notice: &Notice,
    ) -> Result<Dispatched, BackplaneError> {
        let inner = &*self.inner;
        let limits = &inner.options.inbox;
        let random: u32 = rand::random();
        let stored = wire::encode_notice(notice, 0);
        let inline = stored.len() <= inner.options.inline_bytes;
        let announcement = wire::encode_announcement(user, random, &stored, inline);
        let mut call = inner.scripts.dispatch.prepare_invoke();
        for key in inner.keys.user(user) {
            call.key(key);
        }
        call.arg(inner.lanes.deadline_ms())
            .arg(Epoch::random().to_string())
            .arg(format!("{random:08x}"))
            .arg(&stored[..])
            .arg(&announcement[..])
            .arg(u8::from(inline))
            .arg(inner.keys.gateway_channels())
            .arg(limits.notices)
            .arg(limits.bytes)
            .arg(millis(limits.age))
            .arg(limits.memory.as_secs());
        let run = async |mut connection| call.invoke_async::<Answer>(&mut connection).await;
        let (position, epoch, sessions, listeners) = inner.lanes.run(run).await?;
        let position = position.parse().map_err(|error| unexpected("dispatch", error))?;
        let epoch = epoch.parse().map_err(|error| unexpected("dispatch", error))?;
        let heard: HashMap<GatewayId, bool> = listeners
            .into_iter()
            .map(|(gateway, count)| Ok((gateway.parse()?, count > 0)))
            .collect::<Result<_, herald_core::IdError>>()
            .map_err(|error| unexpected("dispatch", error))?;
        let targets = sessions
            .iter()
            .map(|(id, value)| {
                let session = wire::decode_session(id, value)?;
                let heard = heard.get(&session.gateway).copied().unwrap_or(false);
                Ok(Target { session, heard })
            })
            .collect::<Result<_, BackplaneError>>()?;
        Ok(Dispatched { place: Place { position, random }, epoch, targets })
    }
}
