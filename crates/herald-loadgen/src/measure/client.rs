//! One client: reads, answers pings, and hands every text to the meter.

use super::meter::Meter;
use crate::{
    error::{CloseReason, ConnectError},
    options::SessionOptions,
    packet,
    transport::WebSocket,
};

/// What clients speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// Socket.IO over WebSocket: open when `herald:ready` has come.
    SocketIo {
        /// The server's socket path.
        path: String,
        /// The namespace.
        namespace: String,
    },
    /// WebSocket alone: open when the server has switched protocols.
    WebSocket {
        /// Path and query, with `{user}` for the user.
        target: String,
    },
}

impl Default for Dialect {
    /// Herald's own.
    fn default() -> Self {
        Self::SocketIo { path: "/notice".to_owned(), namespace: "/notice".to_owned() }
    }
}

pub(super) struct Client(WebSocket);

impl Client {
    /// Opens a connection for the user that `options` name as the token.
    pub(super) async fn open(
        dialect: &Dialect,
        mut options: SessionOptions,
    ) -> Result<Self, ConnectError> {
        match dialect {
            Dialect::WebSocket { target } => {
                let user = options.token.as_deref().unwrap_or_default();
                Ok(Self(WebSocket::open_at(&options, &target.replace("{user}", user)).await?))
            }
            Dialect::SocketIo { path, namespace } => {
                options.path.clone_from(path);
                options.namespace.clone_from(namespace);
                let mut socket = WebSocket::open(&options, None).await?;
                packet::Handshake::parse(&socket.receive().await?)?;
                socket.send(packet::connect(namespace, &options.auth())).await?;
                loop {
                    let text = socket.receive().await?;
                    if text.starts_with("44") {
                        return Err(ConnectError::Rejected { message: text });
                    }
                    if text.contains("\"herald:ready\"") {
                        return Ok(Self(socket));
                    }
                    pong(&mut socket, &text).await?;
                }
            }
        }
    }

    /// Reads until the connection ends.
    pub(super) async fn run(mut self, meter: &Meter) -> CloseReason {
        loop {
            let text = match self.0.receive_text().await {
                Ok(text) => text,
                Err(reason) => return reason,
            };
            if !meter.take(&text)
                && let Err(reason) = pong(&mut self.0, &text).await
            {
                return reason;
            }
        }
    }
}

/// Answers Engine.IO's ping; other dialects never send a lone `2`.
async fn pong(socket: &mut WebSocket, text: &str) -> Result<(), CloseReason> {
    if text == "2" { socket.send("3".to_owned()).await } else { Ok(()) }
}
