//! The two clocks.

use std::time::Instant;

use crate::Clock;

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
        Self { ms: Clock::System.now_ms(), instant: Instant::now() }
    }
}
