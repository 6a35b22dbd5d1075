//! What goes to a client: notices and Herald's own events, packed and handed to its socket.
//!
//! Nothing here waits: a socket takes a packet into its queue or refuses it at once. Order is the
//! caller's affair, who holds the session's lock.

use std::time::Duration;

use herald_backplane::{EndReason, VolatileNotice};
use herald_core::{Cursor, Notice, NoticeId, Place, SessionId, UserId};
use serde::{Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
use socketioxide::{
    BroadcastError, SendError, SocketError, ack::AckStream, extract::SocketRef,
    operators::BroadcastOperators,
};

use crate::delivery::Gap;

/// How far the clocks of a cluster's servers may be apart, in milliseconds.
const CLOCKS_APART: u64 = 100;

/// What a client answers; what it says with it means nothing here.
pub(crate) type Acknowledgement = AckStream<IgnoredAny>;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in the socket's queue.
    Taken,
    /// The queue is full; nothing was sent.
    Full,
    /// The socket is closed.
    Gone,
    /// It cannot be packed, now or ever.
    Unreadable,
}

impl Outcome {
    /// As a label.
    pub(crate) fn as_str(self) -> &'static str {
        self.loss().unwrap_or("taken")
    }

    /// Why a packet that nobody tries again is lost; `None` if it was taken.
    pub(crate) fn loss(self) -> Option<&'static str> {
        match self {
            Self::Taken => None,
            Self::Full => Some("full"),
            Self::Gone => Some("gone"),
            Self::Unreadable => Some("unreadable"),
        }
    }
}

/// A notice on its way to the sockets of its user; made once for all of them.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    event: &'a str,
    /// None when the stored bytes are no JSON: they would spoil the packet around them.
    payload: Option<&'a RawValue>,
    place: Place,
    id: String,
}

/// The second argument of a client's listener.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    /// The notice's id.
    id: &'a str,
    /// The session's place in the inbox after this notice. Absent where all sessions get the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// When it was accepted, in milliseconds since 1970 by the backplane's clock.
    sent_at: u64,
    /// Whether it was read from the inbox because the client connected.
    replayed: bool,
}

#[derive(Serialize)]
struct ReadyEvent {
    session: String,
    cursor: String,
}

#[derive(Serialize)]
struct GapEvent {
    reason: &'static str,
    /// The cursor that could not be continued; null when it was not readable.
    after: Option<String>,
    /// The cursor that what is kept begins after.
    floor: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReconnectEvent {
    within_ms: u64,
}

#[derive(Serialize)]
struct EndedEvent<'a> {
    reason: &'static str,
    /// In the words of who ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenExpiringEvent {
    in_ms: u64,
}

impl<'a> Packet<'a> {
    pub(crate) fn new(notice: &'a Notice, place: Place) -> Self {
        Self {
            event: notice.event.as_str(),
            payload: serde_json::from_slice(notice.payload.bytes()).ok(),
            place,
            id: NoticeId(place).to_string(),
        }
    }

    /// The notice's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Where it stands.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    fn args(
        &self,
        user: &UserId,
        cursor: Cursor,
        replayed: bool,
    ) -> Option<(&'a RawValue, Meta<'_>)> {
        let cursor = Cursor { epoch: cursor.epoch, place: self.place };
        let meta = Meta {
            id: &self.id,
            cursor: Some(cursor.encode(user)),
            sent_at: self.place.position.ms,
            replayed,
        };
        Some((self.payload?, meta))
    }

    /// Hands it to a socket: the sender's bytes, untouched, then the meta object. `cursor` names
    /// the epoch that the session is in.
    pub(crate) fn emit(
        &self,
        socket: &SocketRef,
        user: &UserId,
        cursor: Cursor,
        replayed: bool,
    ) -> Outcome {
        match self.args(user, cursor, replayed) {
            Some(args) => outcome(&socket.emit(self.event, &args)),
            None => Outcome::Unreadable,
        }
    }

    /// The same, with an `ack` as the listener's third argument; gives what it is answered. It
    /// fails, at the latest, after the time that acknowledgements have.
    pub(crate) fn emit_for_ack(
        &self,
        socket: &SocketRef,
        user: &UserId,
        cursor: Cursor,
        replayed: bool,
    ) -> Result<Acknowledgement, Outcome> {
        let args = self.args(user, cursor, replayed).ok_or(Outcome::Unreadable)?;
        let sent = socket.emit_with_ack(self.event, &args);
        sent.map_err(|error| outcome(&Err(error)))
    }
}

/// A notice that is in no inbox, on its way to sockets.
#[derive(Debug)]
pub(crate) struct VolatilePacket<'a> {
    event: &'a str,
    payload: Option<&'a RawValue>,
    id: String,
    sent_at: u64,
}

