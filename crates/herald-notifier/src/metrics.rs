//! The notifier's figures, listed in docs/metrics.md.
//!
//! A notifier makes them once and hands them on: looking a figure up by its labels for each notice
//! would cost more than counting it.

use std::{
    ops::Deref,
    sync::{Arc, OnceLock},
    time::Duration,
};

use herald_backplane::Reaped;
use herald_proto::api::{Outcome, SessionCounts};
use metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge,
    describe_histogram, gauge, histogram,
};
use tonic::Code;

use crate::{
    call::{Protocol, Rpc},
    error::code_name,
    receipts::Goal,
};

const CALLS: &str = "herald_notifier_calls_total";
const CALL_SECONDS: &str = "herald_notifier_call_seconds";
const CALLS_IN_FLIGHT: &str = "herald_notifier_calls_in_flight";
const REFUSED: &str = "herald_notifier_refused_total";
const CALLER_CALLS: &str = "herald_notifier_caller_calls_total";
const API_KEYS: &str = "herald_notifier_api_keys";
const API_KEYS_READS: &str = "herald_notifier_api_keys_reads_total";
const NOTICES: &str = "herald_notifier_notices_total";
const DISPATCHES: &str = "herald_notifier_dispatches_total";
const TARGETS: &str = "herald_notifier_targets_total";
const WAITS: &str = "herald_notifier_waits_total";
const WAITS_OPEN: &str = "herald_notifier_waits_open";
const REPORTS: &str = "herald_notifier_reports_total";
const EMITTED_SECONDS: &str = "herald_notifier_emitted_seconds";
const ACKED_SECONDS: &str = "herald_notifier_acked_seconds";
const DISPATCH_SECONDS: &str = "herald_notifier_dispatch_seconds";
const REAPED_LEASES: &str = "herald_notifier_reaped_leases_total";
const REAPED_SESSIONS: &str = "herald_notifier_reaped_sessions_total";
const REAP_ROUNDS: &str = "herald_notifier_reap_rounds_total";

/// Codes of gRPC, from 0.
const CODES: usize = 17;

/// The figures of one notifier. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Handles>);

pub(crate) struct Handles {
    calls: [[Calls; 2]; Rpc::ALL.len()],
    calls_in_flight: [Gauge; 2],
    busy: [Counter; 2],
    unauthenticated: [Counter; 2],
    notices: [Counter; OUTCOMES.len()],
    failed: ByCode,
    dispatches: [Counter; 3],
    dispatch_seconds: Histogram,
    targets: [Counter; STATES.len()],
    waits: [[Counter; WAIT_OUTCOMES.len()]; Goal::ALL.len()],
    waits_open: Gauge,
    reports_awaited: Counter,
    reports_late: Counter,
    emitted_seconds: Histogram,
    acked_seconds: Histogram,
    reaped_leases: Counter,
    reaped_sessions: Counter,
    rounds: [Counter; 2],
}

/// The calls of one rpc over one protocol.
struct Calls {
    by_code: ByCode,
    seconds: Histogram,
}

/// A counter for each code; those that never come are never made.
pub(crate) struct ByCode {
    name: &'static str,
    labels: Vec<Label>,
    counters: [OnceLock<Counter>; CODES],
}

/// How a dispatch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dispatch {
    /// In the inbox.
    Appended,
    /// There already, by its key.
    Duplicate,
    /// To whoever is connected.
    Volatile,
}

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitOutcome {
    /// As was wanted.
    Satisfied,
    /// There was no session, or none any more.
    Nobody,
    /// Not in time.
    Unsatisfied,
    /// Too many wait already.
    Refused,
}

const DISPATCH: [&str; 3] = ["appended", "duplicate", "volatile"];
const WAIT_OUTCOMES: [&str; 4] = ["satisfied", "nobody", "unsatisfied", "refused"];
const STATES: [&str; 7] = ["accepted", "emitted", "acked", "lagging", "gone", "unheard", "unknown"];
const OUTCOMES: [Outcome; 6] = [
    Outcome::Offline,
    Outcome::Accepted,
    Outcome::Emitted,
    Outcome::Acked,
    Outcome::NoSession,
    Outcome::Sent,
];
const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::Http];

