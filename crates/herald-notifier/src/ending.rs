//! Ending a user's sessions, and forgetting a user.

use std::time::Duration;

use herald_backplane::{Ending, Standing};
use herald_core::{GatewayId, SessionId, UserId};
use herald_proto::api;
use tokio::time::Instant;

use crate::{
    call::{Call, Context},
    error::{Error, Work},
    field::Path,
    validate,
};

/// How long gateways have for ending what they were told to end. They do it at once: who has not
/// done it by then is frozen, cut off or gone.
const PATIENCE: Duration = Duration::from_secs(3);

/// Between two looks, at first and at last.
const LOOKS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];

/// Serves DisconnectUser.
pub(crate) async fn disconnect_user(
    context: &Context,
    call: &Call,
    request: api::DisconnectUserRequest,
) -> Result<api::DisconnectUserResponse, Error> {
    let (user, ending) = validate::disconnect(request, &Path::root(call.names()))?;
    call.caller().may_reach(&user)?;
    let Ended { closed, unknown } = end(context, call, &user, &ending).await?;
    Ok(api::DisconnectUserResponse { closed, unknown })
}

/// Serves PurgeUser.
pub(crate) async fn purge_user(
    context: &Context,
    call: &Call,
    request: api::PurgeUserRequest,
) -> Result<api::PurgeUserResponse, Error> {
    let (user, ending) = validate::purge(request, &Path::root(call.names()))?;
    call.caller().may_reach(&user)?;
    // First who could still use what is kept.
    let Ended { closed, unknown } = end(context, call, &user, &ending).await?;
    call.backplane(Work::Purge, context.port.purge(&user)).await?;
    Ok(api::PurgeUserResponse { closed, unknown })
}

/// What became of the sessions that were to end.
#[derive(Debug, Default)]
struct Ended {
    closed: u32,
    unknown: u32,
}

async fn end(
    context: &Context,
    call: &Call,
    user: &UserId,
    ending: &Ending,
) -> Result<Ended, Error> {
    let targets = call.backplane(Work::End, context.port.end_sessions(user, ending)).await?;
    let mut open: Vec<(SessionId, GatewayId)> =
        targets.iter().map(|target| (target.session.id, target.session.gateway)).collect();
    let mut ended = Ended::default();
    let deadline = call.end_of_waits().min(Instant::now() + PATIENCE);
    let [mut pause, longest] = LOOKS;
    while !open.is_empty() && Instant::now() + pause < deadline {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
        match call.backplane(Work::End, context.port.standing(user, &open)).await {
            Ok(standing) => {
                let mut standing = standing.into_iter();
                open.retain(|_| match standing.next() {
                    Some(Standing::Left) => {
                        ended.closed += 1;
                        false
                    }
                    Some(Standing::Unknown) => {
                        ended.unknown += 1;
                        false
                    }
                    Some(Standing::Registered) | None => true,
                });
            }
            // They are ended all the same; it is only not known what became of them.
            Err(error) => tracing::debug!(%error, "ended sessions not looked at"),
        }
    }
    if !open.is_empty() {
        // So that a gateway which was not told, and lives, finds them missing.
        let forget = context.port.forget_sessions(user, &open);
        if let Err(error) = call.backplane(Work::End, forget).await {
            tracing::debug!(%error, "ended sessions stay registered");
        }
        ended.unknown += u32::try_from(open.len()).unwrap_or(u32::MAX);
    }
    tracing::info!(
        user = user.as_str(),
        why = ending.why.as_str(),
        words = ending.words,
        caller = call.caller().name(),
        tokens = ending.tokens,
        closed = ended.closed,
        unknown = ended.unknown,
        "sessions ended"
    );
    Ok(ended)
}
