//! What can go wrong with a call, and how callers are told: one table for gRPC and HTTP.

use std::time::Duration;

use herald_backplane::BackplaneError;
use herald_proto::rpc;
use http::StatusCode;
use prost::Message as _;
use tonic::Code;

use crate::field::Violations;

/// When to try again after the backplane was away; its clients look about as often.
const AWAY_RETRY: Duration = Duration::from_secs(1);

/// When to try again after too many calls were under way: they take milliseconds.
const BUSY_RETRY: Duration = Duration::from_millis(250);

/// When to try again after too many waits were under way: they take seconds.
const WAITS_RETRY: Duration = Duration::from_secs(1);

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// What a call was about, as far as its failure is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// A notice was to be accepted.
    Send,
    /// Something was to be read.
    Read,
    /// Sessions were to be ended.
    End,
    /// A user was to be forgotten, whose sessions have ended.
    Purge,
}

/// Why a call, or one item of a batch, failed. Its display is the message for the caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Fields are missing, malformed or over their limits.
    #[error("{0}")]
    Invalid(Violations),
    /// The body is not JSON; the text says where it goes wrong.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// The body is said to be something else than JSON.
    #[error("the content type must be application/json")]
    MediaType,
    /// Nothing is served at this path.
    #[error("no such path; /openapi.json lists them")]
    NoPath,
    /// The path does not take this method.
    #[error("this path does not take the method {0}")]
    NoMethod(http::Method),
    /// The body is larger than is read.
    #[error("the body must be at most {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {0:?}")]
    SlowBody(Duration),
    /// The connection broke while the body was read.
    #[error("the body ended early")]
    BrokenBody,
    /// Nobody knows who calls; the text says why.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The caller may not do that.
    #[error("the caller {caller} lacks the scope {scope}")]
    Forbidden {
        /// The name of its key.
        caller: String,
        /// What its key would have to have.
        scope: String,
    },
    /// The idempotency key stands for another notice.
    #[error("the idempotency key was used for a notice of another event, payload or ttl")]
    KeyUsed,
    /// Nothing is known of the notice; the text says what the inbox makes of its id.
    #[error("nothing is known of this notice: {0}")]
    NoNotice(String),
    /// As many calls as allowed are under way.
    #[error("{limit} calls are under way, which is the limit")]
    Busy {
        /// The limit.
        limit: usize,
    },
    /// As many receipts as allowed are waited for. Nothing was sent.
    #[error("the notice was not accepted: {limit} notices are waited for, which is the limit")]
    Waits {
        /// The limit.
        limit: usize,
    },
    /// The backplane is away and nothing was done.
    #[error("{}", match .0 {
        Work::Send => "the notice was not accepted: the backplane is unavailable",
        Work::Read => "the backplane is unavailable",
        Work::End => "the sessions were not ended: the backplane is unavailable",
        Work::Purge => "the sessions have ended, what is kept was not removed: the backplane is unavailable",
    })]
    Unavailable(Work),
    /// The backplane did not answer: it may have done it or not.
    #[error("{}", match .0 {
        Work::Send => "it is unknown whether the notice was accepted: the backplane did not answer",
        Work::Read => "the backplane did not answer",
        Work::End => "it is unknown whether the sessions were ended: the backplane did not answer",
        Work::Purge => "the sessions have ended, it is unknown whether what is kept was removed: the backplane did not answer",
    })]
    Unanswered(Work),
    /// The call's deadline passed while the backplane was at it.
    #[error("{}", match .0 {
        Work::Send => "it is unknown whether the notice was accepted: the call's deadline passed first",
        Work::Read => "the call's deadline passed first",
        Work::End => "it is unknown whether the sessions were ended: the call's deadline passed first",
        Work::Purge => "the sessions have ended, it is unknown whether what is kept was removed: the call's deadline passed first",
    })]
    Late(Work),
    /// The call's deadline passed before the notice was handed to the backplane.
    #[error("the notice was not accepted: the call's deadline passed before its turn")]
    NotTried,
    /// A fault on our side; what it is stands in the log.
    #[error("a fault of the server, described in its log")]
    Internal,
}

impl Error {
    /// The table: every error's gRPC code and HTTP status, and when to try again.
    fn row(&self) -> (Code, StatusCode, Option<Duration>) {
        match self {
            Self::Invalid(_) | Self::NotJson(_) | Self::BrokenBody => {
                (Code::InvalidArgument, StatusCode::BAD_REQUEST, None)
            }
            Self::MediaType => (Code::InvalidArgument, StatusCode::UNSUPPORTED_MEDIA_TYPE, None),
            Self::NoPath | Self::NoNotice(_) => (Code::NotFound, StatusCode::NOT_FOUND, None),
            Self::NoMethod(_) => (Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED, None),
            Self::TooLarge { .. } => (Code::OutOfRange, StatusCode::PAYLOAD_TOO_LARGE, None),
            Self::SlowBody(_) => (Code::DeadlineExceeded, StatusCode::REQUEST_TIMEOUT, None),
            Self::Unauthenticated(_) => (Code::Unauthenticated, StatusCode::UNAUTHORIZED, None),
            Self::Forbidden { .. } => (Code::PermissionDenied, StatusCode::FORBIDDEN, None),
            Self::KeyUsed => (Code::AlreadyExists, StatusCode::CONFLICT, None),
            Self::Busy { .. } => {
                (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS, Some(BUSY_RETRY))
            }
            Self::Waits { .. } => {
                (Code::ResourceExhausted, StatusCode::TOO_MANY_REQUESTS, Some(WAITS_RETRY))
            }
            Self::Unavailable(_) | Self::Unanswered(_) => {
                (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE, Some(AWAY_RETRY))
            }
            Self::Late(_) | Self::NotTried => {
                (Code::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT, None)
            }
            Self::Internal => (Code::Internal, StatusCode::INTERNAL_SERVER_ERROR, None),
        }
    }

