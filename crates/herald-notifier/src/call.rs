//! One call, from whichever protocol it came.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use herald_backplane::{BackplaneError, NotifierPort};
use herald_service::telemetry::TraceContext;
use tokio::time::{Instant, timeout_at};
use tonic::Code;

use crate::{
    admission::{Admitted, Permit},
    callers::Caller,
    error::{Error, Work, code_name},
    field::Names,
    metrics::Metrics,
    receipts::Hub,
    trace,
    validate::Limits,
};

/// Kept of a call's time for the way of its answer, at most, where it has waited for something.
const MARGIN: Duration = Duration::from_millis(500);

/// What every call needs.
#[derive(Debug)]
pub(crate) struct Context {
    /// The backplane.
    pub(crate) port: NotifierPort,
    /// Who waits for receipts.
    pub(crate) hub: Arc<Hub>,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// The limits in force.
    pub(crate) limits: Limits,
    /// How long a call may take whose caller sets no deadline, or a later one.
    pub(crate) call_deadline: Duration,
}

/// What was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rpc {
    SendNotice,
    BatchSendNotices,
    ListNotices,
    ExplainNotice,
    BatchGetPresence,
    DisconnectUser,
    PurgeUser,
    Broadcast,
}

impl Rpc {
    /// All there are, in the order of their numbers.
    pub(crate) const ALL: [Self; 8] = [
        Self::SendNotice,
        Self::BatchSendNotices,
        Self::ListNotices,
        Self::ExplainNotice,
        Self::BatchGetPresence,
        Self::DisconnectUser,
        Self::PurgeUser,
        Self::Broadcast,
    ];

    /// Its name with that of its service, as OpenTelemetry's conventions for RPC ask.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::SendNotice => "herald.v1.NoticeService/SendNotice",
            Self::BatchSendNotices => "herald.v1.NoticeService/BatchSendNotices",
            Self::ListNotices => "herald.v1.NoticeService/ListNotices",
            Self::BatchGetPresence => "herald.v1.NoticeService/BatchGetPresence",
            Self::DisconnectUser => "herald.v1.NoticeService/DisconnectUser",
            Self::PurgeUser => "herald.v1.NoticeService/PurgeUser",
            Self::ExplainNotice => "herald.v1.NoticeService/ExplainNotice",
            Self::Broadcast => "herald.v1.NoticeService/Broadcast",
        }
    }

    /// Its name, as in the proto.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SendNotice => "SendNotice",
            Self::BatchSendNotices => "BatchSendNotices",
            Self::ListNotices => "ListNotices",
            Self::ExplainNotice => "ExplainNotice",
            Self::BatchGetPresence => "BatchGetPresence",
            Self::DisconnectUser => "DisconnectUser",
            Self::PurgeUser => "PurgeUser",
            Self::Broadcast => "Broadcast",
        }
    }
}

/// How it was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http,
}

impl Protocol {
    /// Its name in logs and figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    rpc: Rpc,
    caller: Caller,
    protocol: Protocol,
    started: Instant,
    /// When the caller must have its answer.
    deadline: Instant,
    trace: TraceContext,
    metrics: Metrics,
    // Held until the call ends.
    _permit: Option<Permit>,
}

impl Call {
    /// A call that began when it was admitted. `allowed` is what the caller gives it, if it says so.
    pub(crate) fn begin(
        context: &Context,
        rpc: Rpc,
        protocol: Protocol,
        allowed: Option<Duration>,
        traceparent: Option<&str>,
        admitted: Option<Admitted>,
    ) -> Self {
        // Nothing gets here without having been admitted.
        let (caller, permit) = admitted.map_or_else(
            || (Caller::nobody(), None),
            |Admitted { caller, permit }| (caller, Some(permit)),
        );
        let started = permit.as_ref().map_or_else(Instant::now, Permit::since);
        let allowed = allowed
            .map_or(context.call_deadline, |allowed| short_of(allowed).min(context.call_deadline));
        let trace = TraceContext::extract(traceparent);
        let deadline = started + allowed;
        let metrics = context.metrics.clone();
        Self { rpc, caller, protocol, started, deadline, trace, metrics, _permit: permit }
    }

    /// Who calls.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// How the caller calls the fields.
    pub(crate) fn names(&self) -> Names {
        match self.protocol {
            Protocol::Grpc => Names::Proto,
            Protocol::Http => Names::Json,
        }
    }

    /// Does the call's work if the caller may call this, inside its span and counted.
    pub(crate) fn run<T>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> impl Future<Output = Result<T, Error>> {
        // On the heap before anything holds it: it is large, and what an async function is given stands in it
        // twice and is copied with it.
        let work = Box::pin(work);
        async move {
            let span = trace::call(self.rpc, self.protocol, self.caller.name(), &self.trace);
            if let Some(id) = self.trace.trace_id() {
                span.record("trace_id", tracing::field::display(id));
            }
            let work = async {
                self.caller.may_call(self.rpc)?;
                work.await
            };
            let result = self.trace.clone().in_span(span.clone(), work).await;
            let code = result.as_ref().map_or_else(Error::code, |_| Code::Ok);
            trace::answered(&span, code);
            self.metrics.call(self.rpc, self.protocol, code, self.started.elapsed());
            self.caller.count(code);
            if let Err(error) = &result {
                tracing::debug!(parent: &span, code = code_name(code), %error, "call failed");
            }
            result
        }
    }

    /// Awaits a call to the backplane, within the deadline of this one.
    pub(crate) fn backplane<T>(
        &self,
        work: Work,
        answer: impl Future<Output = Result<T, BackplaneError>>,
    ) -> impl Future<Output = Result<T, Error>> {
        // No async function, which would hold the call twice.
        timeout_at(self.deadline, answer).map(move |answer| match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the backplane failed");
                Err(Error::backplane(&error, work))
            }
            Err(_) => Err(Error::Late(work)),
        })
    }

    /// When a wait has to end: a tenth of the call's time before its end, or half a second. What is
    /// waited for is worth less than that the answer arrives, wherever the caller is.
    pub(crate) fn end_of_waits(&self) -> Instant {
        self.deadline - ((self.deadline - self.started) / 10).min(MARGIN)
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// A bit less than what the caller allows, so that it gets the answer rather than its own
/// time-out: the answer says what is known.
fn short_of(allowed: Duration) -> Duration {
    allowed - (allowed / 10).min(Duration::from_millis(50))
}

/// The value of a `grpc-timeout` header: at most eight digits and a unit. `None` for anything
/// else, which counts as absent.
pub(crate) fn grpc_timeout(value: &str) -> Option<Duration> {
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3_600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_timeouts_are_read_as_specified() {
        assert_eq!(grpc_timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(grpc_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(grpc_timeout("1S"), Some(Duration::from_secs(1)));
        for bad in ["", "S", "1", "+1S", "-1S", "1.5S", "123456789S", "1s", "1é", "é"] {
            assert_eq!(grpc_timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_answer_leaves_before_the_callers_deadline() {
        assert_eq!(short_of(Duration::from_secs(10)), Duration::from_millis(9_950));
        assert_eq!(short_of(Duration::from_millis(100)), Duration::from_millis(90));
        assert_eq!(short_of(Duration::ZERO), Duration::ZERO);
    }
}
