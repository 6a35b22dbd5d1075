//! What goes to a client: notices and Herald's own events, packed and handed to its socket.
//!
//! Nothing here waits: a socket takes a packet into its queue or refuses it at once. Order is the
//! caller's affair, who holds the session's lock.

use herald_core::{Cursor, Notice, NoticeId, Place, SessionId, UserId};
use serde::Serialize;
use serde_json::value::RawValue;
use socketioxide::{SendError, SocketError, extract::SocketRef};

use crate::delivery::Gap;

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
    /// The session's place in the inbox after this notice.
    cursor: String,
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

    /// Hands it to a socket: the sender's bytes, untouched, then the meta object. `cursor` names
    /// the epoch that the session is in.
    pub(crate) fn emit(
        &self,
        socket: &SocketRef,
        user: &UserId,
        cursor: Cursor,
        replayed: bool,
    ) -> Outcome {
        let Some(payload) = self.payload else {
            return Outcome::Unreadable;
        };
        let cursor = Cursor { epoch: cursor.epoch, place: self.place };
        let meta = Meta {
            id: &self.id,
            cursor: cursor.encode(user),
            sent_at: self.place.position.ms,
            replayed,
        };
        outcome(&socket.emit(self.event, &(payload, meta)))
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

fn outcome(sent: &Result<(), SendError>) -> Outcome {
    match sent {
        Ok(()) => Outcome::Taken,
        Err(SendError::Socket(SocketError::InternalChannelFull)) => Outcome::Full,
        Err(SendError::Socket(_)) => Outcome::Gone,
        Err(SendError::Serialize(_)) => Outcome::Unreadable,
    }
}
