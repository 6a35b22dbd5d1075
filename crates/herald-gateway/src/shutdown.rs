//! How a gateway ends: what it holds is given back before its clients are let go.

use std::time::Duration;

use socketioxide::SocketIo;
use tokio::time::timeout;

use crate::{
    context::Context,
    edge::{Admission, CloseReason, EdgeHandle, Refusal},
};

/// For tasks that are in the middle of something.
const TASKS: Duration = Duration::from_secs(1);

/// For clients to see their transport close before their connection is cut.
const GRACE: Duration = Duration::from_millis(500);

/// For Socket.IO's own closing, which waits for peers.
const ENGINE: Duration = Duration::from_secs(2);

/// Ends everything, each step under its deadline. The process is not ready any more.
///
/// The registry goes first and at once: Socket.IO's `close` tells no disconnect handler, and
/// notices for who is on the way to another gateway shall not be sent here. The listener answers
/// 503 until the last moment, since "Invalid namespace" would keep clients away for good.
pub(crate) async fn leave(
    context: &Context,
    admission: &Admission,
    edge: &EdgeHandle,
    io: &SocketIo,
) {
    admission.refuse(Refusal::Draining);
    context.stop.cancel();
    context.tasks.close();
    let _ = timeout(TASKS, context.tasks.wait()).await;
    if let Some(port) = context.lease.take() {
        match context.call(port.release()).await {
            Ok(()) => tracing::info!(id = %port.id(), "lease released"),
            Err(error) => tracing::warn!(%error, "lease not released, it will lapse"),
        }
    }
    let sessions = context.sessions.all();
    tracing::info!(sessions = sessions.len(), "closing sessions");
    for session in sessions {
        session.close(CloseReason::Shutdown);
    }
    edge.shutdown(GRACE).await;
    if timeout(ENGINE, io.close()).await.is_err() {
        tracing::warn!("some sessions did not close in time");
    }
    // Those that no disconnect handler has taken out.
    for session in context.sessions.all() {
        context.depart(&session, "closing");
    }
}
