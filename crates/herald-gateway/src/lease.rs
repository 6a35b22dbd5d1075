//! The gateway's lease: taken at start, taken anew when it is lost.
//!
//! Losing it disconnects nobody. A gateway that was paused for too long, or whose registry was
//! emptied, takes a new lease with a fresh id, and registers its sessions under it, each from its
//! own place.

use std::{sync::Arc, time::Duration};

use herald_backplane::{Backplane, GatewayEvents, GatewayPort, Health, LeaseError};
use herald_core::GatewayId;
use herald_service::Condition;
use tokio::sync::watch;

use crate::{
    backoff::Backoff,
    channel,
    context::Context,
    delivery::Doubt,
    edge::{Admission, Refusal},
    figures,
};

/// The lease as the rest of the gateway sees it: held or not.
#[derive(Debug)]
pub(crate) struct Lease(watch::Sender<Option<GatewayPort>>);

impl Default for Lease {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Lease {
    /// The port of the lease held now.
    pub(crate) fn current(&self) -> Option<GatewayPort> {
        self.0.borrow().clone()
    }

    /// The port of the lease, waiting until there is one. The wait has the deadline of whoever
    /// waits.
    pub(crate) async fn held(&self) -> GatewayPort {
        let mut held = self.0.subscribe();
        loop {
            if let Some(port) = held.borrow_and_update().clone() {
                return port;
            }
            // The sender is ours, so it cannot be gone.
            let _ = held.changed().await;
        }
    }

    /// Waits until the lease `id` is not the one held, and another one is.
    pub(crate) async fn other_than(&self, id: GatewayId) {
        let mut held = self.0.subscribe();
        let is_other =
            |port: &Option<GatewayPort>| port.as_ref().is_some_and(|port| port.id() != id);
        let _ = held.wait_for(is_other).await;
    }

    /// Gives the port out of hand, for whoever releases it.
    pub(crate) fn take(&self) -> Option<GatewayPort> {
        self.0.send_replace(None)
    }

    fn set(&self, port: GatewayPort) {
        self.0.send_replace(Some(port));
    }
}

/// Takes the first lease, waiting for the backplane as long as it takes.
///
/// # Errors
/// What waiting does not mend: the name is taken, or the backplane is unusable.
pub(crate) async fn first(
    context: &Context,
    backplane: &Backplane,
    condition: &Condition,
) -> Result<(GatewayPort, GatewayEvents), LeaseError> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        match backplane.gateway(&context.name).await {
            Err(LeaseError::Backplane(error)) if error.is_retryable() => {
                tracing::debug!(%error, "no lease yet");
                condition.set_not_ready("waiting for the backplane");
                backoff.pause().await;
            }
            result => return result,
        }
    }
}

/// Lives with leases, one after the other, until the gateway stops.
pub(crate) async fn keep(
    context: Arc<Context>,
    backplane: Backplane,
    condition: Condition,
    ear: Ear,
    first: (GatewayPort, GatewayEvents),
) {
    let (mut port, mut events) = first;
    loop {
        let id = port.id();
        tracing::info!(gateway = %context.name, %id, "lease taken");
        figures::leases("taken").increment(1);
        // The sessions of the lease before went with it, those that had ended included.
        context.departures.clear();
        context.lease.set(port);
        context.doubt_all(Doubt::Lease).await;

        tokio::select! {
            () = ear.follow(events.channel()) => {}
            () = channel::consume(&context, id, &mut events) => {}
        }

        context.lease.take();
        tracing::warn!(gateway = %context.name, %id, "lease lost");
        figures::leases("lost").increment(1);
        (port, events) = again(&context, &backplane, &condition).await;
    }
}

/// Takes another lease, whatever it takes: sessions are waiting for it.
async fn again(
    context: &Context,
    backplane: &Backplane,
    condition: &Condition,
) -> (GatewayPort, GatewayEvents) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        match backplane.gateway(&context.name).await {
            Ok(lease) => return lease,
            Err(error) => {
                condition.set_not_ready(format!("no lease: {error}"));
                backoff.pause().await;
            }
        }
    }
}

/// Whether the gateway hears what it sends itself, for operators and the door.
pub(crate) struct Ear {
    pub(crate) condition: Condition,
    pub(crate) admission: Admission,
}

impl Ear {
    /// Tells what becomes of a channel. Never ends.
    async fn follow(&self, mut channel: watch::Receiver<Health>) {
        loop {
            let now = channel.borrow_and_update().clone();
            match now {
                Health::Ready => {
                    self.admission.allow(Refusal::Deaf);
                    self.condition.set_ready();
                }
                Health::Away(reason) => {
                    self.admission.refuse(Refusal::Deaf);
                    self.condition.set_not_ready(reason);
                }
            }
            if channel.changed().await.is_err() {
                // Nobody has anything to say of it any more: it ends with its lease.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// The conditions that tell operators of the backplane and the lease.
pub(crate) struct Conditions {
    pub(crate) backplane: Condition,
    pub(crate) lease: Condition,
}

/// Keeps new clients out while no session could be registered, and says so. The door opens before
/// the gateway is said to be ready, and closes before it is said not to be.
pub(crate) async fn watch_over(context: Arc<Context>, admission: Admission, tell: Conditions) {
    let mut health = context.health.clone();
    let mut lease = context.lease.0.subscribe();
    loop {
        let state = health.borrow_and_update().clone();
        let held = lease.borrow_and_update().is_some();
        if held && state == Health::Ready {
            admission.allow(Refusal::BackplaneAway);
        } else {
            admission.refuse(Refusal::BackplaneAway);
        }
        match state {
            Health::Ready => tell.backplane.set_ready(),
            Health::Away(reason) => tell.backplane.set_not_ready(reason),
        }
        if held {
            tell.lease.set_ready();
        } else {
            tell.lease.set_not_ready("taking a lease");
        }
        let changed = tokio::select! {
            changed = health.changed() => changed,
            changed = lease.changed() => changed,
        };
        if changed.is_err() {
            // The backplane has ended, and the gateway with it.
            return;
        }
    }
}