impl Metrics {
    /// Makes all figures, which shows them from 0 on. The recorder of the process has to be there.
    pub(crate) fn new() -> Self {
        describe();
        let refused = |reason: &'static str| {
            PROTOCOLS.map(
                |protocol| counter!(REFUSED, "protocol" => protocol.name(), "reason" => reason),
            )
        };
        let notice = |outcome: Outcome| {
            let outcome = outcome.as_str_name().trim_start_matches("OUTCOME_");
            counter!(NOTICES, "outcome" => outcome, "code" => code_name(Code::Ok))
        };
        Self(Arc::new(Handles {
            calls: Rpc::ALL.map(|rpc| PROTOCOLS.map(|protocol| Calls::new(rpc, protocol))),
            calls_in_flight: PROTOCOLS
                .map(|protocol| gauge!(CALLS_IN_FLIGHT, "protocol" => protocol.name())),
            busy: refused("busy"),
            unauthenticated: refused("unauthenticated"),
            notices: OUTCOMES.map(notice),
            failed: ByCode::new(NOTICES, vec![Label::new("outcome", "NONE")]),
            dispatches: DISPATCH.map(|kind| counter!(DISPATCHES, "kind" => kind)),
            dispatch_seconds: histogram!(DISPATCH_SECONDS),
            targets: STATES.map(|state| counter!(TARGETS, "state" => state)),
            waits: Goal::ALL.map(|goal| {
                WAIT_OUTCOMES
                    .map(|outcome| counter!(WAITS, "wait_for" => goal.name(), "outcome" => outcome))
            }),
            waits_open: gauge!(WAITS_OPEN),
            reports_awaited: counter!(REPORTS, "outcome" => "awaited"),
            reports_late: counter!(REPORTS, "outcome" => "late"),
            emitted_seconds: histogram!(EMITTED_SECONDS),
            acked_seconds: histogram!(ACKED_SECONDS),
            reaped_leases: counter!(REAPED_LEASES),
            reaped_sessions: counter!(REAPED_SESSIONS),
            rounds: ["ok", "failed"].map(|outcome| counter!(REAP_ROUNDS, "outcome" => outcome)),
        }))
    }
}

impl Deref for Metrics {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Handles {
    pub(crate) fn call(&self, rpc: Rpc, protocol: Protocol, code: Code, took: Duration) {
        let calls = &self.calls[rpc as usize][protocol as usize];
        calls.by_code.increment(code);
        calls.seconds.record(took);
    }

    pub(crate) fn calls_in_flight(&self, protocol: Protocol) -> &Gauge {
        &self.calls_in_flight[protocol as usize]
    }

    /// A call was refused because too many are under way.
    pub(crate) fn busy(&self, protocol: Protocol) {
        self.busy[protocol as usize].increment(1);
    }

    /// A call was refused because nobody knows who calls.
    pub(crate) fn unauthenticated(&self, protocol: Protocol) {
        self.unauthenticated[protocol as usize].increment(1);
    }

    /// A notice was accepted, or sent.
    pub(crate) fn notice(&self, outcome: Outcome, targets: &SessionCounts) {
        if let Some(nth) = OUTCOMES.iter().position(|known| *known == outcome) {
            self.notices[nth].increment(1);
        }
        let SessionCounts { accepted, emitted, acked, lagging, gone, unheard, unknown } = *targets;
        let counts = [accepted, emitted, acked, lagging, gone, unheard, unknown];
        for (counter, count) in self.targets.iter().zip(counts).filter(|(_, count)| *count > 0) {
            counter.increment(count.into());
        }
    }

    /// A notice was not, as far as is known.
    pub(crate) fn notice_failed(&self, code: Code) {
        self.failed.increment(code);
    }

    pub(crate) fn dispatched(&self, dispatch: Dispatch, took: Duration) {
        self.dispatches[dispatch as usize].increment(1);
        self.dispatch_seconds.record(took);
    }

    pub(crate) fn wait(&self, goal: Goal, outcome: WaitOutcome) {
        self.waits[goal as usize][outcome as usize].increment(1);
    }

    /// The waits that are open.
    pub(crate) fn waits_open(&self) -> &Gauge {
        &self.waits_open
    }

    pub(crate) fn report(&self, awaited: bool) {
        if awaited { &self.reports_awaited } else { &self.reports_late }.increment(1);
    }

    pub(crate) fn emitted(&self, after: Duration) {
        self.emitted_seconds.record(after);
    }

    pub(crate) fn acked(&self, after: Duration) {
        self.acked_seconds.record(after);
    }

    pub(crate) fn reaped(&self, reaped: Reaped) {
        self.rounds[0].increment(1);
        self.reaped_leases.increment(reaped.leases as u64);
        self.reaped_sessions.increment(reaped.sessions as u64);
    }

