//! The gateway's figures, listed in docs/metrics.md; those of its edge are declared there.

use herald_core::GapReason;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::{audit::Cause, delivery::Doubt, end_cause::EndCause, expiry::now_ms};

/// Handles to the figures of hot paths; the rest is looked up where it happens.
#[derive(Clone)]
pub(crate) struct Figures {
    pub(crate) announced: Counter,
    pub(crate) strays: Counter,
    pub(crate) live: Counter,
    pub(crate) repaired: Counter,
    pub(crate) replayed: Counter,
    pub(crate) volatile: Counter,
    pub(crate) broadcasts: Counter,
    pub(crate) live_seconds: Histogram,
    pub(crate) repaired_seconds: Histogram,
    pub(crate) volatile_seconds: Histogram,
    pub(crate) duplicates: Counter,
    pub(crate) reads_ok: Counter,
    pub(crate) reads_failed: Counter,
    pub(crate) audits_failed: Counter,
    pub(crate) audited: Counter,
    pub(crate) unregistered: Counter,
    pub(crate) behind: Counter,
    pub(crate) strangers: Counter,
    pub(crate) unaudited: Counter,
    pub(crate) audit_seconds: Histogram,
    pub(crate) audit_round_trips: Counter,
    pub(crate) slow_closed: Counter,
    pub(crate) lagging: Gauge,
    pub(crate) refused: Counter,
    pub(crate) unreadable: Counter,
    pub(crate) unregistering: Gauge,
    pub(crate) reports_heard: Counter,
    pub(crate) reports_unheard: Counter,
}

impl Figures {
    /// Declares all figures with the recorder of the process.
    pub(crate) fn new() -> Self {
        describe();
        for doubt in Doubt::ALL {
            doubts(doubt).increment(0);
        }
        for cause in Cause::ALL {
            audits(cause).increment(0);
        }
        declare();
        let emitted = |way| counter!("herald_gateway_emitted_total", "way" => way);
        let emitted_seconds = |way| histogram!("herald_gateway_emitted_seconds", "way" => way);
        let reads = |outcome| counter!("herald_gateway_reads_total", "outcome" => outcome);
        let reports = |outcome| counter!("herald_gateway_reports_total", "outcome" => outcome);
        let found = |finding| counter!("herald_gateway_audit_findings_total", "finding" => finding);
        Self {
            announced: counter!("herald_gateway_announced_total"),
            strays: counter!("herald_gateway_strays_total"),
            live: emitted("live"),
            repaired: emitted("repaired"),
            replayed: emitted("replayed"),
            volatile: emitted("volatile"),
            broadcasts: counter!("herald_gateway_broadcasts_total"),
            live_seconds: emitted_seconds("live"),
            repaired_seconds: emitted_seconds("repaired"),
            volatile_seconds: emitted_seconds("volatile"),
            duplicates: counter!("herald_gateway_duplicates_total"),
            reads_ok: reads("ok"),
            reads_failed: reads("failed"),
            audits_failed: counter!("herald_gateway_audits_failed_total"),
            audited: counter!("herald_gateway_audited_sessions_total"),
            unregistered: found("unregistered"),
            behind: found("behind"),
            strangers: found("stranger"),
            unaudited: found("unreadable"),
            audit_seconds: histogram!("herald_gateway_audit_seconds"),
            audit_round_trips: counter!("herald_gateway_audit_round_trips_total"),
            slow_closed: counter!("herald_gateway_slow_closed_total"),
            lagging: gauge!("herald_gateway_lagging_sessions"),
            refused: counter!("herald_gateway_emits_refused_total"),
            unreadable: counter!("herald_gateway_unreadable_total"),
            unregistering: gauge!("herald_gateway_unregistering_sessions"),
            reports_heard: reports("heard"),
            reports_unheard: reports("unheard"),
        }
    }
}

/// Shows those of a namespace from 0.
pub(crate) fn namespace(namespace: &str) {
    sessions(namespace).increment(0.0);
    connects(namespace).increment(0);
}

/// Sessions of a namespace.
pub(crate) fn sessions(namespace: &str) -> Gauge {
    gauge!("herald_gateway_sessions", "namespace" => namespace.to_owned())
}

/// Sessions of a namespace that were registered.
pub(crate) fn connects(namespace: &str) -> Counter {
    counter!("herald_gateway_connects_total", "namespace" => namespace.to_owned())
}

