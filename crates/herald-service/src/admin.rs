//! The admin port: `/live`, `/ready`, `/metrics`.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Json, Router, extract::State, http::StatusCode, http::header, response::IntoResponse,
    routing::get,
};
use tokio::task::JoinHandle;

use crate::{listener::Bound, metrics::MetricsHandle, readiness::Readiness, shutdown::Shutdown};

const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// A running admin port. It serves until [`stop`](Self::stop), or until it is dropped: while a
/// process drains it must still be seen alive and not ready, so it ends last.
#[derive(Debug)]
pub struct AdminPort {
    address: SocketAddr,
    task: JoinHandle<()>,
    shutdown: Shutdown,
}

#[derive(Clone)]
struct Sources {
    readiness: Readiness,
    metrics: MetricsHandle,
}

impl AdminPort {
    /// Serves on a bound socket, in a task of its own.
    pub fn serve(bound: Bound, readiness: Readiness, metrics: MetricsHandle) -> Self {
        let Bound { listener, address } = bound;
        let shutdown = Shutdown::new();
        let router = router(readiness, metrics.clone());
        let until = shutdown.requested_owned();
        let task = tokio::spawn(async move {
            // It never fails: axum retries what goes wrong when accepting.
            let serve = axum::serve(listener, router).with_graceful_shutdown(until);
            tokio::select! {
                _ = serve => {}
                () = keep_up(metrics) => {}
            }
        });
        Self { address, task, shutdown }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops, giving answers under way up to a second.
    pub async fn stop(mut self) {
        self.shutdown.request();
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.task).await;
    }
}

impl Drop for AdminPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The routes alone, for a service that serves them elsewhere.
pub fn router(readiness: Readiness, metrics: MetricsHandle) -> Router {
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(figures))
        .with_state(Sources { readiness, metrics })
}

/// Answers as long as the process can answer at all; looks at nothing, since a restart cures no
/// dependency.
async fn live() -> &'static str {
    "alive\n"
}

async fn ready(State(sources): State<Sources>) -> impl IntoResponse {
    let report = sources.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}

async fn figures(State(sources): State<Sources>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, sources.metrics.render())
}

async fn keep_up(metrics: MetricsHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        metrics.upkeep();
    }
}
