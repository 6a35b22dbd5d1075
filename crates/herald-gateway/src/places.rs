//! Says where a user's sessions stand, to who asks.
//!
//! Asked by a person who looks for a notice, not by traffic: an answer that would have to wait for
//! others is dropped, and whoever asked says that there was none.

use std::sync::Arc;

use herald_backplane::{Places, ReceiptsWanted};
use herald_core::{GatewayId, UserId};

use crate::{context::Context, figures};

/// Answers under way at a time.
pub(crate) const ANSWERS: usize = 16;

/// Tells `to` where the sessions stand that the user has here now.
pub(crate) fn tell(context: &Arc<Context>, lease: GatewayId, user: &UserId, to: ReceiptsWanted) {
    let Ok(permit) = Arc::clone(&context.answers).try_acquire_owned() else {
        figures::reports_dropped("busy").increment(1);
        return;
    };
    let sessions = context.sessions.of(user).unwrap_or_default();
    let places = Places {
        gateway: lease,
        gateway_name: context.name.clone(),
        sessions: sessions.iter().filter_map(|session| session.place()).collect(),
    };
    let parts = Arc::clone(context);
    context.spawn(async move {
        let _permit = permit;
        let Some(port) = parts.lease.current() else {
            figures::reports_dropped("late").increment(1);
            return;
        };
        match parts.call(port.tell_places(to, &places)).await {
            Ok(true) => parts.figures.reports_heard.increment(1),
            Ok(false) => parts.figures.reports_unheard.increment(1),
            Err(error) => {
                tracing::debug!(%error, "places not told");
                figures::reports_dropped("late").increment(1);
            }
        }
    });
}