    /// What a failure of the backplane means for a call that was to do `work`.
    pub(crate) fn backplane(error: &BackplaneError, work: Work) -> Self {
        match error {
            BackplaneError::Unavailable(_) => Self::Unavailable(work),
            BackplaneError::Unknown(_) => Self::Unanswered(work),
            BackplaneError::KeyUsed => Self::KeyUsed,
            BackplaneError::LeaseLost(_)
            | BackplaneError::SessionEnded
            | BackplaneError::Unusable(_) => {
                tracing::error!(%error, "the backplane cannot be used");
                Self::Internal
            }
        }
    }

    /// The gRPC status code.
    pub(crate) fn code(&self) -> Code {
        self.row().0
    }

    /// The HTTP status.
    pub(crate) fn http_status(&self) -> StatusCode {
        self.row().1
    }

    /// How long the caller had better wait before it tries again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.row().2
    }

    /// What is wrong with which fields.
    pub(crate) fn violations(&self) -> Option<&Violations> {
        match self {
            Self::Invalid(violations) => Some(violations),
            _ => None,
        }
    }

    /// As protobuf, with its details.
    pub(crate) fn to_rpc(&self) -> rpc::Status {
        let mut details = Vec::new();
        if let Some(violations) = self.violations() {
            let field_violations = violations
                .listed()
                .iter()
                .map(|violation| rpc::bad_request::FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                    ..Default::default()
                })
                .collect();
            details.push(any(BAD_REQUEST, &rpc::BadRequest { field_violations }));
        }
        if let Some(delay) = self.retry_after() {
            let retry_delay = Some(herald_proto::time::duration_from_std(delay));
            details.push(any(RETRY_INFO, &rpc::RetryInfo { retry_delay }));
        }
        rpc::Status { code: self.code().into(), message: self.to_string(), details }
    }
}

fn any(type_url: &str, message: &impl prost::Message) -> prost_types::Any {
    prost_types::Any { type_url: type_url.to_owned(), value: message.encode_to_vec() }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let status = error.to_rpc();
        let details = if status.details.is_empty() { Vec::new() } else { status.encode_to_vec() };
        Self::with_details(error.code(), status.message, details.into())
    }
}

/// The name of a code, as in `google.rpc.Code`.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;
    use tonic_types::StatusExt as _;

    use super::*;

    #[test]
    fn a_grpc_status_carries_what_the_table_says() {
        let mut violations = Violations::default();
        violations.add("user_id", "must not be empty");
        let status = Status::from(Error::Invalid(violations));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "user_id: must not be empty");
        let listed = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(listed[0].field, "user_id");

        let status = Status::from(Error::Unavailable(Work::Send));
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(AWAY_RETRY));

        assert!(Status::from(Error::NotTried).details().is_empty());
    }

    #[test]
    fn a_send_is_told_whether_it_was_refused_or_is_unknown() {
        let refused = BackplaneError::Unavailable("refused".into());
        let unanswered = BackplaneError::Unknown("timed out".into());
        let refused = Error::backplane(&refused, Work::Send);
        let unanswered = Error::backplane(&unanswered, Work::Send);
        assert!(refused.to_string().starts_with("the notice was not accepted"));
        assert!(unanswered.to_string().starts_with("it is unknown whether"));
        assert_eq!(refused.code(), unanswered.code());
        let unusable = Error::backplane(&BackplaneError::Unusable("no".into()), Work::Send);
        assert_eq!(unusable.code(), Code::Internal);
    }

    #[test]
    fn http_statuses_follow_the_usual_mapping_of_codes() {
        // As google.rpc.Code documents it, but for what HTTP alone knows.
        for (error, code, status) in [
            (Error::Unauthenticated("no"), 16, 401),
            (Error::Forbidden { caller: String::new(), scope: String::new() }, 7, 403),
            (Error::KeyUsed, 6, 409),
            (Error::Busy { limit: 1 }, 8, 429),
            (Error::Waits { limit: 1 }, 8, 429),
            (Error::Unanswered(Work::Read), 14, 503),
            (Error::Late(Work::Send), 4, 504),
            (Error::Internal, 13, 500),
            (Error::NoPath, 5, 404),
            (Error::NoNotice(String::new()), 5, 404),
            (Error::NoMethod(http::Method::PUT), 12, 405),
            (Error::MediaType, 3, 415),
            (Error::TooLarge { limit: 1 }, 11, 413),
            (Error::SlowBody(AWAY_RETRY), 4, 408),
            (Error::NotJson(String::new()), 3, 400),
        ] {
            assert_eq!(i32::from(error.code()), code, "{error}");
            assert_eq!(error.http_status().as_u16(), status, "{error}");
        }
    }
}
