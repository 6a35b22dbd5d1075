//! What is known of one session.

use std::{fmt, str::FromStr};

use crate::{Device, GatewayId, GatewayName, Namespace, SessionId};

/// How a session's packets travelled when it connected. A polling session may
/// upgrade later without being registered anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// HTTP long-polling.
    Polling,
}

impl Transport {
    /// The word that Engine.IO uses for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Polling => "polling",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Transport {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "websocket" => Ok(Self::WebSocket),
            "polling" => Ok(Self::Polling),
            _ => Err(()),
        }
    }
}

/// A session as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Its id, ours and random.
    pub id: SessionId,
    /// The lease that it belongs to.
    pub gateway: GatewayId,
    /// The name of the gateway that holds it.
    pub gateway_name: GatewayName,
    /// The Socket.IO namespace.
    pub namespace: Namespace,
    /// The beginning of Socket.IO's id of the connection, the same in all its namespaces. The
    /// whole would let its reader take a polling client's place.
    pub socket_id: String,
    /// When it first connected, in milliseconds since 1970 by its first gateway's clock.
    pub connected_at_ms: u64,
    /// How it connected.
    pub transport: Transport,
    /// The `User-Agent` of its handshake, cut to 256 bytes.
    pub user_agent: Option<String>,
    /// What the client calls its device.
    pub device: Option<Device>,
}
