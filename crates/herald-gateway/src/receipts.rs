//! What becomes of notices that somebody wants to hear of, on its way to their notifiers.
//!
//! Sessions hand in reports and never wait; one task takes what has gathered and reports it at
//! once, one call to the backplane at a time. So reports are few and large when there is much to
//! tell, immediate when there is little, and in order in any case.

use std::{sync::Arc, time::Duration};

use herald_backplane::{Clock, GatewayPort, Outgoing, Receipt, ReceiptState, Report};
use herald_core::{GatewayId, GatewayName, Place, SessionRecord, UserId, limits::LONGEST_WAIT};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use crate::{
    backoff::Backoff,
    context::Context,
    expiry::now_ms,
    figures::{self, AckFigures},
    session::ledger::Due,
};

/// Reports that may wait to be handed over; further ones are dropped.
const WAITING: usize = 16_384;

/// Reports handed over with one call.
const BATCH: usize = 512;

/// Where sessions hand in what they have seen. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Receipts {
    queue: mpsc::Sender<Outgoing>,
    gateway_name: GatewayName,
    clock: Clock,
    acks: Arc<AckFigures>,
}

impl Receipts {
    /// The way in, and what [`run`] takes them from. `clock` is the backplane's.
    pub(crate) fn new(gateway_name: GatewayName, clock: Clock) -> (Self, mpsc::Receiver<Outgoing>) {
        let (queue, waiting) = mpsc::channel(WAITING);
        (Self { queue, gateway_name, clock, acks: Arc::new(AckFigures::new()) }, waiting)
    }

    /// The time by which waits are judged: the backplane's, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// What becomes of acknowledgements.
    pub(crate) fn acks(&self) -> &AckFigures {
        &self.acks
    }

    /// Reports one session's receipt of a notice.
    pub(crate) fn one(&self, user: &UserId, place: Place, due: Due, receipt: Receipt) {
        if !due.is_nothing() {
            self.report(user, place, due, None, vec![receipt]);
        }
    }

    /// Reports on a notice: of all sessions that the user has here if it is the roll call of a
    /// lease.
    pub(crate) fn report(
        &self,
        user: &UserId,
        place: Place,
        due: Due,
        roll_call: Option<GatewayId>,
        receipts: Vec<Receipt>,
    ) {
        let Due { to, keep } = due;
        let report = Report { gateway_name: self.gateway_name.clone(), roll_call, receipts };
        if self.queue.try_send(Outgoing { user: user.clone(), place, to, keep, report }).is_err() {
            figures::reports_dropped("full").increment(1);
        }
    }
}

/// A receipt of something that happens now.
pub(crate) fn now(session: &SessionRecord, state: ReceiptState) -> Receipt {
    Receipt::of(session, state, now_ms())
}

/// Hands over what sessions have seen, until the gateway ends; what has gathered by then goes too.
pub(crate) async fn run(context: Arc<Context>, mut waiting: mpsc::Receiver<Outgoing>) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            biased;
            _ = waiting.recv_many(&mut batch, BATCH) => {}
            () = context.stop.cancelled() => return,
        }
        if batch.is_empty() {
            return;
        }
        hand_over(&context, &batch).await;
        batch.clear();
    }
}

/// As long as anybody can wait for it; only once more when the gateway ends.
async fn hand_over(context: &Context, batch: &[Outgoing]) {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
    let deadline = Instant::now() + LONGEST_WAIT;
    let count = |of: usize| u64::try_from(of).unwrap_or(u64::MAX);
    while let Some(port) = held(context, deadline).await {
        match context.call(port.report(batch)).await {
            Ok(reported) => {
                context.figures.reports_heard.increment(count(reported.heard));
                context.figures.reports_unheard.increment(count(reported.unheard));
                return;
            }
            Err(error) if error.is_retryable() && !context.stop.is_cancelled() => {
                tracing::debug!(%error, "reports not handed over yet");
            }
            Err(error) => {
                tracing::warn!(%error, "reports dropped");
                break;
            }
        }
        let again = async {
            backoff.pause().await;
            context.healthy().await;
        };
        // Whether that is in time is looked at by who needs a lease.
        let _ = context.stop.run_until_cancelled(timeout_at(deadline, again)).await;
    }
    figures::reports_dropped("late").increment(count(batch.len()));
}

/// The lease to report under, if there is one in time.
async fn held(context: &Context, deadline: Instant) -> Option<GatewayPort> {
    if Instant::now() >= deadline {
        return None;
    }
    match context.lease.current() {
        Some(port) => Some(port),
        None => {
            let held = timeout_at(deadline, context.lease.held());
            context.stop.run_until_cancelled(held).await?.ok()
        }
    }
}
