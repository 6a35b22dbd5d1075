//! Accepting a notice: one script, one round trip.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::future::join_all;
use herald_core::{Epoch, GatewayId, Notice, UserId};
use tracing::Instrument as _;

use super::{Redis, error::unexpected, eval, inbox::place, millis, receipts};
use crate::{BackplaneError, Dispatched, Key, Target, Terms, figures, trace, wire};

/// What `dispatch.lua` gives: now, position, random part, epoch, whether it is a duplicate, sessions,
/// who was told.
type Answer = (u64, String, String, String, bool, Sessions, Told);
pub(super) type Sessions = Vec<(Vec<u8>, Vec<u8>)>;

/// What a script that publishes gives of it: nothing and the listeners or, where it may not publish
/// itself, the message and who is to be told.
pub(super) type Told = (Vec<u8>, Listeners);

/// Gateways, and how many listened to the channel of each.
pub(super) type Listeners = Vec<(String, u64)>;

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
        let stored = wire::encode_notice(notice, terms.receipts);
        let size = stored.len() + terms.ttl.map_or(0, |_| wire::EXPIRY_BYTES);
        let inline = size <= inner.options.inline_bytes;
        let tag = if inline { wire::encode_notice_tag(size) } else { Bytes::new() };
        let mut keys = inner.keys.inbox(user).to_vec();
        let keeps_receipts = terms.receipts.is_some_and(|receipts| receipts.acks);
        if keeps_receipts {
            keys.push(inner.keys.receipts(user));
        }
        let call = |deadline: i64| {
            let mut call = eval(&inner.scripts.dispatch, &keys);
            call.arg(deadline)
                .arg(Epoch::random().to_string())
                .arg(format!("{random:08x}"))
                .arg(&stored[..])
                .arg(terms.ttl.map_or(0, millis))
                .arg(wire::encode_announcement(user, terms.receipts))
                .arg(&tag[..])
                .arg(inner.keys.gateway_channels())
                .arg(limits.notices)
                .arg(limits.bytes)
                .arg(millis(limits.age))
                .arg(limits.memory.as_secs());
            match &terms.key {
                None => call.arg("").arg("").arg(0),
                // A separator that stands in neither.
                Some(Key { caller, key }) => call
                    .arg(format!("{caller}\0{key}"))
                    .arg(wire::digest(notice, terms.ttl))
                    .arg(millis(inner.options.key_age)),
            };
            if keeps_receipts {
                call.arg(receipts::most_kept(limits));
            }
            call
        };
        let (at_ms, position, random, epoch, duplicate, sessions, told): Answer = inner
            .servers
            .lasting_script(&keys[0], &inner.scripts.dispatch, call)
            .instrument(trace::script("dispatch"))
            .await?;
        let publishes = !told.0.is_empty();
        let listeners = self.tell(told).await;
        let place = place(&position, &random)?;
        if keeps_receipts && publishes {
            self.keep_unheard(user, place, at_ms, &listeners).await;
        }
        let epoch = epoch.parse().map_err(|error| unexpected("dispatch", error))?;
        let targets = targets(&sessions, listeners)?;
        Ok(Dispatched { place, epoch, duplicate, at_ms, targets })
    }
}

impl Redis {
    /// Tells the gateways that a script gave, where it did not do so itself. What is published here
    /// stands already: who cannot be told was not heard of, and the gateway finds it by itself.
    pub(super) async fn tell(&self, (message, gateways): Told) -> Listeners {
        if message.is_empty() {
            return gateways;
        }
        let channels = self.inner.keys.gateway_channels();
        let telling = gateways.into_iter().map(async |(gateway, _)| {
            let channel = format!("{channels}{gateway}");
            let heard = self.inner.servers.publish(&channel, &message).await;
            let listening = heard.unwrap_or_else(|error| {
                tracing::debug!(channel, %error, "not published");
                metrics::counter!(figures::UNPUBLISHED).increment(1);
                0
            });
            (gateway, listening)
        });
        join_all(telling).await
    }
}

/// The sessions that were looked up, each with whether its gateway was listening.
pub(super) fn targets(
    sessions: &Sessions,
    listeners: Listeners,
) -> Result<Vec<Target>, BackplaneError> {
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