/// Namespaces refused to a client.
pub(crate) fn refusals(reason: &'static str) -> Counter {
    counter!("herald_gateway_connects_refused_total", "reason" => reason)
}

/// Sessions that ended.
pub(crate) fn disconnects(reason: &'static str) -> Counter {
    counter!("herald_gateway_disconnects_total", "reason" => reason)
}

/// New tokens of sessions that live.
pub(crate) fn renewals(outcome: &'static str) -> Counter {
    counter!("herald_gateway_token_renewals_total", "outcome" => outcome)
}

/// Sessions ended because their user opened too many.
pub(crate) fn evicted() -> Counter {
    counter!("herald_gateway_evicted_total")
}

/// The issuer's keys are to be read.
pub(crate) fn jwks() {
    for outcome in ["ok", "failed"] {
        counter!("herald_gateway_jwks_reads_total", "outcome" => outcome).increment(0);
    }
}

/// The issuer's keys were read.
pub(crate) fn jwks_read(keys: usize) {
    counter!("herald_gateway_jwks_reads_total", "outcome" => "ok").increment(1);
    gauge!("herald_gateway_jwks_keys").set(keys as f64);
    gauge!("herald_gateway_jwks_read_timestamp_seconds").set(now_ms() as f64 / 1000.0);
}

/// They could not be read.
pub(crate) fn jwks_failed() {
    counter!("herald_gateway_jwks_reads_total", "outcome" => "failed").increment(1);
}

/// Tokens that the webhook was to be asked for.
pub(crate) fn webhook(outcome: &'static str) -> Counter {
    counter!("herald_gateway_webhook_total", "outcome" => outcome)
}

/// Sessions that had to read.
pub(crate) fn doubts(reason: Doubt) -> Counter {
    counter!("herald_gateway_doubts_total", "reason" => reason.as_str())
}

/// Audits of all sessions.
pub(crate) fn audits(cause: Cause) -> Counter {
    counter!("herald_gateway_audits_total", "cause" => cause.as_str())
}

/// Gaps told to clients.
pub(crate) fn gaps(reason: GapReason) -> Counter {
    counter!("herald_gateway_gaps_total", "reason" => reason.as_str())
}

/// What is in no inbox and was not given to a socket.
pub(crate) fn dropped(kind: &'static str, reason: &'static str) -> Counter {
    counter!("herald_gateway_dropped_total", "kind" => kind, "reason" => reason)
}

/// Reports that no notifier gets.
pub(crate) fn reports_dropped(reason: &'static str) -> Counter {
    counter!("herald_gateway_reports_dropped_total", "reason" => reason)
}

/// Acknowledgements that were awaited.
pub(crate) struct AckFigures {
    pub(crate) acked: Counter,
    pub(crate) timeout: Counter,
    pub(crate) gone: Counter,
    pub(crate) dropped: Counter,
    pub(crate) seconds: Histogram,
}

impl AckFigures {
    pub(crate) fn new() -> Self {
        let acks = |outcome| counter!("herald_gateway_acks_total", "outcome" => outcome);
        Self {
            acked: acks("acked"),
            timeout: acks("timeout"),
            gone: acks("gone"),
            dropped: acks("dropped"),
            seconds: histogram!("herald_gateway_acked_seconds"),
        }
    }
}

impl std::fmt::Debug for AckFigures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AckFigures").finish_non_exhaustive()
    }
}

/// Time since `then`, both by the backplane's clock as it is known here. `None` before that was
/// heard of.
pub(crate) fn age(then_ms: u64, now_ms: u64) -> Option<f64> {
    (now_ms != 0).then(|| now_ms.saturating_sub(then_ms) as f64 / 1_000.0)
}

/// Leases taken and lost.
pub(crate) fn leases(event: &'static str) -> Counter {
    counter!("herald_gateway_leases_total", "event" => event)
}

/// Shows what counts from 0, so that the first time is seen to be one more.
fn declare() {
    for cause in EndCause::ALL {
        disconnects(cause.as_str()).increment(0);
    }
    for reason in [GapReason::Expired, GapReason::Reset, GapReason::Malformed] {
        gaps(reason).increment(0);
    }
    for reason in ["full", "connecting", "earlier", "gone", "unreadable"] {
        dropped("volatile", reason).increment(0);
    }
    for reason in ["full", "gone", "unreadable", "busy"] {
        dropped("broadcast", reason).increment(0);
    }
    for reason in ["full", "late", "owed", "busy"] {
        reports_dropped(reason).increment(0);
    }
    for event in ["taken", "lost"] {
        leases(event).increment(0);
    }
    for reason in ["backplane_away", "draining", "jwks_away", "webhook_away", "unregistered"] {
        refusals(reason).increment(0);
    }
    for outcome in ["accepted", "refused", "away", "cached"] {
        webhook(outcome).increment(0);
    }
    renewals("renewed").increment(0);
    evicted().increment(0);
}

