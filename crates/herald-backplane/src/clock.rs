//! The one clock that says when a notice has expired.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::redis::RedisClock;

/// The backplane's clock as this process knows it: for what it holds itself and
/// cannot ask about. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Clock {
    #[doc(hidden)]
    System,
    #[doc(hidden)]
    Redis(Arc<RedisClock>),
}

impl Clock {
    /// Milliseconds since 1970. Of a clock elsewhere this is an estimate that lags
    /// by at most a round trip; 0 until it was heard of once.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match self {
            Self::System => {
                let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
            }
            Self::Redis(clock) => clock.now_ms(),
        }
    }

    /// Whether a notice that expires then has expired; 0 is never.
    #[must_use]
    pub fn is_past(&self, expires_at_ms: u64) -> bool {
        expires_at_ms != 0 && expires_at_ms <= self.now_ms()
    }
}
