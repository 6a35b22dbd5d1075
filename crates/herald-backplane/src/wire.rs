//! Between the types of `herald-core` and what is stored and sent.

mod receipts;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use herald_core::{
    Device, EventName, GatewayId, GatewayName, Namespace, Notice, Payload, Place, Position,
    SessionId, SessionRecord, Transport, UserId, VolatileId,
};
use herald_proto::wire::{
    self, ChannelMessage, StoredNotice, StoredSession, channel_message::Body,
};
use prost::Message;

pub(crate) use self::receipts::{
    decode_report, decode_reports, encode_places, encode_report, encode_reports,
};
use crate::{
    Announced, BackplaneError, EndOrder, EndReason, Ending, GatewayEvent, Mark, ReceiptsWanted,
    VolatileNotice, events::Queued,
};

/// The highest version of channel messages that this build reads.
const CHANNEL_VERSION: u32 = 5;
/// The version that announcements are written with.
const ANNOUNCEMENT: u32 = 1;
/// The version that volatile notices are written with.
const VOLATILE: u32 = 2;
/// The version that endings are written with.
const END: u32 = 3;
/// The version that questions for places are written with.
const ASK_PLACES: u32 = 4;

/// What is stored or was received cannot be read.
fn unreadable(what: &str, why: impl std::fmt::Display) -> BackplaneError {
    BackplaneError::Unusable(format!("{what} is not readable: {why}"))
}

/// What an expiry adds to a stored notice, in bytes: a tag and a fixed64.
pub(crate) const EXPIRY_BYTES: usize = 1 + 8;

/// A notice as it stands in an inbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) notice: Notice,
    /// In milliseconds since 1970; 0 for never.
    pub(crate) expires_at_ms: u64,
    pub(crate) receipts: Option<ReceiptsWanted>,
}

/// A notice as it is stored, but for its expiry: see [`append_expiry`].
pub(crate) fn encode_notice(notice: &Notice, receipts: Option<ReceiptsWanted>) -> Vec<u8> {
    StoredNotice { receipts: receipts.map(Into::into), ..stored(notice) }.encode_to_vec()
}

fn stored(notice: &Notice) -> StoredNotice {
    StoredNotice {
        event: notice.event.as_str().to_owned(),
        payload: notice.payload.bytes().clone(),
        traceparent: notice.traceparent.clone().unwrap_or_default(),
        ..Default::default()
    }
}

/// Completes a stored notice once it is known when it expires. The scripts do the same.
pub(crate) fn append_expiry(stored: &mut Vec<u8>, expires_at_ms: u64) {
    const EXPIRES_FIELD: u8 = 5 << 3 | 1;
    stored.push(EXPIRES_FIELD);
    stored.extend(expires_at_ms.to_le_bytes());
}

