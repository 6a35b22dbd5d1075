//! Removing what lapsed leases left behind.

use std::time::Duration;

use herald_backplane::NotifierPort;

use crate::metrics::Metrics;

/// Reaps about every second, for ever. Several notifiers may: each lease is reaped by one of them,
/// and the jitter keeps them from asking in step.
pub(crate) async fn run(port: NotifierPort, metrics: Metrics) {
    let mut failing = false;
    loop {
        tokio::time::sleep(Duration::from_millis(rand::random_range(750..1_250))).await;
        match port.reap().await {
            Ok(reaped) => {
                failing = false;
                metrics.reaped(reaped);
                if reaped.leases > 0 {
                    let (leases, sessions) = (reaped.leases, reaped.sessions);
                    tracing::info!(leases, sessions, "reaped what lapsed gateways left behind");
                }
            }
            Err(error) => {
                metrics.reap_failed();
                // Once a break: the next rounds fail for the same reason.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(%error, "reaping failed, trying again every second");
                }
            }
        }
    }
}
