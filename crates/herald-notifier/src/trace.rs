//! Spans of calls and notices, named as OpenTelemetry's conventions for RPC and messaging ask.
//!
//! Of a batch each notice has a span of its own to be the parent of its delivery, and the batch's
//! links to them.

use herald_core::{NoticeId, Place};
use herald_proto::api::SendNoticeResponse;
use herald_service::telemetry::{SPANS, TraceContext, is_traced, link};
use tonic::Code;
use tracing::{Level, Span, field::Empty, info_span, span};

use crate::{
    call::{Protocol, Rpc},
    error::code_name,
};

/// What is done with a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// It is sent alone.
    Send,
    /// It is one of a batch that is sent.
    Create,
}

/// A call; its fields stand in log lines, too, whether it is traced or not. Sending is by far the
/// most frequent one: there an untraced call has a span only where the log has `debug`. All that
/// sending says above that is that the backplane cannot be used at all, whoever called.
pub(crate) fn call(rpc: Rpc, protocol: Protocol, caller: &str, trace: &TraceContext) -> Span {
    macro_rules! call {
        ($level:expr $(, $untraced:ident)?) => {
            span!(
                $level,
                "call",
                otel.name = rpc.method(),
                otel.kind = "server",
                rpc.system.name = protocol.name(),
                rpc.method = rpc.method(),
                rpc.response.status_code = Empty,
                otel.status_code = Empty,
                error.type = Empty,
                trace_id = Empty,
                caller,
                $($untraced = Empty,)?
            )
        };
    }
    if trace.to_be_traced(rpc.method()) {
        call!(Level::INFO)
    } else if rpc == Rpc::SendNotice {
        call!(Level::DEBUG, untraced)
    } else {
        call!(Level::INFO, untraced)
    }
}

/// How a call ended. What the caller did wrong is no failure of the server.
pub(crate) fn answered(span: &Span, code: Code) {
    if span.is_disabled() {
        return;
    }
    let name = code_name(code);
    span.record("rpc.response.status_code", name);
    if matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    ) {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", name);
    }
}

/// Many notices in one call.
pub(crate) fn batch(count: usize) -> Span {
    if !is_traced() {
        return Span::none();
    }
    info_span!(
        target: SPANS,
        "send",
        otel.name = "send inbox",
        otel.kind = "producer",
        messaging.system = "herald",
        messaging.operation.name = "send",
        messaging.operation.type = "send",
        messaging.destination.name = "inbox",
        messaging.batch.message_count = count,
    )
}

/// One notice, until it is accepted. The span that is current is that of the batch, if it is one of
/// one.
pub(crate) fn notice(operation: Operation, bytes: usize) -> Span {
    if !is_traced() {
        return Span::none();
    }
    let name = match operation {
        Operation::Send => "send",
        Operation::Create => "create",
    };
    let span = info_span!(
        target: SPANS,
        "notice",
        otel.name = format!("{name} inbox"),
        otel.kind = "producer",
        messaging.system = "herald",
        messaging.operation.name = name,
        messaging.operation.type = name,
        messaging.destination.name = "inbox",
        messaging.message.body.size = bytes,
        messaging.message.id = Empty,
        herald.outcome = Empty,
        herald.duplicate = Empty,
    );
    if operation == Operation::Create {
        link(&Span::current(), &span);
    }
    span
}

/// The notice was accepted, or sent.
pub(crate) fn accepted(span: &Span, response: &SendNoticeResponse) {
    if span.is_disabled() {
        return;
    }
    span.record("messaging.message.id", response.notice_id.as_str());
    span.record("herald.outcome", response.outcome().as_str_name());
    span.record("herald.duplicate", response.duplicate);
}

/// The notice was accepted, and its receipts are awaited: what comes of that is the call's.
pub(crate) fn awaited(span: &Span, place: Place, duplicate: bool) {
    if span.is_disabled() {
        return;
    }
    span.record("messaging.message.id", tracing::field::display(NoticeId(place)));
    span.record("herald.duplicate", duplicate);
}
