//! Producers of notices, over gRPC and over HTTP, with the same answers.

mod grpc;
mod http;

use std::{net::SocketAddr, time::Duration};

use tonic::Code;

pub use herald_proto::api::WaitFor;

pub use self::{
    grpc::GrpcSender,
    http::{HttpSender, http_error},
};

/// A notice to send.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outgoing {
    /// Who it is for.
    pub user: String,
    /// The event; empty means the server's default.
    pub event: String,
    /// The payload as JSON text.
    pub payload: String,
    /// Whether it skips the inbox.
    pub volatile: bool,
    /// How long it is of use.
    pub ttl: Option<Duration>,
    /// The key that makes a retry safe; empty means none.
    pub idempotency_key: String,
    /// What the answer waits for besides the acceptance, and for how long.
    pub wait: Option<(WaitFor, Duration)>,
}

impl Outgoing {
    /// A durable notice with the default event.
    pub fn new(user: impl Into<String>, payload: impl Into<String>) -> Self {
        Self { user: user.into(), payload: payload.into(), ..Self::default() }
    }
}

/// What the notifier answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The notice's id.
    pub notice_id: String,
    /// Whether the idempotency key had been used.
    pub duplicate: bool,
    /// The outcome's name without its prefix, such as `OFFLINE`.
    pub outcome: String,
    /// Whether that was seen which the answer was to wait for.
    pub wait_satisfied: bool,
    /// The sessions that it was meant for.
    pub sessions: Vec<Receipt>,
}

/// What the notifier says of a notice's way to one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The session's id.
    pub session: String,
    /// The state's name without its prefix, such as `ACKED`.
    pub state: String,
}

impl Receipt {
    fn new(session: String, state: &str) -> Self {
        let state = state.strip_prefix("SESSION_STATE_").unwrap_or(state);
        Self { session, state: state.to_owned() }
    }
}

/// Why a notice was not accepted, or is not known to be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct SendError {
    /// The code; over HTTP the one in the body.
    pub code: Code,
    /// The HTTP status, over HTTP.
    pub status: Option<u16>,
    /// The message.
    pub message: String,
    /// Each fault: the field's path and what is wrong with it.
    pub fields: Vec<(String, String)>,
    /// When to try again (RetryInfo).
    pub retry_after: Option<Duration>,
}

impl SendError {
    /// Whether the notice may have been accepted all the same.
    pub fn is_unknown(&self) -> bool {
        matches!(
            self.code,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
        )
    }

    /// Whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        self.is_unknown() || self.code == Code::ResourceExhausted
    }

    pub(crate) fn local(code: Code, message: impl ToString) -> Self {
        Self {
            code,
            status: None,
            message: message.to_string(),
            fields: Vec::new(),
            retry_after: None,
        }
    }
}

/// A producer. Cheap to clone, and usable from many tasks at once.
#[derive(Debug, Clone)]
pub enum Sender {
    /// Over gRPC.
    Grpc(GrpcSender),
    /// As JSON over HTTP.
    Http(HttpSender),
}

impl Sender {
    /// A producer over gRPC, connected when first used; each call ends within `deadline`.
    pub fn grpc(address: SocketAddr, deadline: Duration) -> Self {
        Self::Grpc(GrpcSender::new(address, deadline))
    }

    /// A producer over HTTP, connected when first used; each call ends within `deadline`.
    pub fn http(address: SocketAddr, deadline: Duration) -> Self {
        Self::Http(HttpSender::new(address, deadline))
    }

    /// Sends a notice.
    ///
    /// # Errors
    ///
    /// [`SendError`]; see [`is_unknown`](SendError::is_unknown).
    pub async fn send(&self, notice: &Outgoing) -> Result<Accepted, SendError> {
        match self {
            Self::Grpc(sender) => sender.send(notice).await,
            Self::Http(sender) => sender.send(notice).await,
        }
    }

    /// Sends many notices in one call; the results are in their order.
    ///
    /// # Errors
    ///
    /// [`SendError`] when the call as a whole failed.
    pub async fn send_batch(
        &self,
        notices: &[Outgoing],
    ) -> Result<Vec<Result<Accepted, SendError>>, SendError> {
        match self {
            Self::Grpc(sender) => sender.send_batch(notices).await,
            Self::Http(sender) => sender.send_batch(notices).await,
        }
    }
}
