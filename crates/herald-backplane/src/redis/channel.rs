//! What a gateway hears on its own channel.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::subscription::Listener;
use crate::{
    GatewayEvent,
    events::{Queued, Room, count_dropped},
    wire,
};

/// Puts what comes into the gateway's queue, or drops and counts it.
pub(super) struct Channel {
    events: mpsc::Sender<Queued>,
    room: Room,
}

impl Channel {
    pub(super) fn new(events: mpsc::Sender<Queued>) -> Self {
        Self { events, room: Room::new() }
    }
}

impl Listener for Channel {
    fn hear(&self, message: Bytes) -> bool {
        match wire::decode_message(message) {
            Ok(mut queued) => {
                let volatile = queued.is_volatile();
                if self.room.hold(&mut queued) && self.events.try_send(queued).is_ok() {
                    return true;
                }
                count_dropped(if volatile { "full_volatile" } else { "full" });
                // There is nothing to read that would make good for a volatile one.
                volatile
            }
            Err(error) => {
                tracing::warn!(%error, "message dropped");
                count_dropped("unreadable");
                false
            }
        }
    }

    async fn doubt(&self) -> bool {
        self.events.send(GatewayEvent::Doubt.into()).await.is_ok()
    }

    async fn closed(&self) {
        self.events.closed().await;
    }
}
