//! Brings a session up to its inbox: on connecting, after a doubt, and for a slow socket at the
//! socket's own pace.
//!
//! There is one task for each session that reads, at most one, and it ends when the session is
//! live. Reads are bounded in number; a session that waits for its socket holds none.

use std::{sync::Arc, time::Duration};

use herald_backplane::{BackplaneError, EndReason, Page};
use tokio::{sync::SemaphorePermit, time::Instant};
use tracing::Instrument as _;

use crate::{
    backoff::Backoff,
    context::Context,
    delivery::{Doubt, Next},
    edge::CloseReason,
    emit::Outcome,
    end_cause::EndCause,
    ending, figures,
    session::{Progress, Session},
    trace,
};

/// Notices emitted to one socket before others get their turn.
const BURST: usize = 64;

/// Of its first page a new session is given so many notices at once, and the rest [`SETTLING`] later.
/// Engine.IO pings right after its handshake and ends the session if that ping finds the queue full;
/// namespaces share the queue.
const FIRST_BURST: usize = 32;

/// How long after a session's beginning its first ping is surely on its way.
const SETTLING: Duration = Duration::from_millis(100);

/// How long the registration of a new session may be tried. A client that waits longer is better
/// off coming back: it then meets a 503 or another gateway.
const REGISTRATION_DEADLINE: Duration = Duration::from_secs(10);

/// Starts catching up. Only for who was told to by the session: it has one catch-up at most.
pub(crate) fn start(context: &Arc<Context>, session: Arc<Session>, doubt: Option<Doubt>) {
    if let Some(doubt) = doubt {
        figures::doubts(doubt).increment(1);
    }
    let after_full = doubt == Some(Doubt::Lagging);
    let task = run(Arc::clone(context), session, after_full);
    context.spawn(task);
}

async fn run(context: Arc<Context>, session: Arc<Session>, after_full: bool) {
    let mut room = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
    let deadline = session.is_new().then(|| Instant::now() + REGISTRATION_DEADLINE);
    let settled = deadline.map(|_| Instant::now() + SETTLING);
    let mut first = deadline.is_some();
    if after_full {
        room.pause().await;
    }
    loop {
        let fetched = match deadline.filter(|_| session.is_new()) {
            Some(deadline) => tokio::time::timeout_at(deadline, fetch(&context, &session)).await,
            None => Ok(fetch(&context, &session).await),
        };
        let Ok(fetched) = fetched else {
            tracing::warn!(session = %session.id(), "session not registered in time, its transport is closed");
            figures::refusals("unregistered").increment(1);
            session.give_up();
            session.close(CloseReason::Unregistered);
            return;
        };
        // Ended before, or while it was registered: what was written is taken back.
        let Some(Fetched { page, permit, pause }) = fetched.filter(|_| !session.is_gone()) else {
            context.depart(&session, EndCause::Lost);
            return;
        };
        let span = trace::replay(session.record(), &page);
        let emitted = emit(&context, &session, &page, settled).instrument(span).await;
        if std::mem::take(&mut first) {
            let (context, user) = (Arc::clone(&context), session.user().clone());
            context.clone().spawn(ending::enforce_limit(context, user));
        }
        drop(page);
        // Even a sleep of nothing lasts until the timer's next tick, and would hold the permit.
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        drop(permit);
        match emitted {
            Progress::Done(Next::Live) => return,
            Progress::Done(Next::Read) | Progress::More => {}
            Progress::Gone => {
                context.depart(&session, EndCause::Lost);
                return;
            }
            Progress::Full { some } => {
                if some {
                    room.relax();
                }
                if wait_for_room(&context, &session, &mut room).await == Outcome::Gone {
                    context.depart(&session, EndCause::Lost);
                    return;
                }
            }
        }
    }
}

/// A page, and the place among those who read.
struct Fetched<'c> {
    page: Page,
    permit: SemaphorePermit<'c>,
    /// For how long the place stays taken after that. When all sessions are registered anew, that
    /// has second place to live traffic: it pauses for as long as the backplane took.
    pause: Duration,
}

/// The next page, as long as it takes; `None` once the session has ended.
async fn fetch<'c>(context: &'c Context, session: &Session) -> Option<Fetched<'c>> {
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    let is_new = session.is_new();
    let permits = if is_new { &context.registrations } else { &context.repairs };
    loop {
        let port = context.lease.held().await;
        let permit = permits.acquire().await.ok()?;
        let request = session.begin()?;
        let call = async {
            if request.register {
                let (user, record) = (session.user(), session.record());
                port.register(user, record, request.since, session.mark()).await
            } else {
                port.read(session.user(), request.since).await
            }
        };
        let asked = Instant::now();
        let error = match context.call(call).await {
            Ok(page) => {
                context.figures.reads_ok.increment(1);
                let anew = request.register && !is_new;
                let pause = if anew { asked.elapsed() } else { Duration::ZERO };
                return Some(Fetched { page, permit, pause });
            }
            Err(error) => error,
        };
        drop(permit);
        context.figures.reads_failed.increment(1);
        session.failed(request);
        tracing::debug!(session = %session.id(), %error, "inbox not read yet");
        match error {
            // Since it was let in, while it was not registered: the words were for who was.
            BackplaneError::SessionEnded => {
                ending::end(context, session, EndReason::Kicked, "");
                return None;
            }
            // All sessions are put in doubt under the new one, this one included.
            BackplaneError::LeaseLost(_) => context.lease.other_than(port.id()).await,
            _ => {
                backoff.pause().await;
                context.healthy().await;
            }
        }
    }
}

/// Emits a page, letting others run in between; until `settled` no more than the first burst.
async fn emit(
    context: &Context,
    session: &Arc<Session>,
    page: &Page,
    settled: Option<Instant>,
) -> Progress {
    match session.accept(page, &context.clock, &context.figures) {
        Outcome::Full => return Progress::Full { some: false },
        Outcome::Gone => return Progress::Gone,
        Outcome::Taken | Outcome::Unreadable => {}
    }
    let mut done = 0;
    if let Some(settled) = settled.filter(|settled| Instant::now() < *settled) {
        match session.emit_page(page, &mut done, FIRST_BURST, &context.figures) {
            Progress::More => tokio::time::sleep_until(settled).await,
            other => return other,
        }
    }
    loop {
        match session.emit_page(page, &mut done, BURST, &context.figures) {
            Progress::More => tokio::task::yield_now().await,
            other => return other,
        }
    }
}

/// Tries what the socket refused again and again, until it is taken or the session has ended. A
/// socket that takes nothing for too long is closed: its client comes back with its cursor.
async fn wait_for_room(context: &Context, session: &Arc<Session>, room: &mut Backoff) -> Outcome {
    let (mut sent, mut since) = (session.bytes_sent(), Instant::now());
    let mut closed = false;
    loop {
        room.pause().await;
        if session.is_gone() {
            return Outcome::Gone;
        }
        match session.flush(&context.clock, &context.figures) {
            Outcome::Full => {}
            other => return other,
        }
        // A large packet leaves slowly, but it does leave.
        let now_sent = session.bytes_sent();
        if now_sent != sent {
            (sent, since) = (now_sent, Instant::now());
        }
        let idle = since.elapsed();
        if !closed && idle >= context.bounds.slow_socket_timeout {
            tracing::info!(
                session = %session.id(),
                idle_ms = idle.as_millis(),
                "socket takes nothing, its transport is closed"
            );
            context.figures.slow_closed.increment(1);
            session.close(CloseReason::Lagging);
            // What remains is to see it end.
            closed = true;
        }
    }
}
