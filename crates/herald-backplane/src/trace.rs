//! Spans of what the backplane does for a call whose trace is recorded.

use tracing::{Span, info_span};

/// The target of spans that are exported and never logged. Where nothing is exported they cost
/// nothing.
pub const SPANS: &str = "herald_spans";

/// A field that the span of a call has if the call is not traced: it is made for the log alone.
pub const UNTRACED: &str = "untraced";

/// Whether what is done here and now is part of a call that is traced. A span that is made
/// elsewhere would be the root of a trace of its own.
#[must_use]
pub fn is_traced() -> bool {
    Span::current().metadata().is_some_and(|call| call.fields().field(UNTRACED).is_none())
}

/// One script on Redis, named as OpenTelemetry's conventions for databases ask.
pub(crate) fn script(name: &'static str) -> Span {
    if !is_traced() {
        return Span::none();
    }
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
