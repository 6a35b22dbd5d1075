//! What the parts of one gateway share.

use std::{future::Future, sync::Arc, time::Duration};

use herald_backplane::{Backplane, BackplaneError, Clock, Health, Outgoing};
use herald_core::GatewayName;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    audit::Audits,
    auth::Authenticator,
    broadcast::Broadcasts,
    catch_up,
    delivery::Doubt,
    departures::Departures,
    edge::Transports,
    end_cause::EndCause,
    expiry::Expiries,
    figures::{self, Figures},
    lease::Lease,
    places,
    receipts::Receipts,
    session::Session,
    sessions::Sessions,
};

/// Reads of inboxes under way at a time, for new sessions and, apart from them, for those that
/// caught a doubt: ten thousand doubts at once must not keep anybody from connecting.
const READS: usize = 64;

/// What the parts of one gateway share. Two gateways in a process have one each.
pub(crate) struct Context {
    pub(crate) name: GatewayName,
    pub(crate) sessions: Sessions,
    pub(crate) departures: Departures,
    pub(crate) broadcasts: Broadcasts,
    pub(crate) audits: Audits,
    pub(crate) receipts: Receipts,
    pub(crate) lease: Lease,
    pub(crate) health: watch::Receiver<Health>,
    /// Says whether a notice has expired that waits here.
    pub(crate) clock: Clock,
    pub(crate) transports: Transports,
    pub(crate) auth: Authenticator,
    /// When which session's token ends.
    pub(crate) expiries: Expiries,
    pub(crate) figures: Figures,
    /// For the first read of a session.
    pub(crate) registrations: Semaphore,
    /// For all others.
    pub(crate) repairs: Semaphore,
    /// For telling where sessions stand.
    pub(crate) answers: Arc<Semaphore>,
    /// The longest that one call to the backplane may take, with a margin to its own deadline.
    pub(crate) call_deadline: Duration,
    pub(crate) bounds: Bounds,
    pub(crate) tasks: TaskTracker,
    /// The gateway leaves: who connects now is to go elsewhere.
    pub(crate) leaving: CancellationToken,
    /// It has left: all tasks end.
    pub(crate) stop: CancellationToken,
}

/// What a client and a user may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// How long a socket may take nothing while there is something for it.
    pub(crate) slow_socket_timeout: Duration,
    /// Sessions of a user, on all gateways.
    pub(crate) sessions_per_user: usize,
}

impl Context {
    /// With the reports that [`receipts::run`](crate::receipts::run) is to hand over.
    pub(crate) fn new(
        name: GatewayName,
        backplane: &Backplane,
        transports: Transports,
        auth: Authenticator,
        call_deadline: Duration,
        broadcasts: Broadcasts,
        bounds: Bounds,
    ) -> (Self, mpsc::Receiver<Outgoing>) {
        let (receipts, reports) = Receipts::new(name.clone(), backplane.clock());
        let context = Self {
            name,
            sessions: Sessions::new(),
            departures: Departures::default(),
            broadcasts,
            audits: Audits::default(),
            receipts,
            lease: Lease::default(),
            health: backplane.health(),
            clock: backplane.clock(),
            transports,
            expiries: Expiries::new(auth.expiry_notice()),
            auth,
            figures: Figures::new(),
            registrations: Semaphore::new(READS),
            repairs: Semaphore::new(READS),
            answers: Arc::new(Semaphore::new(places::ANSWERS)),
            call_deadline: call_deadline + Duration::from_millis(500),
            bounds,
            tasks: TaskTracker::new(),
            leaving: CancellationToken::new(),
            stop: CancellationToken::new(),
        };
        (context, reports)
    }

    /// Runs `future` in a task that ends with the gateway.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(future).await;
        });
    }

    /// A call to the backplane, never without a deadline whatever is below.
    pub(crate) async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, BackplaneError>>,
    ) -> Result<T, BackplaneError> {
        match tokio::time::timeout(self.call_deadline, call).await {
            Ok(answer) => answer,
            Err(_) => Err(BackplaneError::Unknown("no answer in time".into())),
        }
    }

    /// Waits until the backplane answers.
    pub(crate) async fn healthy(&self) {
        let mut health = self.health.clone();
        // The sender outlives us in the backplane; if it did not, there is nothing to wait for.
        let _ = health.wait_for(|health| *health == Health::Ready).await;
    }

    /// Puts all sessions in doubt: each is registered anew and read from its own place.
    pub(crate) async fn doubt_all(self: &Arc<Self>, doubt: Doubt) {
        let sessions = self.sessions.all();
        if sessions.is_empty() {
            return;
        }
        tracing::info!(
            reason = doubt.as_str(),
            sessions = sessions.len(),
            "all sessions are in doubt"
        );
        for (nth, session) in sessions.into_iter().enumerate() {
            if let Some(doubt) = session.doubt(doubt) {
                catch_up::start(self, session, Some(doubt));
            }
            if nth % 256 == 255 {
                tokio::task::yield_now().await;
            }
        }
    }

    /// A session has ended: takes it out, here and in the registry. Only the first `cause` is
    /// counted; what a registration under way may yet have written is taken out each time.
    pub(crate) fn depart(&self, session: &Session, cause: EndCause) {
        if self.sessions.remove(session).is_some() {
            figures::disconnects(cause.as_str()).increment(1);
        }
        session.leave(cause, &self.figures);
        self.expiries.forget(session.id());
        if session.may_be_registered() {
            self.departures.push(session);
        }
    }
}
