//! The admin port: `/live`, `/ready`, `/metrics`, `/log`.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    extract::{ConnectInfo, State},
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::task::JoinHandle;

use crate::{
    launch::Process, listener::Bound, metrics::MetricsHandle, readiness::Readiness,
    shutdown::Shutdown, telemetry::LogFilter,
};

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
    log: Option<LogFilter>,
}

impl AdminPort {
    /// Serves what a process has to tell on a bound socket, in a task of its own.
    pub fn serve(bound: Bound, process: &Process) -> Self {
        let Bound { listener, address } = bound;
        let shutdown = Shutdown::new();
        let metrics = process.metrics.clone();
        let router = router(process).into_make_service_with_connect_info::<SocketAddr>();
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

fn router(process: &Process) -> Router {
    let Process { readiness, metrics, log, .. } = process.clone();
    Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(figures))
        .route("/log", get(log_filter).put(set_log_filter))
        .with_state(Sources { readiness, metrics, log })
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
    // Each admin port has a service of its own, while the other figures are the process'.
    (kind, sources.metrics.render() + &sources.readiness.exposition())
}

type Answer = (StatusCode, String);

async fn log_filter(State(sources): State<Sources>) -> Answer {
    match &sources.log {
        Some(log) => (StatusCode::OK, log.directive() + "\n"),
        None => NOT_OURS.answer(),
    }
}

/// Sets what is logged. Only from this machine: more detail may show more than others should see,
/// and costs.
async fn set_log_filter(
    State(sources): State<Sources>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    directive: String,
) -> Answer {
    if !peer.ip().to_canonical().is_loopback() {
        return ELSEWHERE.answer();
    }
    let Some(log) = &sources.log else { return NOT_OURS.answer() };
    match log.set(directive.trim()) {
        Ok(()) => {
            tracing::info!(directive = log.directive(), "log filter set");
            (StatusCode::OK, log.directive() + "\n")
        }
        Err(error) => {
            let help = "write a level, or target=level, comma-separated";
            (StatusCode::BAD_REQUEST, format!("not a log filter: {error}; {help}\n"))
        }
    }
}

struct Refusal(StatusCode, &'static str);

const NOT_OURS: Refusal =
    Refusal(StatusCode::NOT_FOUND, "what is logged is not decided by this process\n");
const ELSEWHERE: Refusal = Refusal(
    StatusCode::FORBIDDEN,
    "the log filter is set from the machine, or the pod, that the process runs on\n",
);

impl Refusal {
    fn answer(&self) -> Answer {
        (self.0, self.1.to_owned())
    }
}

async fn keep_up(metrics: MetricsHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        metrics.upkeep();
    }
}
