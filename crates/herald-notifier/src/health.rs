//! Whether the notifier can do its work: followed, and told to gRPC clients.

use herald_backplane::{Backplane, BackplaneError, Health};
use herald_proto::api::notice_service_server::SERVICE_NAME;
use herald_service::{Condition, Readiness};
use tokio::sync::watch;
use tonic_health::{ServingStatus, server::HealthReporter};

/// Keeps `condition` as the backplane's health is, for ever.
pub(crate) async fn follow_backplane(backplane: Backplane, condition: Condition) {
    let mut health = backplane.health();
    let mut told = Vec::new();
    loop {
        let now = health.borrow_and_update().clone();
        match now {
            Health::Away(reason) => condition.set_not_ready(reason),
            Health::Ready => match risks(&backplane, &mut told).await {
                Ok(()) => condition.set_ready(),
                Err(reason) => condition.set_not_ready(reason),
            },
        }
        if health.changed().await.is_err() {
            condition.set_not_ready("the backplane was closed");
            return;
        }
    }
}

/// Keeps `condition` as the channel is on which receipts are heard, for ever.
pub(crate) async fn follow_channel(mut channel: watch::Receiver<Health>, condition: Condition) {
    loop {
        let now = channel.borrow_and_update().clone();
        match now {
            Health::Ready => condition.set_ready(),
            Health::Away(reason) => condition.set_not_ready(reason),
        }
        if channel.changed().await.is_err() {
            // Nothing further is said of it: it stays as it is.
            return;
        }
    }
}

/// Tells operators what puts notices at risk, unless they were `told` already. The error is why
/// the backplane can never work.
async fn risks(backplane: &Backplane, told: &mut Vec<String>) -> Result<(), String> {
    match backplane.risks().await {
        Ok(risks) => {
            for risk in risks.iter().filter(|risk| !told.contains(risk)) {
                tracing::warn!(risk, "the backplane puts notices at risk");
            }
            *told = risks;
            Ok(())
        }
        Err(error @ BackplaneError::Unusable(_)) => Err(error.to_string()),
        // It went away again: its health will say so.
        Err(error) => {
            tracing::debug!(%error, "cannot tell what puts notices at risk");
            Ok(())
        }
    }
}

/// Keeps the gRPC health service as `readiness` is, for ever.
pub(crate) async fn tell(readiness: Readiness, reporter: HealthReporter) {
    loop {
        set(&reporter, ServingStatus::Serving, readiness.until_ready()).await;
        set(&reporter, ServingStatus::NotServing, readiness.until_not_ready()).await;
    }
}

/// Before readiness says so, and after the notifier was asked to end.
pub(crate) async fn not_serving(reporter: &HealthReporter) {
    set(reporter, ServingStatus::NotServing, async {}).await;
}

/// Ends the streams of those who watch, which would keep their connections open.
pub(crate) async fn end(mut reporter: HealthReporter) {
    for service in ["", SERVICE_NAME] {
        reporter.clear_service_status(service).await;
    }
}

async fn set(reporter: &HealthReporter, status: ServingStatus, when: impl Future<Output = ()>) {
    when.await;
    for service in ["", SERVICE_NAME] {
        reporter.set_service_status(service, status).await;
    }
}
