//! What the backplane counts.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};

/// Connections to Redis that were lost.
pub(crate) const CONNECTIONS_LOST: &str = "herald_backplane_connections_lost_total";
/// Subscriptions that were lost.
pub(crate) const CHANNELS_LOST: &str = "herald_backplane_channel_lost_total";
/// How long a channel's own messages take to come back.
pub(crate) const CHANNEL_LAG: &str = "herald_backplane_channel_lag_seconds";
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

/// Describes them, and shows those that count from 0.
pub(crate) fn declare() {
    describe_counter!(CONNECTIONS_LOST, "connections to Redis that were lost");
    describe_counter!(CHANNELS_LOST, "subscriptions that were lost, each followed by an audit");
    describe_histogram!(
        CHANNEL_LAG,
        Unit::Seconds,
        "time from publishing to its own channel until that is heard"
    );
    describe_counter!(LEASES_LOST, "leases that others fenced, or that Redis lost");
    describe_counter!(
        MOVES,
        "times that the master, or a slot's master, was another one than before"
    );
    describe_gauge!(MASTERS_AWAY, "masters of the cluster that are not connected to");
    describe_counter!(
        UNPUBLISHED,
        "announcements of accepted notices, and volatile notices, that could not be published"
    );
    describe_counter!(UNCONFIRMED, "notices that too few replicas had in time");
    for counted in [CONNECTIONS_LOST, LEASES_LOST, MOVES, UNPUBLISHED, UNCONFIRMED] {
        counter!(counted).increment(0);
    }
}
