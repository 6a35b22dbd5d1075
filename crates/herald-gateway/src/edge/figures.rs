//! The edge's figures, listed in docs/metrics.md.

use metrics::{Counter, Gauge, Unit, counter, describe_counter, describe_gauge, gauge};

use super::{admission::Refusal, close::CloseReason};

/// Declares all figures with the recorder of the process, and shows those that count from 0; again
/// does no harm.
pub(super) fn declare() {
    describe();
    connections().increment(0.0);
    connecting().increment(0.0);
    connections_taken().increment(0);
    connections_over_limit().increment(0);
    handshakes().increment(0);
    for reason in CloseReason::ALL {
        connections_closed(reason).increment(0);
        polling_closed(reason).increment(0);
    }
    for refusal in Refusal::ALL {
        handshakes_refused(refusal).increment(0);
    }
    for reason in ["origin", "no_upgrade", "no_connection", "body_timeout", "stranger"] {
        requests_refused(reason).increment(0);
    }
    for kind in ["connection", "process"] {
        accept_errors(kind).increment(0);
    }
    for direction in ["in", "out"] {
        bytes(direction).increment(0);
    }
}

fn describe() {
    describe_gauge!("herald_gateway_connections", "TCP connections open now");
    describe_gauge!("herald_gateway_max_connections", "TCP connections that may be open");
    describe_counter!("herald_gateway_connections_total", "TCP connections taken in");
    describe_counter!("herald_gateway_connections_refused_total", "TCP connections turned away");
    describe_counter!(
        "herald_gateway_connections_closed_total",
        "TCP connections that the gateway closed of its own accord"
    );
    describe_counter!("herald_gateway_accept_errors_total", "TCP connections not accepted");
    describe_counter!(
        "herald_gateway_bytes_total",
        Unit::Bytes,
        "Bytes of TCP connections that have ended"
    );
    describe_counter!("herald_gateway_handshakes_total", "Handshakes let in");
    describe_gauge!(
        "herald_gateway_connecting_clients",
        "Clients between their CONNECT and herald:ready, now"
    );
    describe_counter!("herald_gateway_handshakes_refused_total", "Handshakes answered 503");
    describe_counter!(
        "herald_gateway_requests_refused_total",
        "Requests answered by the gateway itself, that Engine.IO was not to answer"
    );
    describe_counter!(
        "herald_gateway_polling_closed_total",
        "Closes handed to Engine.IO for clients that may poll"
    );
}

pub(super) fn connections() -> Gauge {
    gauge!("herald_gateway_connections")
}

pub(super) fn max_connections() -> Gauge {
    gauge!("herald_gateway_max_connections")
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
