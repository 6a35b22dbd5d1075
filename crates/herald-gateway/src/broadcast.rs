//! Broadcasts: one packet to every session here, packed once for many sockets.
//!
//! A gateway's sockets stand in a fixed number of rooms, by the random ids of their sessions. A
//! broadcast goes room by room and lets others run in between, so that it holds up nobody for
//! longer than one room takes. All sockets of a room share the packet's memory; that is why its
//! meta has no cursor, which would be another one for each session.

use herald_backplane::VolatileNotice;
use herald_core::{Namespace, SessionId};
use socketioxide::{SocketIo, extract::SocketRef};
use tokio::sync::mpsc;

use crate::{
    emit::VolatilePacket,
    figures::{self, Figures},
};

/// Broadcasts that may wait for the one under way; further ones are dropped.
const WAITING: usize = 16;

/// The rooms of a namespace, two digits each: 20,000 sockets are some 300 in a room, a
/// millisecond's work.
const ROOMS: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\
                     202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";

/// How broadcasts get to the task that emits them.
#[derive(Debug)]
pub(crate) struct Broadcasts(mpsc::Sender<VolatileNotice>);

impl Broadcasts {
    /// The way in, and what [`run`] takes them from.
    pub(crate) fn new() -> (Self, mpsc::Receiver<VolatileNotice>) {
        let (sender, waiting) = mpsc::channel(WAITING);
        (Self(sender), waiting)
    }

    /// Hands one over, or drops it.
    pub(crate) fn offer(&self, notice: VolatileNotice) {
        if self.0.try_send(notice).is_err() {
            figures::dropped("broadcast", "busy").increment(1);
        }
    }
}

/// From here on the socket gets broadcasts.
pub(crate) fn join(socket: &SocketRef, session: SessionId) {
    let room = room(session.0 as usize);
    socket.join(room);
    // It may have left all rooms, for the last time, just before.
    if !socket.connected() {
        socket.leave(room);
    }
}

fn room(number: usize) -> &'static str {
    let at = number % (ROOMS.len() / 2) * 2;
    &ROOMS[at..at + 2]
}

/// Emits one broadcast after the other.
pub(crate) async fn run(
    io: SocketIo,
    namespaces: Vec<Namespace>,
    mut waiting: mpsc::Receiver<VolatileNotice>,
    figures: Figures,
) {
    while let Some(notice) = waiting.recv().await {
        figures.broadcasts.increment(1);
        let packet = VolatilePacket::new(&notice);
        for namespace in &namespaces {
            for number in 0..ROOMS.len() / 2 {
                let Some(sockets) = io.of(namespace.as_str()) else { continue };
                for outcome in packet.emit_to(sockets.within(room(number))).await {
                    if let Some(reason) = outcome.loss() {
                        figures::dropped("broadcast", reason).increment(1);
                    }
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn sessions_spread_over_all_rooms() {
        let rooms: HashSet<_> = (0..64).map(room).collect();
        assert_eq!(rooms.len(), 64);
        assert!(rooms.iter().all(|room| room.len() == 2 && !room.contains(' ')));
        assert_eq!(room(64), room(0));
        assert_eq!(room(usize::MAX), "3f");
    }
}
