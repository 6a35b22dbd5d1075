//! The notifier's figures.
//!
//! | name | labels | |
//! |---|---|---|
//! | `herald_notifier_calls_total` | `rpc`, `protocol`, `code` | calls answered (over gRPC, those whose message was protobuf) |
//! | `herald_notifier_call_seconds` | `rpc`, `protocol` | from a call's head to its answer |
//! | `herald_notifier_calls_in_flight` | `protocol` | calls under way |
//! | `herald_notifier_refused_total` | `protocol`, `reason` | calls refused before they were read; `busy`, `unauthenticated` |
//! | `herald_notifier_caller_calls_total` | `caller`, `code` | calls by the name of their API key |
//! | `herald_notifier_api_keys` | | API keys in force |
//! | `herald_notifier_api_keys_reads_total` | `outcome` | times that the file of API keys had changed: `ok`, `failed` (the keys stay as they are) |
//! | `herald_notifier_notices_total` | `outcome`, `code` | notices, single and in batches; the outcome of a failed one is `NONE` |
//! | `herald_notifier_targets_total` | `state` | sessions that notices were meant for, by what the answer said of them |
//! | `herald_notifier_waits_total` | `wait_for`, `outcome` | notices whose receipts were waited for: `satisfied`, `nobody` (there was no session), `unsatisfied` in time, `refused` (too many) |
//! | `herald_notifier_waits_open` | | those waited for now |
//! | `herald_notifier_reports_total` | `outcome` | reports heard: `awaited`, `late` (nobody waits any more) |
//! | `herald_notifier_emitted_seconds` | | from dispatch to the first report that a session was handed the notice, where that is waited for |
//! | `herald_notifier_acked_seconds` | | the same to the first acknowledgement |
//! | `herald_notifier_dispatch_seconds` | | one notice's way into the backplane |
//! | `herald_notifier_reaped_leases_total` | | lapsed leases removed |
//! | `herald_notifier_reaped_sessions_total` | | sessions that went with them |
//! | `herald_notifier_reap_failures_total` | | rounds that failed |

use std::time::Duration;

use herald_backplane::Reaped;
use herald_proto::api::SessionCounts;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use tonic::Code;

use crate::{error::code_name, receipts::Goal};

const CALLS: &str = "herald_notifier_calls_total";
const CALL_SECONDS: &str = "herald_notifier_call_seconds";
const CALLS_IN_FLIGHT: &str = "herald_notifier_calls_in_flight";
const REFUSED: &str = "herald_notifier_refused_total";
const CALLER_CALLS: &str = "herald_notifier_caller_calls_total";
const API_KEYS: &str = "herald_notifier_api_keys";
const API_KEYS_READS: &str = "herald_notifier_api_keys_reads_total";
const NOTICES: &str = "herald_notifier_notices_total";
const TARGETS: &str = "herald_notifier_targets_total";
const WAITS: &str = "herald_notifier_waits_total";
const WAITS_OPEN: &str = "herald_notifier_waits_open";
const REPORTS: &str = "herald_notifier_reports_total";
const EMITTED_SECONDS: &str = "herald_notifier_emitted_seconds";
const ACKED_SECONDS: &str = "herald_notifier_acked_seconds";
const DISPATCH_SECONDS: &str = "herald_notifier_dispatch_seconds";
const REAPED_LEASES: &str = "herald_notifier_reaped_leases_total";
const REAPED_SESSIONS: &str = "herald_notifier_reaped_sessions_total";
const REAP_FAILURES: &str = "herald_notifier_reap_failures_total";

