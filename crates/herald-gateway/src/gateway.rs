//! A gateway, put together: bound, run, ended.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use herald_backplane::{Backplane, LeaseError};
use herald_core::GatewayName;
use herald_service::{AdminPort, BindError, Bound, Process, bind};

use crate::{
    audit,
    auth::Authenticator,
    broadcast::{self, Broadcasts},
    config::GatewayOptions,
    connect,
    context::{Bounds, Context},
    departures,
    edge::{self, Admission, Refusal, RouterOptions, Transports, engine},
    expiry, figures, lease, receipts, shutdown, sweep,
};

/// How long a client may take for sending the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A gateway with its sockets bound. Any number may run in one process.
pub struct Gateway {
    /// Boxed, since whoever runs the gateway would carry them in its future.
    options: Box<GatewayOptions>,
    name: GatewayName,
    backplane: Backplane,
    process: Process,
    clients: Bound,
    admin: Option<Bound>,
}

/// Why a gateway could not go on.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// It got no first lease, and waiting would not help.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// Its listener does not work.
    #[error("cannot serve clients")]
    Serve(#[from] io::Error),
}

impl Gateway {
    /// Binds the gateway's sockets; clients and probes queue up until [`run`](Self::run).
    /// `backplane` is opened from [`GatewayOptions::backplane`], or shared with other services of
    /// the process.
    ///
    /// # Errors
    /// [`BindError`] when an address cannot be listened on.
    pub async fn bind(
        options: GatewayOptions,
        backplane: Backplane,
        process: Process,
    ) -> Result<Self, BindError> {
        let clients = bind("HERALD_GATEWAY_LISTEN", options.listen).await?;
        let admin = match options.admin_listen {
            Some(address) => Some(bind("HERALD_GATEWAY_ADMIN_LISTEN", address).await?),
            None => None,
        };
        let name = options.name_at(clients.address.port());
        Ok(Self { options: Box::new(options), name, backplane, process, clients, admin })
    }

    /// Where clients connect, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.clients.address
    }

    /// Where `/live`, `/ready` and `/metrics` are, if there is such a port.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|bound| bound.address)
    }

    /// What the gateway is called.
    #[must_use]
    pub fn name(&self) -> &GatewayName {
        &self.name
    }

    /// Serves until the process is to shut down. Without a backplane it waits for one, answers
    /// handshakes 503 and is not ready; later on, too, an outage disconnects nobody.
    ///
    /// # Errors
    /// [`LeaseError::NameTaken`] while another gateway of this name is alive, and a backplane
    /// that is unusable, both at the start only.
    pub async fn run(self) -> Result<(), GatewayError> {
        let Self { options, name, backplane, process, clients, admin } = self;
        let lease_condition = process.readiness.condition("lease");
        let channel_condition = process.readiness.condition("channel");
        let conditions = lease::Conditions {
            backplane: process.readiness.condition("backplane"),
            lease: lease_condition.clone(),
        };
        let keys = process.readiness.condition("client keys");
        let admin = admin.map(|bound| AdminPort::serve(bound, &process));

        let (service, io) = engine::build(&options.engine);
        let transports = Transports::new(service.clone(), &options.engine.path);
        let (broadcasts, waiting) = Broadcasts::new();
        let (context, reports) = Context::new(
            name,
            &backplane,
            transports.clone(),
            Authenticator::new(
                &options.auth,
                options.limits.token_bytes,
                options.token_expiry_notice,
            ),
            options.backplane.call_deadline,
            broadcasts,
            Bounds {
                slow_socket_timeout: options.slow_socket_timeout,
                sessions_per_user: options.sessions_per_user,
            },
        );
        let context = Arc::new(context);
        for namespace in &options.namespaces {
            figures::namespace(namespace.as_str());
            connect::install(&io, &context, namespace);
        }
        let figures = context.figures.clone();
        let namespaces = options.namespaces.clone();
        context.spawn(broadcast::run(io.clone(), namespaces, waiting, figures));
        // Not ended with the others: it hands over what they leave.
        context.tasks.spawn(receipts::run(Arc::clone(&context), reports));
        let admission = Admission::new(options.admission);
        admission.refuse(Refusal::BackplaneAway);
        let ear = lease::Ear { condition: channel_condition, admission: admission.clone() };
        let router = edge::router(
            service,
            &RouterOptions {
                path: options.engine.path.clone(),
                admission: admission.clone(),
                transports,
                origins: options.origins.clone(),
                body_timeout: BODY_TIMEOUT,
            },
        );
        if let Some(tls) = options.edge.tls.clone() {
            context.spawn(tls.keep_fresh());
        }
        let edge = edge::serve(clients.listener, router, options.edge.clone())?;
        context.spawn(lease::watch_over(Arc::clone(&context), admission.clone(), conditions));
        let parts = Arc::clone(&context);
        context.spawn(async move { parts.auth.keep_fresh(&keys).await });
        context.spawn(tell_risks(Arc::clone(&context), backplane.clone()));

        let first = lease::first(&context, &backplane, &lease_condition);
        let outcome = match process.shutdown.or(first).await {
            Some(Ok(first)) => {
                let keep = lease::keep(context.clone(), backplane, lease_condition, ear, first);
                context.spawn(keep);
                look_after_sessions(&context, options.audit_interval);
                process.shutdown.requested().await;
                Ok(())
            }
            Some(Err(error)) => Err(error.into()),
            None => Ok(()),
        };
        let time = process.grace;
        shutdown::leave(&context, &admission, &edge, &io, options.drain_rate, time).await;
        if let Some(admin) = admin {
            admin.stop().await;
        }
        outcome
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("name", &self.name)
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

/// Starts what goes on beside the sessions for as long as the gateway lives.
fn look_after_sessions(context: &Arc<Context>, audit_interval: Duration) {
    let parts = Arc::clone(context);
    context.spawn(async move { departures::run(&parts).await });
    let parts = Arc::clone(context);
    context.spawn(async move { sweep::run(&parts).await });
    let parts = Arc::clone(context);
    context.spawn(async move { expiry::run(&parts).await });
    let parts = Arc::clone(context);
    context.spawn(async move { audit::run(&parts, audit_interval).await });
}

/// Says what an operator should know of the backplane, once it can be asked.
async fn tell_risks(context: Arc<Context>, backplane: Backplane) {
    loop {
        context.healthy().await;
        match context.call(backplane.risks()).await {
            Ok(risks) => {
                for risk in risks {
                    tracing::warn!(risk, "the backplane puts notices at risk");
                }
                return;
            }
            Err(error) if error.is_retryable() => tokio::time::sleep(Duration::from_secs(1)).await,
            Err(error) => {
                tracing::error!(%error, "the backplane cannot work");
                return;
            }
        }
    }
}
