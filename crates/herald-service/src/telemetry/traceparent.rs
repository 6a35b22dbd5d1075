//! Carrying W3C trace context from an incoming call to what it causes.
//!
//! Two cases. With a collector, our own spans are part of the trace, and what leaves names the
//! span it left from. Without one our spans are seen by nobody, so what came in leaves untouched,
//! to the byte: a made-up parent would tear the caller's trace apart. The second case needs no
//! subscriber, so it also holds in a process that never set telemetry up.

use std::future::Future;

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
};
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Longest header taken over. Version 00 has 55 bytes; later ones may append.
const MAX_BYTES: usize = 128;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// The trace context that a call came with, possibly none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TraceContext {
    header: Option<Box<str>>,
    remote: Option<SpanContext>,
}

impl TraceContext {
    /// From the value of a `traceparent` header (or of the field that stands for it). What is not
    /// valid counts as absent, as the recommendation asks.
    pub fn extract(traceparent: Option<&str>) -> Self {
        let header = traceparent.map(str::trim);
        match header.and_then(|header| Some((header, parse(header)?))) {
            Some((header, remote)) => Self { header: Some(header.into()), remote: Some(remote) },
            None => Self::default(),
        }
    }

    /// The same, if whoever began the trace records it: for what is not worth a look otherwise.
    pub fn recorded(traceparent: Option<&str>) -> Option<Self> {
        // Version, ids and flags of the only version that there is; the last bit says it.
        let flags = *traceparent?.as_bytes().get(54)?;
        if flags % 2 == 0 {
            return None;
        }
        let context = Self::extract(traceparent);
        let is_recorded = context.remote.as_ref().is_some_and(SpanContext::is_sampled);
        is_recorded.then_some(context)
    }

    /// Makes a span that has just been made part of this trace.
    pub fn adopt(&self, span: &Span) {
        if let Some(remote) = &self.remote {
            let parent = Context::new().with_remote_span_context(remote.clone());
            // Fails where nothing is exported, which is the case of the header untouched.
            let _ = span.set_parent(parent);
        }
    }

    /// Links a span to this trace, as one of several that it is about.
    pub fn link(&self, span: &Span) {
        if let Some(remote) = &self.remote {
            span.add_link(remote.clone());
        }
    }

    pub(super) fn remote(&self) -> Option<SpanContext> {
        self.remote.clone()
    }

    /// The trace's id.
    pub fn trace_id(&self) -> Option<TraceId> {
        Some(self.remote.as_ref()?.trace_id())
    }

    /// The header as it came in.
    pub fn traceparent(&self) -> Option<&str> {
        self.header.as_deref()
    }

    /// Runs `future` inside `span`, both as part of this trace, so that
    /// [`current_traceparent`] knows it. Tasks spawned inside do not inherit it: hand the
    /// context over and call this again.
    pub async fn in_span<F: Future>(self, span: Span, future: F) -> F::Output {
        self.adopt(&span);
        CURRENT.scope(self, future.instrument(span)).await
    }
}

/// Links `span` to another one of this process, if that is exported.
pub fn link(span: &Span, to: &Span) {
    if to.is_disabled() {
        return;
    }
    let context = to.context();
    let to = context.span().span_context().clone();
    if to.is_valid() {
        span.add_link(to);
    }
}

/// The `traceparent` to send along with what is caused here and now: the current span's when it is
/// exported, else the header of the call being served, else none.
pub fn current_traceparent() -> Option<String> {
    exported_span().or_else(|| {
        CURRENT.try_with(|current| current.header.as_deref().map(str::to_owned)).ok()?
    })
}

fn exported_span() -> Option<String> {
    let span = Span::current();
    if span.is_none() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    span.is_valid().then(|| {
        format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8())
    })
}

/// `version-trace_id-parent_id-flags`, lower-case hexadecimal.
fn parse(header: &str) -> Option<SpanContext> {
    if header.len() > MAX_BYTES {
        return None;
    }
    let mut parts = header.split('-');
    let version = hexadecimal(parts.next()?, 2)?;
    let trace_id = TraceId::from_hex(hexadecimal(parts.next()?, 32)?).ok()?;
    let span_id = SpanId::from_hex(hexadecimal(parts.next()?, 16)?).ok()?;
    let flags = u8::from_str_radix(hexadecimal(parts.next()?, 2)?, 16).ok()?;
    let appended = parts.next().is_some();
    if version == "ff" || (version == "00" && appended) {
        return None;
    }
    // Flags beyond "sampled" mean nothing to us yet.
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let remote = SpanContext::new(trace_id, span_id, flags, true, TraceState::default());
    remote.is_valid().then_some(remote)
}

fn hexadecimal(text: &str, length: usize) -> Option<&str> {
    let valid = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == length && text.bytes().all(valid)).then_some(text)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::{info_span, instrument::WithSubscriber as _};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    async fn seen_inside(header: &str) -> Option<String> {
        let context = TraceContext::extract(Some(header));
        context
            .in_span(info_span!("outer"), async {
                async { current_traceparent() }.instrument(info_span!("inner")).await
            })
            .await
    }

    #[tokio::test]
    async fn without_export_the_header_passes_untouched() {
        assert_eq!(current_traceparent(), None);
        assert_eq!(seen_inside(HEADER).await.unwrap(), HEADER);
        // Flags and appended parts that we do not understand are the caller's business.
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-what-the-future";
        assert_eq!(seen_inside(later).await.unwrap(), later);
        assert_eq!(current_traceparent(), None, "the scope has ended");
    }

    #[tokio::test]
    async fn a_subscriber_that_only_logs_changes_nothing() {
        let logs = tracing_subscriber::registry();
        let seen = seen_inside(HEADER).with_subscriber(logs).await;
        assert_eq!(seen.unwrap(), HEADER);
    }

    #[tokio::test]
    async fn with_export_the_trace_stays_and_the_parent_is_our_span() {
        let provider = SdkTracerProvider::builder().build();
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(traces);
        // `seen_inside` makes its spans when first polled, so under the subscriber.
        let seen = seen_inside(HEADER).with_subscriber(subscriber).await.unwrap();
        assert_ne!(seen, HEADER);
        assert_eq!(seen[..36], HEADER[..36], "the trace is the caller's");
        assert!(seen.ends_with("-01"), "so is its sampling: {seen}");
        assert!(TraceContext::extract(Some(&seen)).traceparent().is_some());
    }

    #[test]
    fn only_what_is_recorded_is_worth_a_look() {
        let recorded = |header| TraceContext::recorded(header).is_some();
        assert!(recorded(Some(HEADER)));
        let unsampled = HEADER.replace("-01", "-00");
        assert!(!recorded(Some(&unsampled)) && !recorded(Some("00-01")) && !recorded(None));
        let invalid = HEADER.replace("4bf92f", "4BF92F");
        assert!(!recorded(Some(&invalid)));
    }

    #[tokio::test]
    async fn an_invalid_header_counts_as_absent() {
        for invalid in [
            "",
            "garbage",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        ] {
            assert_eq!(TraceContext::extract(Some(invalid)), TraceContext::default(), "{invalid}");
            assert_eq!(seen_inside(invalid).await, None, "{invalid}");
        }
        let endless = format!("cc{}-{}", &HEADER[2..], "x".repeat(200));
        assert_eq!(TraceContext::extract(Some(&endless)).traceparent(), None);
        assert_eq!(TraceContext::extract(None), TraceContext::default());
    }
}
