//! Sessions that end for good: their clients are told why, and stay away.
//!
//! Only here is Socket.IO's own disconnect right: stock clients do not come back after it.

use std::{sync::Arc, time::Duration};

use herald_backplane::{Admission, BackplaneError, EndOrder, EndReason, Ending, GatewayPort};
use herald_core::UserId;

use crate::{
    auth::Identity, backoff::Backoff, context::Context, end_cause::EndCause, figures,
    session::Session,
};

/// How often the number of a user's sessions is looked at before that is left to the next one that
/// connects.
const ATTEMPTS: usize = 3;

/// Sessions that one look ends.
const AT_ONCE: usize = 100;

/// Ends the sessions that are meant, of those here.
pub(crate) fn obey(context: &Context, order: &EndOrder) {
    let Some(sessions) = context.sessions.of(&order.user) else {
        context.figures.strays.increment(1);
        return;
    };
    for session in sessions.iter() {
        let is_meant = match &order.sessions {
            Some(named) => named.contains(&session.id()),
            None => session.mark() < order.mark,
        };
        if is_meant {
            end(context, session, order.why, &order.words);
        }
    }
}

/// Ends a session.
pub(crate) fn end(context: &Context, session: &Session, why: EndReason, words: &str) {
    tracing::info!(session = %session.id(), why = why.as_str(), words, "session ended");
    session.tell_ended(why, words);
    // Before Socket.IO's handler does, which knows no reason.
    context.depart(session, EndCause::Ended(why));
    session.disconnect(why);
}

/// Whether a token is of before the time that tokens are accepted from.
pub(crate) fn is_revoked(identity: &Identity, admission: &Admission) -> bool {
    admission.tokens_from_ms > 0
        && identity.issued_at_ms.is_none_or(|issued| issued <= admission.tokens_from_ms)
}

/// Ends the oldest sessions of a user who has more than allowed, wherever they are.
pub(crate) async fn enforce_limit(context: Arc<Context>, user: UserId) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    for _ in 0..ATTEMPTS {
        let port = context.lease.held().await;
        match end_excess(&context, &port, &user).await {
            Ok(()) => return,
            Err(error) => {
                tracing::debug!(%error, "sessions of a user not counted yet");
                backoff.pause().await;
                context.healthy().await;
            }
        }
    }
}

async fn end_excess(
    context: &Context,
    port: &GatewayPort,
    user: &UserId,
) -> Result<(), BackplaneError> {
    let most = context.bounds.sessions_per_user;
    if context.call(port.session_count(user)).await? <= most {
        return Ok(());
    }
    // Oldest first, without those of lapsed gateways, which are none.
    let notifier = port.notifier();
    let presence = context.call(notifier.presence(std::slice::from_ref(user))).await?;
    let sessions = presence.into_iter().flat_map(|presence| presence.sessions);
    let ids: Vec<_> = sessions.map(|session| session.id).collect();
    let excess = ids.len().saturating_sub(most).min(AT_ONCE);
    if excess == 0 {
        return Ok(());
    }
    let ending = Ending {
        sessions: Some(ids[..excess].to_vec()),
        tokens: false,
        why: EndReason::Evicted,
        words: String::new(),
    };
    context.call(notifier.end_sessions(user, &ending)).await?;
    figures::evicted().increment(excess as u64);
    Ok(())
}
