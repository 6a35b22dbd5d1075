//! Sending what is not kept.

use herald_core::{Notice, UserId, VolatileId};
use tracing::Instrument as _;

use super::{
    Redis,
    dispatch::{Sessions, Told, targets},
    eval,
};
use crate::{BackplaneError, Sent, trace, wire};

impl Redis {
    pub(crate) async fn send_volatile(
        &self,
        user: &UserId,
        notice: &Notice,
    ) -> Result<Sent, BackplaneError> {
        let inner = &*self.inner;
        let id = VolatileId::random();
        let key = inner.keys.sessions(user);
        let message = wire::encode_volatile(Some(user), id, notice);
        let call = |deadline: i64| {
            let mut call = eval(&inner.scripts.volatile, &[&key]);
            call.arg(deadline).arg(&message[..]).arg(inner.keys.gateway_channels());
            call
        };
        let (at_ms, sessions, told): (u64, Sessions, Told) = inner
            .servers
            .script(&key, &inner.scripts.volatile, call)
            .instrument(trace::script("volatile"))
            .await?;
        let listeners = self.tell(told).await;
        Ok(Sent { id, at_ms, targets: targets(&sessions, listeners)? })
    }

    pub(crate) async fn broadcast(&self, notice: &Notice) -> Result<usize, BackplaneError> {
        let inner = &*self.inner;
        let key = inner.keys.leases();
        let message = wire::encode_volatile(None, VolatileId::random(), notice);
        let call = |deadline: i64| {
            let mut call = eval(&inner.scripts.broadcast, &[&key]);
            call.arg(deadline).arg(&message[..]).arg(inner.keys.gateway_channels());
            call
        };
        let told: Told = inner
            .servers
            .script(&key, &inner.scripts.broadcast, call)
            .instrument(trace::script("broadcast"))
            .await?;
        let listeners = self.tell(told).await;
        Ok(listeners.iter().filter(|(_, listening)| *listening > 0).count())
    }
}
