//! What an error of the Redis client means to a caller.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::BackplaneError;

/// A script's own refusal: its deadline passed before it wrote anything.
const LATE: &str = "HERALDLATE";

/// A script's own refusal: the idempotency key stands for another notice.
const KEY_USED: &str = "HERALDKEYUSED";

/// Sorts by the one question that matters: can it have happened?
pub(crate) fn classify(error: RedisError) -> BackplaneError {
    let text = error.to_string();
    if error.code() == Some(LATE) {
        return BackplaneError::Unavailable(
            "Redis was too slow: refused before anything was written".into(),
        );
    }
    if error.code() == Some(KEY_USED) {
        return BackplaneError::KeyUsed;
    }
    match error.kind() {
        // Redis answers these instead of doing anything.
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask
            | ServerErrorKind::NotBusy,
        ) => BackplaneError::Unavailable(text),
        _ if matches!(error.code(), Some("OOM" | "BUSY" | "MISCONF" | "NOREPLICAS")) => {
            BackplaneError::Unavailable(text)
        }
        ErrorKind::Io => BackplaneError::Unknown(text),
        _ => BackplaneError::Unusable(text),
    }
}

/// An answer of another shape than the script gives.
pub(crate) fn unexpected(what: &str, why: impl std::fmt::Display) -> BackplaneError {
    BackplaneError::Unusable(format!("unexpected answer to {what}: {why}"))
}
