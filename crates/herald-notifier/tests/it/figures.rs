//! What `/metrics` tells. The recorder is one for the process, so figures are only seen to grow.

use std::time::Duration;

use herald_backplane::BackplaneOptions;
use herald_notifier::Options;
use herald_service::MetricsHandle;

use crate::harness::{Herald, connect, eventually, notice};

/// The sum of the series that begin with `name` and have all of `labels`.
fn figure(text: &str, name: &str, labels: &[&str]) -> f64 {
    let series = text
        .lines()
        .filter(|line| line.starts_with(name) && labels.iter().all(|label| line.contains(label)));
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn calls_and_notices_are_counted_by_what_became_of_them() {
    let metrics = MetricsHandle::install().unwrap();
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    grpc.send_notice(notice("a", "1")).await.unwrap();
    grpc.send_notice(notice("", "1")).await.unwrap_err();
    herald.post("/v1/notices", "{}").await;
    let text = metrics.render();
    for (name, labels) in [
        ("herald_notifier_calls_total", &["SendNotice", "grpc", "\"OK\""][..]),
        ("herald_notifier_calls_total", &["SendNotice", "grpc", "INVALID_ARGUMENT"]),
        ("herald_notifier_calls_total", &["SendNotice", "http", "INVALID_ARGUMENT"]),
        ("herald_notifier_notices_total", &["OFFLINE", "\"OK\""]),
        ("herald_notifier_notices_total", &["NONE", "INVALID_ARGUMENT"]),
        ("herald_notifier_call_seconds_count", &["SendNotice", "grpc"]),
        ("herald_notifier_dispatch_seconds_count", &[]),
    ] {
        assert!(figure(&text, name, labels) >= 1.0, "{name} {labels:?}: {text}");
    }
    assert!(text.contains("herald_notifier_calls_in_flight{protocol=\"grpc\"}"), "{text}");
}

#[tokio::test]
async fn what_a_lapsed_gateway_left_is_reaped_and_counted() {
    let metrics = MetricsHandle::install().unwrap();
    let backplane = BackplaneOptions {
        lease: Duration::from_millis(300),
        renew_every: Duration::from_millis(100),
        ..BackplaneOptions::default()
    };
    let herald = Herald::start_with(Options::default(), &backplane).await;
    let (gateway, events) = herald.gateway("gateway-1:8013").await;
    connect(&gateway, "gateway-1:8013", "alice", 1_000).await;
    // As in a crash: nothing is released.
    drop((gateway, events));
    eventually(|| async {
        let text = metrics.render();
        let leases = figure(&text, "herald_notifier_reaped_leases_total", &[]);
        let sessions = figure(&text, "herald_notifier_reaped_sessions_total", &[]);
        (leases >= 1.0 && sessions >= 1.0).then_some(())
    })
    .await;
}
