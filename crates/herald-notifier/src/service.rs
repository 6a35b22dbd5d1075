//! A notifier, from its sockets to its end.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use herald_backplane::{Backplane, BackplaneOptions};
use herald_service::{
    AdminPort, BindError, Bound, Condition, DeadlineExceeded, Failure, Process, Readiness,
    Shutdown, Tls, bind,
};
use tokio::task::JoinSet;
use tonic_health::server::HealthReporter;

use crate::{
    accept::Door,
    admission::Admission,
    call::Context,
    callers::Callers,
    config::{ADMIN_LISTEN, GRPC_LISTEN, HTTP_LISTEN, Options, ProcessOptions},
    grpc, health, http,
    metrics::Metrics,
    reaper,
    receipts::Hub,
    validate::Limits,
};

/// Between saying that it ends and closing the door: who watches its health, or finds it through
/// somebody who does, sends elsewhere by then.
const LAST_CALL: Duration = Duration::from_secs(1);

/// A notifier whose sockets are bound and not yet served. Any number of them can live in one
/// process.
#[derive(Debug)]
pub struct Notifier {
    options: Options,
    grpc: Bound,
    http: Bound,
    backplane: Backplane,
    readiness: Readiness,
    backplane_ready: Condition,
    hearing: Condition,
    accepting: Condition,
}

/// Why a notifier ended other than asked to. Not retryable: a new one has to be bound.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The gRPC server failed.
    #[error("cannot serve grpc")]
    Grpc(#[from] tonic::transport::Error),
    /// Calls were still under way when the time to end was over; they were cut off.
    #[error("{calls} calls were cut off, ending was {source}")]
    CutOff {
        /// How many.
        calls: usize,
        /// The time they had.
        source: DeadlineExceeded,
    },
}

impl Notifier {
    /// Binds the sockets, and declares the conditions `backplane`, `channel` and `notifier` on `readiness`.
    ///
    /// # Errors
    /// [`BindError`] when an address cannot be listened on.
    pub async fn bind(
        options: Options,
        backplane: Backplane,
        readiness: &Readiness,
    ) -> Result<Self, BindError> {
        let backplane_ready = readiness.condition("backplane");
        let hearing = readiness.condition("channel");
        let accepting = readiness.condition("notifier");
        let grpc = bind(GRPC_LISTEN, options.grpc_listen).await?;
        let http = bind(HTTP_LISTEN, options.http_listen).await?;
        let readiness = readiness.clone();
        Ok(Self { options, grpc, http, backplane, readiness, backplane_ready, hearing, accepting })
    }

    /// Where gRPC is served, with the real port.
    #[must_use]
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc.address
    }

    /// Where HTTP is served, with the real port.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.http.address
    }

    /// Serves until `shutdown` is requested; then says so to whoever looks, closes the door a second
    /// later, lets the calls under way end within [`Options::drain_deadline`], and returns. The
    /// backplane may be away at any time, at the start too: calls are then refused with UNAVAILABLE.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(self, shutdown: Shutdown) -> Result<(), RunError> {
        let Self { options, grpc, http, backplane, readiness, .. } = self;
        let (backplane_ready, hearing, accepting) =
            (self.backplane_ready, self.hearing, self.accepting);
        let metrics = Metrics::new();
        let hurry = options.drain_deadline / 2;
        let (hub, reports) = Hub::open(
            backplane.notifier(),
            options.max_waits,
            shutdown.clone(),
            hurry,
            metrics.clone(),
        );
        let context = Arc::new(Context {
            port: backplane.notifier(),
            hub: Arc::clone(&hub),
            metrics: metrics.clone(),
            limits: Limits::of(&options),
            call_deadline: options.call_deadline,
        });
        let admission = Admission::new(options.max_calls, metrics.clone());
        let reporter = HealthReporter::new();
        health::not_serving(&reporter).await;

        // Aborted when they are dropped, however it ends. Receipts are heard to the end.
        let mut listening = JoinSet::new();
        let channel = reports.channel();
        listening.spawn(hub.run(reports));
        let mut background = JoinSet::new();
        background.spawn(health::follow_channel(channel, hearing));
        background.spawn(reaper::run(backplane.notifier(), metrics.clone()));
        background.spawn(health::follow_backplane(backplane, backplane_ready));
        background.spawn(health::tell(readiness, reporter.clone()));

        let closing = Shutdown::new();
        let callers = Callers::new(options.api_keys.as_ref(), options.tls.as_ref(), metrics);
        let tls = options.tls.as_ref().map(Tls::new);
        if let Some(tls) = tls.clone() {
            background.spawn(tls.keep_fresh());
        }
        background.spawn(callers.clone().keep_fresh());
        let router =
            http::router(Arc::clone(&context), admission.clone(), callers.clone(), &options);
        let http = http::connection::serve(
            Door { listener: http.listener, tls: tls.clone() },
            router,
            options.head_timeout,
            &closing,
        );
        let grpc = grpc::serve(
            Door { listener: grpc.listener, tls },
            context,
            admission.clone(),
            callers,
            reporter.clone(),
            &options,
            &closing,
        );
        let leave = async {
            shutdown.requested().await;
            accepting.set_not_ready("shutting down");
            background.shutdown().await;
            health::not_serving(&reporter).await;
            tokio::time::sleep(LAST_CALL).await;
            closing.request();
            health::end(reporter.clone()).await;
        };
        accepting.set_ready();
        let serve = Box::pin(async { tokio::join!(http, grpc, leave).1 });
        match shutdown.grace(LAST_CALL + options.drain_deadline, serve).await {
            Ok(served) => Ok(served?),
            Err(source) => match admission.in_flight() {
                0 => {
                    tracing::info!("closing connections that their clients keep open");
                    Ok(())
                }
                calls => Err(RunError::CutOff { calls, source }),
            },
        }
    }
}

/// Serves a notifier with its admin port: the body of `main`.
///
/// # Errors
/// Whatever keeps it from starting, and [`RunError`].
pub async fn serve(options: ProcessOptions, process: Process) -> Result<(), Failure> {
    let ProcessOptions { notifier, backplane, admin_listen } = options;
    warn_if_alone(&backplane);
    let admin = bind(ADMIN_LISTEN, admin_listen).await?;
    let backplane = Backplane::open(&backplane).map_err(Failure::bad_configuration)?;
    let notifier = Notifier::bind(notifier, backplane, &process.readiness).await?;
    let admin = AdminPort::serve(admin, &process);
    let outcome = notifier.run(process.shutdown).await;
    admin.stop().await;
    Ok(outcome?)
}

fn warn_if_alone(backplane: &BackplaneOptions) {
    if backplane.url.starts_with("memory:") {
        tracing::warn!(
            "the backplane is this process's own, so notices reach no gateway; \
             give all services the same redis:// address"
        );
    }
}
