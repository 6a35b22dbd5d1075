//! Sending what is not kept.

use herald_core::{Notice, UserId, VolatileId};

use super::{
    Redis,
    dispatch::{Listeners, Sessions, targets},
};
use crate::{BackplaneError, Sent, wire};

impl Redis {
    pub(crate) async fn send_volatile(
        &self,
        user: &UserId,
        notice: &Notice,
    ) -> Result<Sent, BackplaneError> {
        let inner = &*self.inner;
        let id = VolatileId::random();
        let mut call = inner.scripts.volatile.prepare_invoke();
        call.key(inner.keys.sessions(user))
            .arg(inner.lanes.deadline_ms())
            .arg(wire::encode_volatile(Some(user), id, notice))
            .arg(inner.keys.gateway_channels());
        type Answer = (u64, Sessions, Listeners);
        let run = async |mut connection| call.invoke_async::<Answer>(&mut connection).await;
        let (at_ms, sessions, listeners) = inner.lanes.run(run).await?;
        Ok(Sent { id, at_ms, targets: targets(&sessions, listeners)? })
    }

    pub(crate) async fn broadcast(&self, notice: &Notice) -> Result<usize, BackplaneError> {
        let inner = &*self.inner;
        let mut call = inner.scripts.broadcast.prepare_invoke();
        call.key(inner.keys.leases())
            .arg(inner.lanes.deadline_ms())
            .arg(wire::encode_volatile(None, VolatileId::random(), notice))
            .arg(inner.keys.gateway_channels());
        inner.lanes.run(async |mut connection| call.invoke_async(&mut connection).await).await
    }
}