/// What a retry has to have in common with the first call: event, payload and ttl.
/// 32 hexadecimal digits, 128 bits of SHA-256.
pub(crate) fn digest(notice: &Notice, ttl: Option<Duration>) -> String {
    use sha2::{Digest as _, Sha256};
    const VERSION: u8 = 1;
    let ttl = ttl.map_or(0, |ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    let event = notice.event.as_str().as_bytes();
    let mut hash = Sha256::new_with_prefix([VERSION]);
    hash.update(ttl.to_le_bytes());
    hash.update((event.len() as u64).to_le_bytes());
    hash.update(event);
    hash.update(notice.payload.bytes());
    let hash = hash.finalize();
    hash[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a stored notice.
pub(crate) fn decode_notice(stored: Bytes) -> Result<Stored, BackplaneError> {
    let mut stored =
        StoredNotice::decode(stored).map_err(|error| unreadable("a stored notice", error))?;
    let expires_at_ms = stored.expires_at_ms;
    let receipts = stored.receipts.take().map(Into::into);
    Ok(Stored { notice: notice(stored)?, expires_at_ms, receipts })
}

fn notice(stored: StoredNotice) -> Result<Notice, BackplaneError> {
    Ok(Notice {
        event: EventName::new(&stored.event)
            .map_err(|error| unreadable("a stored event", error))?,
        payload: Payload::from_trusted(stored.payload),
        traceparent: Some(stored.traceparent).filter(|text| !text.is_empty()),
    })
}

/// A session as the registry keeps it: the digits of its gateway id, by which
/// scripts find the owner, and the rest behind them.
pub(crate) fn encode_session(gateway: GatewayId, session: &SessionRecord) -> Vec<u8> {
    use herald_proto::wire::Transport as Wire;
    let mut out = gateway.to_string().into_bytes();
    let stored = StoredSession {
        gateway_name: session.gateway_name.to_string(),
        namespace: session.namespace.to_string(),
        socket_id: session.socket_id.clone(),
        connected_at_ms: session.connected_at_ms,
        transport: match session.transport {
            Transport::WebSocket => Wire::Websocket,
            Transport::Polling => Wire::Polling,
        }
        .into(),
        user_agent: session.user_agent.clone().unwrap_or_default(),
        device: session.device.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    out.reserve(stored.encoded_len());
    stored.encode_raw(&mut out);
    out
}

/// Reads a session of the registry.
pub(crate) fn decode_session(id: &[u8], value: &[u8]) -> Result<SessionRecord, BackplaneError> {
    use herald_proto::wire::Transport as Wire;
    let what = "a registered session";
    let id: SessionId = text(id)?.parse().map_err(|error| unreadable(what, error))?;
    let (gateway, stored) =
        value.split_at_checked(GatewayId::DIGITS).ok_or_else(|| unreadable(what, "too short"))?;
    let stored = StoredSession::decode(stored).map_err(|error| unreadable(what, error))?;
    Ok(SessionRecord {
        id,
        gateway: text(gateway)?.parse().map_err(|error| unreadable(what, error))?,
        transport: match stored.transport() {
            Wire::Polling => Transport::Polling,
            Wire::Websocket | Wire::Unspecified => Transport::WebSocket,
        },
        gateway_name: GatewayName::new(&stored.gateway_name)
            .map_err(|error| unreadable(what, error))?,
        namespace: Namespace::new(&stored.namespace).map_err(|error| unreadable(what, error))?,
        socket_id: stored.socket_id,
        connected_at_ms: stored.connected_at_ms,
        user_agent: Some(stored.user_agent).filter(|text| !text.is_empty()),
        device: Device::new(&stored.device).ok(),
    })
}

fn text(bytes: &[u8]) -> Result<&str, BackplaneError> {
    std::str::from_utf8(bytes).map_err(|error| unreadable("a text", error))
}

/// The part of an announcement that its sender knows: everything but the place
/// and the body.
pub(crate) fn encode_announcement(user: &UserId, receipts: Option<ReceiptsWanted>) -> Vec<u8> {
    let message = ChannelMessage {
        version: ANNOUNCEMENT,
        user_id: user.as_str().to_owned(),
        receipts: receipts.map(Into::into),
        ..Default::default()
    };
    message.encode_to_vec()
}

/// A volatile notice for the sessions of a user, or for everybody's; but for its
/// time, which whoever publishes appends.
pub(crate) fn encode_volatile(user: Option<&UserId>, id: VolatileId, notice: &Notice) -> Vec<u8> {
    let volatile = wire::Volatile {
        id: Bytes::copy_from_slice(&id.0.to_be_bytes()),
        notice: Some(stored(notice)),
    };
    let message = ChannelMessage {
        position: Position::ZERO.to_string(),
        previous: Position::ZERO.to_string(),
        version: VOLATILE,
        user_id: user.map_or("*", UserId::as_str).to_owned(),
        body: Some(match user {
            Some(_) => Body::Volatile(volatile),
            None => Body::Broadcast(volatile),
        }),
        ..Default::default()
    };
    message.encode_to_vec()
}

/// An order to end sessions; but for its mark, which whoever publishes appends.
pub(crate) fn encode_end(user: &UserId, ending: &Ending) -> Vec<u8> {
    let ids = ending.sessions.iter().flatten();
    let end = wire::End {
        session_ids: ids.map(|id| Bytes::copy_from_slice(&id.0.to_be_bytes())).collect(),
        all: ending.sessions.is_none(),
        why: match ending.why {
            EndReason::Kicked => wire::EndReason::Kicked,
            EndReason::Evicted => wire::EndReason::Evicted,
            EndReason::Purged => wire::EndReason::Purged,
        }
        .into(),
        words: ending.words.clone(),
    };
    let message = ChannelMessage {
        position: Position::ZERO.to_string(),
        previous: Position::ZERO.to_string(),
        version: END,
        user_id: user.as_str().to_owned(),
        body: Some(Body::End(end)),
        ..Default::default()
    };
    message.encode_to_vec()
}

/// A question for the places of a user's sessions; but for its time, which whoever
/// publishes appends.
pub(crate) fn encode_ask_places(user: &UserId, to: ReceiptsWanted) -> Vec<u8> {
    let message = ChannelMessage {
        position: Position::ZERO.to_string(),
        previous: Position::ZERO.to_string(),
        version: ASK_PLACES,
        user_id: user.as_str().to_owned(),
        receipts: Some(to.into()),
        body: Some(Body::AskPlaces(wire::AskPlaces {})),
        ..Default::default()
    };
    message.encode_to_vec()
}

fn end(user: UserId, end: wire::End, mark: Mark) -> Result<EndOrder, BackplaneError> {
    let why = match end.why() {
        wire::EndReason::Unspecified | wire::EndReason::Kicked => EndReason::Kicked,
        wire::EndReason::Evicted => EndReason::Evicted,
        wire::EndReason::Purged => EndReason::Purged,
    };
    let id = |id: &Bytes| -> Result<_, BackplaneError> {
        let id = id.as_ref().try_into().map_err(|error| unreadable("an ending", error))?;
        Ok(SessionId(u128::from_be_bytes(id)))
    };
    let sessions = (!end.all).then(|| end.session_ids.iter().map(id).collect()).transpose()?;
    Ok(EndOrder { user, sessions, mark, why, words: end.words })
}

fn volatile(volatile: wire::Volatile, sent_at_ms: u64) -> Result<VolatileNotice, BackplaneError> {
    let what = "a volatile notice";
    let id = volatile.id.as_ref().try_into().map_err(|error| unreadable(what, error))?;
    let stored = volatile.notice.ok_or_else(|| unreadable(what, "there is none"))?;
    Ok(VolatileNotice {
        id: VolatileId(u128::from_be_bytes(id)),
        sent_at_ms,
        notice: notice(stored)?,
    })
}

/// What stands in an announcement right before a stored notice of that many bytes.
pub(crate) fn encode_notice_tag(stored: usize) -> Bytes {
    const NOTICE_FIELD: u8 = 6 << 3 | 2;
    let mut out = BytesMut::with_capacity(8);
    out.put_u8(NOTICE_FIELD);
    prost::encode_length_delimiter(stored, &mut out).expect("a growing buffer has room");
    out.freeze()
}

/// Reads what came on a channel: one message, or a bundle of them, each of which is readable or
/// not by itself.
pub(crate) fn decode_messages(
    message: Bytes,
    mut each: impl FnMut(Result<Queued, BackplaneError>),
) {
    match ChannelMessage::decode(message) {
        Ok(message) if message.bundle.is_empty() => each(decode_message(message)),
        Ok(bundle) => {
            for message in bundle.bundle {
                // Copied: a notice that waits somewhere must not keep all the others in memory.
                let message = ChannelMessage::decode(Bytes::copy_from_slice(&message));
                let message = message.map_err(|error| unreadable("a bundled message", error));
                each(message.and_then(decode_message));
            }
        }
        Err(error) => each(Err(unreadable("a channel message", error))),
    }
}

/// What a message says. One of a newer version keeps only what says that there is something to
/// read.
fn decode_message(message: ChannelMessage) -> Result<Queued, BackplaneError> {
    let what = "a channel message";
    let position = |text: &str| text.parse::<Position>().map_err(|error| unreadable(what, error));
    let user = UserId::new(&message.user_id).map_err(|error| unreadable(what, error))?;
    let sent_at_ms = message.sent_at_ms;
    let (notice, expires_at_ms) = match message.body {
        Some(_) if message.version > CHANNEL_VERSION => (None, 0),
        Some(Body::Notice(stored)) => {
            let expires_at_ms = stored.expires_at_ms;
            (Some(notice(stored)?), expires_at_ms)
        }
        Some(Body::Volatile(body)) => {
            let notice = volatile(body, sent_at_ms)?;
            return Ok(GatewayEvent::Volatile(user, notice).into());
        }
        Some(Body::Broadcast(body)) => {
            return Ok(GatewayEvent::Broadcast(volatile(body, sent_at_ms)?).into());
        }
        Some(Body::End(body)) => {
            return Ok(GatewayEvent::End(end(user, body, Mark(sent_at_ms))?).into());
        }
        Some(Body::AskPlaces(_)) => {
            let to = message.receipts.ok_or_else(|| unreadable(what, "it names nobody to tell"))?;
            return Ok(GatewayEvent::AskPlaces(user, to.into()).into());
        }
        Some(Body::InInbox(_)) | None => (None, 0),
    };
    let place = Place { position: position(&message.position)?, random: message.random };
    let previous = position(&message.previous)?;
    let announced = Announced {
        user,
        place,
        previous,
        previous_random: message.previous_random,
        notice,
        receipts: message.receipts.map(Into::into),
    };
    Ok(Queued::notice(announced, expires_at_ms))
}

#[cfg(test)]
mod tests;
