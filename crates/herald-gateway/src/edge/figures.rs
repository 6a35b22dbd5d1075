//! The edge's figures for Prometheus.
//!
//! | name | labels | |
//! |---|---|---|
//! | `herald_gateway_connections` | | TCP connections open now |
//! | `herald_gateway_connections_total` | | those taken in |
//! | `herald_gateway_connections_refused_total` | `reason` | those turned away: `limit` |
//! | `herald_gateway_connections_closed_total` | `reason` | those the gateway itself closed, by [`CloseReason`] |
//! | `herald_gateway_accept_errors_total` | `kind` | `connection` (the peer left), `process` (no files or memory) |
//! | `herald_gateway_bytes_total` | `direction` | `in` and `out`, added when a connection ends |
//! | `herald_gateway_handshakes_total` | | those let in |
//! | `herald_gateway_handshakes_refused_total` | `reason` | answered 503, by [`Refusal`] |
//! | `herald_gateway_connecting_clients` | | those between their namespace's CONNECT and `herald:ready`, now |
//! | `herald_gateway_requests_refused_total` | `reason` | answered 4xx here: `origin`, `no_upgrade`, `body_timeout`; and 503, for another gateway: `stranger` (a session unknown here, while new ones are sent elsewhere) |
//! | `herald_gateway_polling_closed_total` | `reason` | closes handed to Engine.IO for clients that may poll, by [`CloseReason`] |

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use super::{admission::Refusal, close::CloseReason};

/// Declares all figures with the recorder of the process; again does no harm.
pub(super) fn describe() {
    describe_gauge!("herald_gateway_connections", "TCP connections open");
    describe_counter!("herald_gateway_connections_total", "TCP connections taken in");
    describe_counter!("herald_gateway_connections_refused_total", "TCP connections turned away");
    describe_counter!(
        "herald_gateway_connections_closed_total",
        "TCP connections that the gateway closed of its own accord"
    );
    describe_counter!("herald_gateway_accept_errors_total", "connections not accepted");
    describe_counter!(
        "herald_gateway_bytes_total",
        Unit::Bytes,
        "bytes of TCP connections that have ended"
    );
    describe_counter!("herald_gateway_handshakes_total", "handshakes let in");
    describe_gauge!("herald_gateway_connecting_clients", "clients being connected");
    describe_counter!("herald_gateway_handshakes_refused_total", "handshakes answered 503");
    describe_counter!("herald_gateway_requests_refused_total", "requests that Engine.IO never saw");
    describe_counter!(
        "herald_gateway_polling_closed_total",
        "closes handed to Engine.IO for clients that may poll"
    );
}

pub(super) fn connections() -> Gauge {
    gauge!("herald_gateway_connections")
}

pub(super) fn connections_taken() -> Counter {
    counter!("herald_gateway_connections_total")
}

pub(super) fn connections_over_limit() -> Counter {
    counter!("herald_gateway_connections_refused_total", "reason" => "limit")
}

pub(super) fn connections_closed(reason: CloseReason) -> Counter {
    counter!("herald_gateway_connections_closed_total", "reason" => reason.as_str())
}

pub(super) fn accept_errors(kind: &'static str) -> Counter {
    counter!("herald_gateway_accept_errors_total", "kind" => kind)
}

pub(super) fn bytes(direction: &'static str) -> Counter {
    counter!("herald_gateway_bytes_total", "direction" => direction)
}

pub(super) fn handshakes() -> Counter {
    counter!("herald_gateway_handshakes_total")
}

pub(super) fn connecting() -> Gauge {
    gauge!("herald_gateway_connecting_clients")
}

pub(super) fn handshakes_refused(refusal: Refusal) -> Counter {
    counter!("herald_gateway_handshakes_refused_total", "reason" => refusal.as_str())
}

pub(super) fn requests_refused(reason: &'static str) -> Counter {
    counter!("herald_gateway_requests_refused_total", "reason" => reason)
}

pub(super) fn polling_closed(reason: CloseReason) -> Counter {
    counter!("herald_gateway_polling_closed_total", "reason" => reason.as_str())
}
