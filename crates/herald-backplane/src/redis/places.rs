//! Where a notice stands in its inbox, and where sessions do.

use bytes::Bytes;
use herald_core::{Place, UserId};
use redis::{FromRedisValue, Value};

use super::{
    Redis,
    dispatch::{Sessions, Told, targets},
    error::unexpected,
    eval,
    inbox::{parse, place},
    lives::Lives,
    millis,
};
use crate::{
    BackplaneError, Found, FoundNotice, InboxNotice, InboxState, Places, ReceiptsWanted, Target,
    wire::{self, Stored},
};

/// What `find.lua` gives for a user who has an inbox.
type Answer = (u64, u64, String, String, String, String, u64, u64, Vec<u8>);

impl Redis {
    pub(crate) async fn find(&self, user: &UserId, at: Place) -> Result<Found, BackplaneError> {
        let inner = &*self.inner;
        let [state, inbox, _] = inner.keys.user(user);
        let keys = [state, inbox];
        let call = |deadline: i64| {
            let mut call = eval(&inner.scripts.find, &keys);
            call.arg(deadline)
                .arg(at.position.to_string())
                .arg(format!("{:08x}", at.random))
                .arg(millis(inner.options.inbox.age))
                .arg(Lives::of(&inner.options.inbox).state);
            call
        };
        let answer: Vec<Value> = inner.servers.script(&keys[0], &inner.scripts.find, call).await?;
        let wrong = |error| unexpected("find", error);
        if answer.len() == 2 {
            let (at_ms, ended_at_ms) =
                <(u64, u64)>::from_redis_value(Value::Array(answer)).map_err(wrong)?;
            return Ok(Found { at_ms, inbox: None, notice: None, ended_at_ms });
        }
        let (at_ms, ended_at_ms, epoch, tip, tip_random, floor, notices, bytes, stored) =
            Answer::from_redis_value(Value::Array(answer)).map_err(wrong)?;
        let inbox = InboxState {
            epoch: parse(&epoch)?,
            tip: place(&tip, &tip_random)?,
            floor: parse(&floor)?,
            notices,
            bytes,
        };
        let notice = if stored.is_empty() { None } else { Some(found(at, stored)?) };
        Ok(Found { at_ms, inbox: Some(inbox), notice, ended_at_ms })
    }

    pub(crate) async fn ask_places(
        &self,
        user: &UserId,
        to: ReceiptsWanted,
    ) -> Result<Vec<Target>, BackplaneError> {
        let inner = &*self.inner;
        let key = inner.keys.sessions(user);
        let message = wire::encode_ask_places(user, to);
        // Told to the owners as what is volatile is.
        let call = |deadline: i64| {
            let mut call = eval(&inner.scripts.volatile, &[&key]);
            call.arg(deadline).arg(&message[..]).arg(inner.keys.gateway_channels());
            call
        };
        let (_, sessions, told): (u64, Sessions, Told) =
            inner.servers.script(&key, &inner.scripts.volatile, call).await?;
        let listeners = self.tell(told).await;
        targets(&sessions, listeners)
    }

    pub(crate) async fn tell_places(
        &self,
        to: ReceiptsWanted,
        places: &Places,
    ) -> Result<bool, BackplaneError> {
        let channel = self.inner.keys.notifier_channel(to.notifier);
        let message = wire::encode_places(to.token, places);
        Ok(self.inner.servers.publish(&channel, &message).await? > 0)
    }
}

fn found(place: Place, stored: Vec<u8>) -> Result<FoundNotice, BackplaneError> {
    let size = stored.len() as u64;
    let Stored { notice, expires_at_ms, receipts } = wire::decode_notice(Bytes::from(stored))?;
    Ok(FoundNotice { notice: InboxNotice { place, notice, expires_at_ms, receipts }, size })
}
