//! What an error of the Redis client means to a caller.

use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value};

use crate::BackplaneError;

/// A script's own refusal: its deadline passed before it wrote anything.
const LATE: &str = "HERALDLATE";

/// A script's own refusal: the idempotency key stands for another notice.
const KEY_USED: &str = "HERALDKEYUSED";

/// A script's own refusal: the session was ended for good.
const ENDED: &str = "HERALDENDED";

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
    if error.code() == Some(ENDED) {
        return BackplaneError::SessionEnded;
    }
    match error.kind() {
        _ if is_read_only(&error) => BackplaneError::Unavailable(text),
        // Redis answers these instead of doing anything.
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
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

/// Whether the server refused to write because it is not a master. A script's refusal carries the
/// code in its text only, before Redis 7.
pub(super) fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
        || error.detail().is_some_and(|text| text.contains("READONLY You can't write"))
}

/// An answer of another shape than the script gives.
pub(crate) fn unexpected(what: &str, why: impl std::fmt::Display) -> BackplaneError {
    BackplaneError::Unusable(format!("unexpected answer to {what}: {why}"))
}

/// One answer of several, as what it is to be.
pub(super) fn answer<T: FromRedisValue>(
    to: &str,
    answer: RedisResult<Value>,
) -> Result<T, BackplaneError> {
    let value = answer.and_then(Value::extract_error).map_err(classify)?;
    T::from_redis_value(value).map_err(|error| unexpected(to, error))
}
