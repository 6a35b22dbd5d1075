//! Finds sessions whose end nobody told.
//!
//! Socket.IO calls no disconnect handler for a client that leaves between being told that it is
//! connected and the handler being set. Most of those are noticed when the first packet is
//! refused; this finds the rest.

use std::time::Duration;

use crate::context::Context;

const EVERY: Duration = Duration::from_secs(30);

/// Sessions looked at before other tasks get their turn.
const BURST: usize = 256;

pub(crate) async fn run(context: &Context) {
    loop {
        tokio::time::sleep(EVERY).await;
        sweep(context).await;
    }
}

/// One round; gives the number of sessions found gone.
async fn sweep(context: &Context) -> usize {
    let mut found = 0;
    for (nth, session) in context.sessions.all().into_iter().enumerate() {
        if !session.is_connected() {
            context.depart(&session, "lost");
            found += 1;
        }
        if nth % BURST == BURST - 1 {
            tokio::task::yield_now().await;
        }
    }
    if found > 0 {
        tracing::info!(sessions = found, "sessions removed that had ended unseen");
    }
    found
}
