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
//! | `herald_notifier_dispatch_seconds` | | one notice's way into the backplane |
//! | `herald_notifier_reaped_leases_total` | | lapsed leases removed |
//! | `herald_notifier_reaped_sessions_total` | | sessions that went with them |
//! | `herald_notifier_reap_failures_total` | | rounds that failed |

use std::time::Duration;

use herald_backplane::Reaped;
use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use tonic::Code;

use crate::error::code_name;

const CALLS: &str = "herald_notifier_calls_total";
const CALL_SECONDS: &str = "herald_notifier_call_seconds";
const CALLS_IN_FLIGHT: &str = "herald_notifier_calls_in_flight";
const REFUSED: &str = "herald_notifier_refused_total";
const CALLER_CALLS: &str = "herald_notifier_caller_calls_total";
const API_KEYS: &str = "herald_notifier_api_keys";
const API_KEYS_READS: &str = "herald_notifier_api_keys_reads_total";
const NOTICES: &str = "herald_notifier_notices_total";
const TARGETS: &str = "herald_notifier_targets_total";
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

pub(crate) fn targets(accepted: u32, unheard: u32) {
    for (state, count) in [("accepted", accepted), ("unheard", unheard)] {
        if count > 0 {
            counter!(TARGETS, "state" => state).increment(count.into());
        }
    }
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
