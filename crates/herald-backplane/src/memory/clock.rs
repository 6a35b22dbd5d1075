//! The two clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks: positions and ages follow the calendar, leases
/// and forgetting the clock that nobody sets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Milliseconds since 1970.
    pub(super) ms: u64,
    /// Monotonic.
    pub(super) instant: Instant,
}

impl Now {
    pub(super) fn read() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            instant: Instant::now(),
        }
    }
}