fn describe() {
    describe_gauge!("herald_gateway_sessions", "Sessions now");
    describe_counter!("herald_gateway_connects_total", "Sessions registered");
    describe_counter!("herald_gateway_connects_refused_total", "Namespaces refused to clients");
    describe_counter!("herald_gateway_disconnects_total", "Sessions that ended");
    describe_counter!("herald_gateway_token_renewals_total", "New tokens of sessions that live");
    describe_counter!("herald_gateway_evicted_total", "Sessions ended, their user had too many");
    describe_counter!("herald_gateway_jwks_reads_total", "Readings of the issuer's keys");
    describe_gauge!("herald_gateway_jwks_keys", "Usable keys of the issuer");
    describe_gauge!(
        "herald_gateway_jwks_read_timestamp_seconds",
        Unit::Seconds,
        "When the issuer's keys were last read"
    );
    describe_counter!("herald_gateway_webhook_total", "Tokens that the webhook was asked for");
    describe_counter!("herald_gateway_announced_total", "Notices heard of on the channel");
    describe_counter!(
        "herald_gateway_strays_total",
        "Notices heard of for users without a session here"
    );
    describe_counter!(
        "herald_gateway_emitted_total",
        "Notices given to sockets, by the way they came"
    );
    describe_histogram!(
        "herald_gateway_emitted_seconds",
        Unit::Seconds,
        "From a notice's acceptance to its socket's queue, by Redis' clock"
    );
    describe_histogram!(
        "herald_gateway_acked_seconds",
        Unit::Seconds,
        "From a notice's acceptance to a client's acknowledgement, where asked for, by Redis' clock"
    );
    describe_counter!("herald_gateway_duplicates_total", "Announcements of what the session had");
    describe_counter!("herald_gateway_doubts_total", "Sessions that had to read their inbox");
    describe_counter!("herald_gateway_reads_total", "Pages asked for from inboxes");
    describe_counter!("herald_gateway_audits_total", "Audits of all sessions");
    describe_counter!(
        "herald_gateway_audits_failed_total",
        "Questions of audits that were not answered, or with an error"
    );
    describe_counter!("herald_gateway_audited_sessions_total", "Sessions compared by audits");
    describe_counter!(
        "herald_gateway_audit_findings_total",
        "Sessions that an audit found otherwise than they should be"
    );
    describe_histogram!(
        "herald_gateway_audit_seconds",
        Unit::Seconds,
        "How long an audit of all sessions took"
    );
    describe_counter!(
        "herald_gateway_audit_round_trips_total",
        "Times that audits asked the backplane"
    );
    describe_counter!(
        "herald_gateway_slow_closed_total",
        "Sessions closed because their socket took nothing for too long"
    );
    describe_gauge!("herald_gateway_lagging_sessions", "Sessions whose socket's queue is full");
    describe_counter!(
        "herald_gateway_emits_refused_total",
        "Packets that a full queue refused, to be repeated"
    );
    describe_counter!("herald_gateway_gaps_total", "Gaps told to clients");
    describe_counter!(
        "herald_gateway_unreadable_total",
        "Notices dropped because their bytes are no JSON"
    );
    describe_counter!("herald_gateway_broadcasts_total", "Broadcasts handed to the sockets here");
    describe_counter!(
        "herald_gateway_dropped_total",
        "Volatile notices and broadcasts that a socket did not get"
    );
    describe_counter!(
        "herald_gateway_reports_total",
        "Receipts, and places of sessions, reported to notifiers"
    );
    describe_counter!(
        "herald_gateway_reports_dropped_total",
        "Receipts, and places of sessions, that no notifier was told of"
    );
    describe_counter!("herald_gateway_acks_total", "Acknowledgements of clients that were awaited");
    describe_gauge!(
        "herald_gateway_unregistering_sessions",
        "Ended sessions still to be removed from the registry"
    );
    describe_counter!("herald_gateway_leases_total", "Leases taken and lost");
}