/// Describes the figures to the recorder. Harmless when repeated.
pub(crate) fn describe() {
    describe_counter!(CALLS, "calls answered");
    describe_histogram!(CALL_SECONDS, Unit::Seconds, "time to a call's answer");
    describe_gauge!(CALLS_IN_FLIGHT, "calls under way");
    describe_counter!(REFUSED, "calls refused before they were read");
    describe_counter!(CALLER_CALLS, "calls by the name of their API key");
    describe_gauge!(API_KEYS, "API keys in force");
    describe_counter!(API_KEYS_READS, "times that the file of API keys had changed");
    describe_counter!(NOTICES, "notices, single and in batches, by what became of them");
    describe_counter!(TARGETS, "sessions that notices were meant for");
    describe_counter!(WAITS, "notices whose receipts were waited for, by what came of it");
    describe_gauge!(WAITS_OPEN, "notices whose receipts are waited for");
    describe_counter!(REPORTS, "reports heard from gateways");
    describe_histogram!(EMITTED_SECONDS, Unit::Seconds, "dispatch to the first hand-over known");
    describe_histogram!(ACKED_SECONDS, Unit::Seconds, "dispatch to the first acknowledgement");
    describe_histogram!(DISPATCH_SECONDS, Unit::Seconds, "a notice's way into the backplane");
    describe_counter!(REAPED_LEASES, "lapsed leases removed");
    describe_counter!(REAPED_SESSIONS, "sessions removed with lapsed leases");
    describe_counter!(REAP_FAILURES, "rounds of reaping that failed");
}

pub(crate) fn call(rpc: &'static str, protocol: &'static str, code: Code, took: Duration) {
    let code = code_name(code);
    counter!(CALLS, "rpc" => rpc, "protocol" => protocol, "code" => code).increment(1);
    histogram!(CALL_SECONDS, "rpc" => rpc, "protocol" => protocol).record(took);
}

pub(crate) fn calls_in_flight(protocol: &'static str, change: f64) {
    gauge!(CALLS_IN_FLIGHT, "protocol" => protocol).increment(change);
}

pub(crate) fn refused(protocol: &'static str, reason: &'static str) {
    counter!(REFUSED, "protocol" => protocol, "reason" => reason).increment(1);
}

/// A call of a caller that has a name: there are as many as the file of keys has.
pub(crate) fn caller(name: &str, code: Code) {
    if !name.is_empty() {
        counter!(CALLER_CALLS, "caller" => name.to_owned(), "code" => code_name(code)).increment(1);
    }
}

pub(crate) fn api_keys(count: usize) {
    gauge!(API_KEYS).set(count as f64);
}

pub(crate) fn api_keys_read(outcome: &'static str) {
    counter!(API_KEYS_READS, "outcome" => outcome).increment(1);
}

pub(crate) fn notice(outcome: &'static str, code: Code) {
    counter!(NOTICES, "outcome" => outcome, "code" => code_name(code)).increment(1);
}

pub(crate) fn targets(counts: &SessionCounts) {
    let SessionCounts { accepted, emitted, acked, lagging, gone, unheard, unknown } = *counts;
    for (state, count) in [
        ("accepted", accepted),
        ("emitted", emitted),
        ("acked", acked),
        ("lagging", lagging),
        ("gone", gone),
        ("unheard", unheard),
        ("unknown", unknown),
    ] {
        if count > 0 {
            counter!(TARGETS, "state" => state).increment(count.into());
        }
    }
}

pub(crate) fn wait(goal: Goal, outcome: &'static str) {
    counter!(WAITS, "wait_for" => goal.name(), "outcome" => outcome).increment(1);
}

pub(crate) fn waiting(change: f64) {
    gauge!(WAITS_OPEN).increment(change);
}

pub(crate) fn report(awaited: bool) {
    counter!(REPORTS, "outcome" => if awaited { "awaited" } else { "late" }).increment(1);
}

pub(crate) fn emitted(after: Duration) {
    histogram!(EMITTED_SECONDS).record(after);
}

pub(crate) fn acked(after: Duration) {
    histogram!(ACKED_SECONDS).record(after);
}

pub(crate) fn dispatched(took: Duration) {
    histogram!(DISPATCH_SECONDS).record(took);
}

pub(crate) fn reaped(reaped: Reaped) {
    counter!(REAPED_LEASES).increment(reaped.leases as u64);
    counter!(REAPED_SESSIONS).increment(reaped.sessions as u64);
}

pub(crate) fn reap_failed() {
    counter!(REAP_FAILURES).increment(1);
}
