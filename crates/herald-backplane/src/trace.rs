//! Spans of what the backplane does for a call whose trace is recorded.

use tracing::{Span, info_span};

/// The target of spans that are exported and never logged. Where nothing is exported they cost
/// nothing.
pub const SPANS: &str = "herald_spans";

/// One script on Redis, named as OpenTelemetry's conventions for databases ask.
pub(crate) fn script(name: &'static str) -> Span {
    info_span!(
        target: SPANS,
        "script",
        otel.name = format!("EVALSHA {name}"),
        otel.kind = "client",
        db.system.name = "redis",
        db.operation.name = "EVALSHA",
        db.stored_procedure.name = name,
    )
}
