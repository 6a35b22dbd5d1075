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
    /// Opens a connection for the user whose token is in `options`; for plain WebSocket the token
    /// is the user.
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
                        return Err(ConnectError::Rejected { message: refusal(&text) });
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
            let answered = if meter.take(&text) {
                acknowledge(&mut self.0, &text).await
            } else {
                pong(&mut self.0, &text).await
            };
            if let Err(reason) = answered {
                return reason;
            }
        }
    }
}

/// Answers Engine.IO's ping; other dialects never send a lone `2`.
async fn pong(socket: &mut WebSocket, text: &str) -> Result<(), CloseReason> {
    if text == "2" { socket.send("3".to_owned()).await } else { Ok(()) }
}

/// The message of Socket.IO's `44`, a connect_error; the packet as it is if it has none.
fn refusal(packet: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    let json = packet.find('{').map_or("", |at| &packet[at..]);
    serde_json::from_str::<Refusal>(json).map_or_else(|_| packet.to_owned(), |it| it.message)
}

/// Acknowledges a notice whose sender waits for it.
async fn acknowledge(socket: &mut WebSocket, text: &str) -> Result<(), CloseReason> {
    match acknowledgement(text) {
        Some(packet) => socket.send(packet).await,
        None => Ok(()),
    }
}

/// The answer to an event, Socket.IO's `42`, that has an acknowledgement's number.
fn acknowledgement(text: &str) -> Option<String> {
    let event = text.strip_prefix("42")?;
    let (namespace, rest) = match event.strip_prefix('/') {
        Some(_) => event.split_at(event.find(',')? + 1),
        None => ("", event),
    };
    let digits = rest.len() - rest.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
    (digits > 0).then(|| format!("43{namespace}{}[]", &rest[..digits]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_its_message() {
        let packet = r#"44/notice,{"message":"Authentication error: token_expired"}"#;
        assert_eq!(refusal(packet), "Authentication error: token_expired");
        assert_eq!(refusal("44/notice"), "44/notice");
    }

    #[test]
    fn only_events_with_a_number_are_acknowledged() {
        assert_eq!(
            acknowledgement(r#"42/notice,17["notice",{"a":1}]"#).as_deref(),
            Some("43/notice,17[]")
        );
        assert_eq!(acknowledgement(r#"423["notice"]"#).as_deref(), Some("433[]"));
        assert_eq!(acknowledgement(r#"42/notice,["notice",{"a":1}]"#), None);
        assert_eq!(acknowledgement(r#"{"stamp":[1,2]}"#), None);
    }
}
