//! Spans of notices on their way to devices, where whoever sent them records the trace: for all
//! others there is no span at all, and no cost.
//!
//! They are named as OpenTelemetry's conventions for messaging ask. An announced notice is the child
//! of the call that sent it. What is read from an inbox was sent by many: its span links to them.

use std::fmt::Display;

use herald_backplane::Page;
use herald_core::{NoticeId, SessionRecord};
use herald_service::telemetry::{SPANS, TraceContext};
use tracing::{Span, field::Empty, info_span};

/// The delivery of a notice that was announced, to all sessions of its user here.
pub(crate) fn deliver(traceparent: Option<&str>, id: impl Display) -> Span {
    let Some(trace) = TraceContext::recorded(traceparent) else { return Span::none() };
    let span = info_span!(
        target: SPANS,
        "deliver",
        otel.name = "deliver sessions",
        otel.kind = "consumer",
        messaging.system = "herald",
        messaging.operation.name = "deliver",
        messaging.operation.type = "process",
        messaging.destination.name = "sessions",
        messaging.message.id = %id,
    );
    trace.adopt(&span);
    span
}

/// The delivery of what was read from the inbox for one session.
pub(crate) fn replay(session: &SessionRecord, page: &Page) -> Span {
    let traced = page
        .notices
        .iter()
        .filter_map(|notice| TraceContext::recorded(notice.notice.traceparent.as_deref()));
    let mut traced = traced.peekable();
    if traced.peek().is_none() {
        return Span::none();
    }
    let span = info_span!(
        target: SPANS,
        "replay",
        otel.name = "replay sessions",
        otel.kind = "consumer",
        messaging.system = "herald",
        messaging.operation.name = "replay",
        messaging.operation.type = "process",
        messaging.destination.name = "sessions",
        messaging.batch.message_count = page.notices.len(),
        herald.session.id = %session.id,
    );
    for trace in traced {
        trace.link(&span);
    }
    span
}

/// A notice that is handed to a socket, within the span of its delivery.
pub(crate) fn emit(session: &SessionRecord, id: NoticeId) -> Span {
    // Where the sender's trace is not recorded there is no span to be within.
    if Span::current().is_none() {
        return Span::none();
    }
    info_span!(
        target: SPANS,
        "emit",
        otel.name = "emit session",
        otel.kind = "producer",
        messaging.system = "herald",
        messaging.operation.name = "emit",
        messaging.operation.type = "send",
        messaging.destination.name = "session",
        messaging.message.id = %id,
        herald.session.id = %session.id,
        herald.namespace = session.namespace.as_str(),
        herald.outcome = Empty,
    )
}

/// Waiting for the device to acknowledge what was emitted: ends with the acknowledgement, or with
/// whatever made the gateway give up on it.
pub(crate) fn acknowledge(emitted: &Span) -> Span {
    if emitted.is_none() {
        return Span::none();
    }
    info_span!(
        target: SPANS,
        parent: emitted,
        "acknowledge",
        otel.name = "acknowledge session",
        otel.kind = "client",
        messaging.system = "herald",
        messaging.operation.name = "acknowledge",
        messaging.operation.type = "settle",
        messaging.destination.name = "session",
        herald.acknowledged = false,
    )
}
