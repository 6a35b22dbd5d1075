//! Whether a call is traced, decided before there is any span of it.
//!
//! A sampler is asked when a span is made, and its children are made all the same: where one call
//! in a hundred is traced, spans that nobody gets would be nearly all that tracing costs.

use std::sync::OnceLock;

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanKind, TraceContextExt as _, TraceId},
};
use opentelemetry_sdk::trace::{
    Config, IdGenerator as _, RandomIdGenerator, SamplingDecision, SamplingResult, ShouldSample,
};

use super::TraceContext;

/// The sampler that `OTEL_TRACES_SAMPLER` names; none where nothing is exported.
static SAMPLER: OnceLock<Box<dyn ShouldSample>> = OnceLock::new();

/// The same, asked when a span is made. Calls were asked for before.
#[derive(Debug, Clone)]
pub(super) struct Sampler(Box<dyn ShouldSample>);

impl Sampler {
    /// As the environment says, with OpenTelemetry's own defaults.
    pub(super) fn configured() -> Self {
        Self(Config::default().sampler)
    }

    /// From now on calls are traced.
    pub(super) fn install(self) {
        // Where there is one already, the subscriber that goes with it is there as well.
        let _ = SAMPLER.set(self.0);
    }
}

impl ShouldSample for Sampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if *kind != SpanKind::Server {
            return self.0.should_sample(parent, trace_id, name, kind, attributes, links);
        }
        let trace_state = parent.map(|parent| parent.span().span_context().trace_state().clone());
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: Vec::new(),
            trace_state: trace_state.unwrap_or_default(),
        }
    }
}

impl TraceContext {
    /// Whether a call that came with this is to be traced. To be asked once for each, since of calls
    /// that came with nothing so many are, by chance, as is configured. One that is not must have no
    /// span, or one with [`UNTRACED`](super::UNTRACED).
    #[must_use]
    pub fn to_be_traced(&self, name: &str) -> bool {
        let Some(sampler) = SAMPLER.get() else { return false };
        let remote = self.remote().map(|remote| Context::new().with_remote_span_context(remote));
        let id = self.trace_id().unwrap_or_else(|| RandomIdGenerator::default().new_trace_id());
        let asked = sampler.should_sample(remote.as_ref(), id, name, &SpanKind::Server, &[], &[]);
        asked.decision == SamplingDecision::RecordAndSample
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::trace::Sampler as Sdk;

    use super::*;

    const RECORDED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn decision(sampler: &Sampler, kind: SpanKind) -> SamplingDecision {
        let id = RandomIdGenerator::default().new_trace_id();
        sampler.should_sample(None, id, "name", &kind, &[], &[]).decision
    }

    #[test]
    fn a_call_is_asked_for_once_and_everything_else_as_ever() {
        let off = Sampler(Box::new(Sdk::AlwaysOff));
        assert_eq!(decision(&off, SpanKind::Server), SamplingDecision::RecordAndSample);
        assert_eq!(decision(&off, SpanKind::Consumer), SamplingDecision::Drop);

        let context = TraceContext::extract(Some(RECORDED));
        assert!(!context.to_be_traced("call"), "nothing is exported yet");
        let half = Sdk::ParentBased(Box::new(Sdk::TraceIdRatioBased(0.5)));
        Sampler(Box::new(half)).install();
        assert!(context.to_be_traced("call"), "the caller decides");
        let unrecorded = RECORDED.replace("-01", "-00");
        assert!(!TraceContext::extract(Some(&unrecorded)).to_be_traced("call"));
        let traced = (0..1_000).filter(|_| TraceContext::default().to_be_traced("call")).count();
        assert!((300..700).contains(&traced), "{traced} of 1,000 with a ratio of a half");
    }
}