    pub(crate) fn reap_failed(&self) {
        self.rounds[1].increment(1);
    }
}

impl Calls {
    fn new(rpc: Rpc, protocol: Protocol) -> Self {
        let (rpc, protocol) = (rpc.name(), protocol.name());
        let labels = vec![Label::new("rpc", rpc), Label::new("protocol", protocol)];
        let by_code = ByCode::new(CALLS, labels);
        by_code.of(Code::Ok);
        Self { by_code, seconds: histogram!(CALL_SECONDS, "rpc" => rpc, "protocol" => protocol) }
    }
}

impl ByCode {
    fn new(name: &'static str, labels: Vec<Label>) -> Self {
        Self { name, labels, counters: Default::default() }
    }

    /// The calls of a caller that has a name: there are as many as the file of keys has.
    pub(crate) fn of_caller(name: &str) -> Self {
        Self::new(CALLER_CALLS, vec![Label::new("caller", name.to_owned())])
    }

    pub(crate) fn increment(&self, code: Code) {
        self.of(code).increment(1);
    }

    fn of(&self, code: Code) -> &Counter {
        self.counters[code as usize].get_or_init(|| {
            let code = Label::new("code", code_name(code));
            counter!(self.name, self.labels.iter().cloned().chain([code]).collect::<Vec<_>>())
        })
    }
}

impl std::fmt::Debug for ByCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ByCode").field("labels", &self.labels).finish_non_exhaustive()
    }
}

/// So many API keys are in force.
pub(crate) fn api_keys(count: usize) {
    gauge!(API_KEYS).set(count as f64);
    for outcome in ["ok", "failed"] {
        counter!(API_KEYS_READS, "outcome" => outcome).increment(0);
    }
}

pub(crate) fn api_keys_read(outcome: &'static str) {
    counter!(API_KEYS_READS, "outcome" => outcome).increment(1);
}

fn describe() {
    describe_counter!(CALLS, "Calls answered; over gRPC, those whose message was protobuf");
    describe_histogram!(CALL_SECONDS, Unit::Seconds, "From a call's head to its answer");
    describe_gauge!(CALLS_IN_FLIGHT, "Calls under way");
    describe_counter!(REFUSED, "Calls refused before they were read");
    describe_counter!(CALLER_CALLS, "Calls by the name of their API key");
    describe_gauge!(API_KEYS, "API keys in force");
    describe_counter!(API_KEYS_READS, "Times that the file of API keys had changed");
    describe_counter!(NOTICES, "Notices, single and in batches, by what became of them");
    describe_counter!(DISPATCHES, "Notices that the backplane took");
    describe_counter!(TARGETS, "Sessions that notices were meant for, as the answers said");
    describe_counter!(WAITS, "Notices whose receipts were waited for, by what came of it");
    describe_gauge!(WAITS_OPEN, "Notices whose receipts are waited for");
    describe_counter!(REPORTS, "Reports heard from gateways");
    describe_histogram!(
        EMITTED_SECONDS,
        Unit::Seconds,
        "From a notice's dispatch to the first report that a session was handed it, where waited for"
    );
    describe_histogram!(
        ACKED_SECONDS,
        Unit::Seconds,
        "From a notice's dispatch to the first report of an acknowledgement, where waited for"
    );
    describe_histogram!(DISPATCH_SECONDS, Unit::Seconds, "One notice's way into the backplane");
    describe_counter!(REAPED_LEASES, "Lapsed leases removed");
    describe_counter!(REAPED_SESSIONS, "Sessions removed with lapsed leases");
    describe_counter!(REAP_ROUNDS, "Looks for lapsed leases, about one a second");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_label_has_its_place() {
        for (nth, rpc) in Rpc::ALL.into_iter().enumerate() {
            assert_eq!(rpc as usize, nth);
        }
        for (nth, goal) in Goal::ALL.into_iter().enumerate() {
            assert_eq!(goal as usize, nth);
        }
        assert_eq!(PROTOCOLS.map(|protocol| protocol as usize), [0, 1]);
        assert_eq!(Code::Unauthenticated as usize, CODES - 1);
        assert_eq!(Dispatch::Volatile as usize, DISPATCH.len() - 1);
        assert_eq!(WaitOutcome::Refused as usize, WAIT_OUTCOMES.len() - 1);
        let metrics = Metrics::new();
        for (code, outcome) in (0..CODES).zip(OUTCOMES.into_iter().cycle()) {
            metrics.notice(outcome, &SessionCounts::default());
            metrics.notice_failed(Code::from(i32::try_from(code).unwrap()));
        }
    }
}