impl<'a> VolatilePacket<'a> {
    pub(crate) fn new(volatile: &'a VolatileNotice) -> Self {
        Self {
            event: volatile.notice.event.as_str(),
            payload: serde_json::from_slice(volatile.notice.payload.bytes()).ok(),
            id: volatile.id.to_string(),
            sent_at: volatile.sent_at_ms,
        }
    }

    /// Whether it was sent before a session began, at that time of the backplane's clock: a gateway
    /// that was frozen hears of it when its client has come back, having got it elsewhere.
    pub(crate) fn is_older_than(&self, began_ms: u64) -> bool {
        self.sent_at + CLOCKS_APART < began_ms
    }

    fn args(&self, cursor: Option<String>) -> Option<(&'a RawValue, Meta<'_>)> {
        let meta = Meta { id: &self.id, cursor, sent_at: self.sent_at, replayed: false };
        Some((self.payload?, meta))
    }

    /// Hands it to a socket whose session stands at `cursor`, and stays there.
    pub(crate) fn emit(&self, socket: &SocketRef, user: &UserId, cursor: Cursor) -> Outcome {
        match self.args(Some(cursor.encode(user))) {
            Some(args) => outcome(&socket.emit(self.event, &args)),
            None => Outcome::Unreadable,
        }
    }

    /// Hands it, packed once, to all sockets that `to` names; gives what became of those that did
    /// not take it.
    pub(crate) async fn emit_to(&self, to: BroadcastOperators) -> Vec<Outcome> {
        let Some(args) = self.args(None) else {
            return vec![Outcome::Unreadable];
        };
        match to.emit(self.event, &args).await {
            Ok(()) => Vec::new(),
            Err(BroadcastError::Socket(errors)) => errors
                .iter()
                .map(|error| match error {
                    SocketError::InternalChannelFull => Outcome::Full,
                    _ => Outcome::Gone,
                })
                .collect(),
            Err(_) => vec![Outcome::Unreadable],
        }
    }
}

/// Tells a client that its session is registered, and from where it begins.
pub(crate) fn ready(
    socket: &SocketRef,
    user: &UserId,
    session: SessionId,
    cursor: Cursor,
) -> Outcome {
    let event = ReadyEvent { session: session.to_string(), cursor: cursor.encode(user) };
    outcome(&socket.emit("herald:ready", &event))
}

/// Tells a client that it missed something that is no longer kept.
pub(crate) fn gap(socket: &SocketRef, user: &UserId, gap: &Gap) -> Outcome {
    let event = GapEvent {
        reason: gap.reason.as_str(),
        after: gap.after.map(|cursor| cursor.encode(user)),
        floor: gap.floor.encode(user),
    };
    outcome(&socket.emit("herald:gap", &event))
}

/// Tells a client that its transport is closed within this time, for it to come back elsewhere.
pub(crate) fn reconnect(socket: &SocketRef, within: Duration) -> Outcome {
    let within_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    outcome(&socket.emit("herald:reconnect", &ReconnectEvent { within_ms }))
}

/// Tells a client that its session ends for good.
pub(crate) fn ended(socket: &SocketRef, why: EndReason, words: &str) -> Outcome {
    let message = Some(words).filter(|words| !words.is_empty());
    outcome(&socket.emit("herald:ended", &EndedEvent { reason: why.as_str(), message }))
}

/// Tells a client that its token, and its session with it, ends.
pub(crate) fn token_expiring(socket: &SocketRef, left: Duration) -> Outcome {
    let in_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    outcome(&socket.emit("herald:token-expiring", &TokenExpiringEvent { in_ms }))
}

fn outcome(sent: &Result<(), SendError>) -> Outcome {
    match sent {
        Ok(()) => Outcome::Taken,
        Err(SendError::Socket(SocketError::InternalChannelFull)) => Outcome::Full,
        Err(SendError::Socket(_)) => Outcome::Gone,
        Err(SendError::Serialize(_)) => Outcome::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use herald_core::{EventName, Payload, VolatileId};

    use super::*;

    #[test]
    fn what_was_sent_before_a_session_began_is_not_for_it() {
        let payload = Payload::new("1".to_owned(), 10).unwrap();
        let notice = Notice { event: EventName::notice(), payload, traceparent: None };
        let volatile = VolatileNotice { id: VolatileId(1), sent_at_ms: 10_000, notice };
        let packet = VolatilePacket::new(&volatile);
        // Of a clock that was not heard of yet nothing is known.
        for since in [0, 9_000, 10_000, 10_000 + CLOCKS_APART] {
            assert!(!packet.is_older_than(since), "{since}");
        }
        assert!(packet.is_older_than(10_001 + CLOCKS_APART));
    }
}
