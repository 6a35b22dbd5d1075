//! What a gateway hears on its own channel.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::subscription::Listener;
use crate::{
    BackplaneError, GatewayEvent,
    events::{Queued, Room},
    figures, wire,
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

    /// False if it was dropped and a doubt has to make good for it.
    fn take(&self, decoded: Result<Queued, BackplaneError>) -> bool {
        match decoded {
            Ok(mut queued) => {
                let volatile = queued.is_volatile();
                if self.room.hold(&mut queued) && self.events.try_send(queued).is_ok() {
                    return true;
                }
                figures::dropped(if volatile { "full_volatile" } else { "full" });
                // There is nothing to read that would make good for a volatile one.
                volatile
            }
            Err(error) => {
                tracing::warn!(%error, "message dropped");
                figures::dropped("unreadable");
                false
            }
        }
    }
}

impl Listener for Channel {
    fn hear(&self, message: Bytes) -> bool {
        let mut all = true;
        wire::decode_messages(message, |decoded| all &= self.take(decoded));
        all
    }

    async fn doubt(&self) -> bool {
        self.events.send(GatewayEvent::Doubt.into()).await.is_ok()
    }

    async fn closed(&self) {
        self.events.closed().await;
    }
}
