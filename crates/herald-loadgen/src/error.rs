//! Why a session did not come about, and why it ended.

use std::{io, time::Duration};

use ::http::StatusCode;
use tokio_tungstenite::tungstenite;

use crate::http::HttpError;

/// Why a session did not come about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An HTTP answer other than the one that opens a session.
    #[error("the server answered {status}: {body}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its `Retry-After`, when given in seconds.
        retry_after: Option<Duration>,
        /// Its body as text.
        body: String,
    },
    /// The namespace refused with `connect_error`; official clients do not try again.
    #[error("connect_error: {message}")]
    Rejected {
        /// The error's message.
        message: String,
    },
    /// The connection could not be opened, or broke before the session was there.
    #[error("the connection failed: {0}")]
    Transport(String),
    /// The server said something that the protocol does not allow.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// It took longer than [`SessionOptions::timeout`](crate::SessionOptions::timeout).
    #[error("not connected within {0:?}")]
    TimedOut(Duration),
}

impl ConnectError {
    /// Whether an official client would try again by itself.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Rejected { .. })
    }

    /// After which pause it is worth trying again, when the gateway takes no new clients for now.
    pub fn turned_away(&self) -> Option<Duration> {
        match self {
            Self::Refused { status: StatusCode::SERVICE_UNAVAILABLE, retry_after, .. } => {
                Some(retry_after.unwrap_or(Duration::from_secs(1)))
            }
            _ => None,
        }
    }

    /// The HTTP status, when there was an answer at all.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl From<CloseReason> for ConnectError {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Http { status, body } => Self::Refused { status, retry_after: None, body },
            CloseReason::Protocol(what) => Self::Protocol(what),
            other => Self::Transport(other.to_string()),
        }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The namespace was left by the server (Socket.IO DISCONNECT): official clients stay away.
    #[error("disconnected by the server")]
    ServerDisconnect,
    /// The server closed the transport with an Engine.IO packet: official clients come back.
    #[error("transport closed by the server")]
    EngineClosed,
    /// A WebSocket close frame, with its code if it had one.
    #[error("websocket closed by the server (code {0:?})")]
    WebSocketClosed(Option<u16>),
    /// A long-polling request was answered with something else than 200.
    #[error("the server answered {status}: {body}")]
    Http {
        /// Its status.
        status: StatusCode,
        /// Its body as text.
        body: String,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Transport(String),
    /// No ping came for the interval and time-out that the server had announced.
    #[error("no ping from the server in time")]
    PingTimeout,
    /// The server said something that the protocol does not allow.
    #[error("protocol error: {0}")]
    Protocol(String),
    /// This side closed it.
    #[error("closed by this client")]
    Local,
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> Self {
        Self::Transport(error.to_string())
    }
}

impl From<tungstenite::Error> for CloseReason {
    fn from(error: tungstenite::Error) -> Self {
        Self::Transport(error.to_string())
    }
}

impl From<HttpError> for CloseReason {
    fn from(error: HttpError) -> Self {
        Self::Transport(error.to_string())
    }
}
