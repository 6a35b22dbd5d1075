//! How a gateway ends: its clients are sent elsewhere, then what it holds is given back.

use std::{sync::Arc, time::Duration};

use socketioxide::SocketIo;
use tokio::time::timeout;

use crate::{
    context::Context,
    drain,
    edge::{Admission, CloseReason, EdgeHandle, Refusal},
    end_cause::EndCause,
};

/// Kept back from the whole time for what comes after the clients: as much as all steps take
/// together while the backplane does not answer and peers read nothing.
const ENDING: Duration = Duration::from_secs(7);

/// For tasks that are in the middle of something.
const TASKS: Duration = Duration::from_secs(1);

/// For giving back the lease with all that is left under it; else it lapses.
const RELEASE: Duration = Duration::from_millis(2_500);

/// For clients to see their transport close before their connection is cut.
const GRACE: Duration = Duration::from_millis(500);

/// For Socket.IO's own closing, which waits for peers.
const ENGINE: Duration = Duration::from_secs(1);

/// Ends everything within `time`. The process is not ready any more.
///
/// The listener answers 503 until the last moment, since "Invalid namespace" would keep clients
/// away for good. The lease is given back before Socket.IO is closed, which tells no disconnect
/// handler.
pub(crate) async fn leave(
    context: &Arc<Context>,
    admission: &Admission,
    edge: &EdgeHandle,
    io: &SocketIo,
    rate: u32,
    time: Duration,
) {
    admission.refuse(Refusal::Draining);
    context.leaving.cancel();
    drain::drain(context, rate, time - ENDING.min(time / 2)).await;

    context.stop.cancel();
    context.tasks.close();
    let _ = timeout(TASKS, context.tasks.wait()).await;
    if let Some(port) = context.lease.take() {
        match timeout(RELEASE, context.call(port.release())).await {
            Ok(Ok(())) => tracing::info!(id = %port.id(), "lease released"),
            Ok(Err(error)) => tracing::warn!(%error, "lease not released, it will lapse"),
            Err(_) => tracing::warn!("lease not released in time, it will lapse"),
        }
    }
    let sessions = context.sessions.all();
    if !sessions.is_empty() {
        tracing::warn!(sessions = sessions.len(), "closing sessions that did not leave in time");
    }
    for session in sessions {
        session.close(CloseReason::Shutdown);
    }
    edge.shutdown(GRACE).await;
    if timeout(ENGINE, io.close()).await.is_err() {
        tracing::warn!("some sessions did not close in time");
    }
    // Those that no disconnect handler has taken out.
    for session in context.sessions.all() {
        context.depart(&session, EndCause::Closing);
    }
}
