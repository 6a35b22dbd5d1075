//! What the backplane counts, listed in docs/metrics.md.

use std::time::Instant;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::BackplaneError;

/// Connections to Redis that were lost.
pub(crate) const CONNECTIONS_LOST: &str = "herald_backplane_connections_lost_total";
/// Subscriptions that were lost.
pub(crate) const CHANNELS_LOST: &str = "herald_backplane_channel_lost_total";
/// How long a channel's own messages take to come back.
pub(crate) const CHANNEL_LAG: &str = "herald_backplane_channel_lag_seconds";
/// Messages of a channel that nobody got.
const CHANNEL_DROPPED: &str = "herald_backplane_channel_dropped_total";
/// Leases that were lost.
pub(crate) const LEASES_LOST: &str = "herald_backplane_leases_lost_total";
/// Changes of the master, or of slots' masters.
pub(crate) const MOVES: &str = "herald_backplane_moves_total";
/// Masters of a cluster that are away.
pub(crate) const MASTERS_AWAY: &str = "herald_backplane_masters_away";
/// Announcements that could not be published.
pub(crate) const UNPUBLISHED: &str = "herald_backplane_unpublished_total";
/// Notices that too few replicas had in time.
pub(crate) const UNCONFIRMED: &str = "herald_backplane_unconfirmed_total";
/// How long calls to Redis take.
const CALL_SECONDS: &str = "herald_backplane_call_seconds";
/// Those without a usable answer.
const CALL_ERRORS: &str = "herald_backplane_call_errors_total";
/// How many notices share a call.
const DISPATCH_NOTICES: &str = "herald_backplane_dispatch_notices";
/// Notices that wait for a call to take them.
const DISPATCH_WAITING: &str = "herald_backplane_dispatch_waiting";

/// Why messages of a channel were dropped.
const DROPPED: [&str; 5] =
    ["full", "full_volatile", "full_reports", "unreadable", "unreadable_reports"];

/// Describes them, and shows those that count from 0.
pub(crate) fn declare() {
    describe_counter!(CONNECTIONS_LOST, "Connections to Redis that were lost");
    describe_counter!(CHANNELS_LOST, "Channels that were lost and are connected anew");
    describe_histogram!(
        CHANNEL_LAG,
        Unit::Seconds,
        "From publishing to its own channel until that is heard, once a second"
    );
    describe_counter!(CHANNEL_DROPPED, "Messages of a channel that were heard and dropped");
    describe_counter!(LEASES_LOST, "Leases that others fenced, or that Redis lost");
    describe_counter!(
        MOVES,
        "Times that the master, or a slot's master, was another one than before"
    );
    describe_gauge!(MASTERS_AWAY, "Masters of the cluster that are not connected to");
    describe_counter!(
        UNPUBLISHED,
        "Announcements of accepted notices, and volatile notices, that could not be published"
    );
    describe_counter!(UNCONFIRMED, "Notices that too few replicas had in time");
    describe_histogram!(
        CALL_SECONDS,
        Unit::Seconds,
        "From a call to Redis to its answer, or until it is given up"
    );
    describe_counter!(CALL_ERRORS, "Calls to Redis without a usable answer");
    describe_histogram!(DISPATCH_NOTICES, "Notices that one call to Redis carries");
    describe_gauge!(DISPATCH_WAITING, "Notices that wait for a call to Redis to carry them");
    for counted in [CONNECTIONS_LOST, LEASES_LOST, MOVES, UNPUBLISHED, UNCONFIRMED] {
        counter!(counted).increment(0);
    }
    gauge!(MASTERS_AWAY).increment(0.0);
    for reason in DROPPED {
        counter!(CHANNEL_DROPPED, "reason" => reason).increment(0);
    }
}

/// Counts a message of a channel that nobody gets.
pub(crate) fn dropped(reason: &'static str) {
    counter!(CHANNEL_DROPPED, "reason" => reason).increment(1);
}

/// The figures of one kind of call to Redis, made once.
#[derive(Clone)]
pub(crate) struct CallFigures {
    seconds: Histogram,
    unavailable: Counter,
    unknown: Counter,
    unusable: Counter,
}

impl CallFigures {
    pub(crate) fn new(call: &'static str) -> Self {
        let errors = |error: &'static str| counter!(CALL_ERRORS, "call" => call, "error" => error);
        Self {
            seconds: histogram!(CALL_SECONDS, "call" => call),
            unavailable: errors("unavailable"),
            unknown: errors("unknown"),
            unusable: errors("unusable"),
        }
    }

    /// A call that began then has ended so.
    pub(crate) fn ended<T>(&self, began: Instant, outcome: &Result<T, BackplaneError>) {
        self.seconds.record(began.elapsed());
        if let Err(error) = outcome {
            self.failed(error);
        }
    }

    /// A call, or what it carried of one notice, had no usable answer.
    pub(crate) fn failed(&self, error: &BackplaneError) {
        match error {
            BackplaneError::Unavailable(_) => self.unavailable.increment(1),
            BackplaneError::Unknown(_) => self.unknown.increment(1),
            BackplaneError::Unusable(_) => self.unusable.increment(1),
            // The others are answers.
            _ => {}
        }
    }
}

impl std::fmt::Debug for CallFigures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallFigures").finish_non_exhaustive()
    }
}

/// The figures of notices that share calls, made once.
pub(crate) struct DispatchFigures {
    notices: Histogram,
    waiting: Gauge,
}

impl DispatchFigures {
    pub(crate) fn new() -> Self {
        Self { notices: histogram!(DISPATCH_NOTICES), waiting: gauge!(DISPATCH_WAITING) }
    }

    /// A call takes so many, and leaves so many.
    pub(crate) fn taken(&self, notices: usize, waiting: usize) {
        self.notices.record(notices as f64);
        self.waiting.set(waiting as f64);
    }
}
