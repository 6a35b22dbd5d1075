//! Orders to end sessions, and to forget a user.

use herald_backplane::{EndReason, Ending};
use herald_core::{SessionId, UserId};
use herald_proto::api;

use crate::{
    error::Error,
    field::{Path, Violations},
};

/// Longest reason for ending sessions, in bytes.
const REASON_BYTES: usize = 128;

/// Most sessions that are ended by name in one call.
const ENDED_SESSIONS: usize = 100;

/// Checks an order to end sessions.
pub(crate) fn disconnect(
    request: api::DisconnectUserRequest,
    at: &Path<'_>,
) -> Result<(UserId, Ending), Error> {
    let mut violations = Violations::default();
    let ids = at.field("session_ids");
    let given = request.session_ids.len();
    if given > ENDED_SESSIONS {
        violations.add(ids, format_args!("must hold at most {ENDED_SESSIONS} ids, got {given}"));
    }
    let sessions: Vec<SessionId> = request
        .session_ids
        .iter()
        .take(ENDED_SESSIONS)
        .enumerate()
        .filter_map(|(index, id)| violations.check(ids.item(index), id.parse()))
        .collect();
    let sessions = (given > 0).then_some(sessions);
    let (tokens, why) = (request.revoke_tokens, EndReason::Kicked);
    ending(&request.user_id, request.reason, at, violations, |words| Ending {
        sessions,
        tokens,
        why,
        words,
    })
}

/// Checks an order to forget a user.
pub(crate) fn purge(
    request: api::PurgeUserRequest,
    at: &Path<'_>,
) -> Result<(UserId, Ending), Error> {
    let why = EndReason::Purged;
    ending(&request.user_id, request.reason, at, Violations::default(), |words| Ending {
        sessions: None,
        tokens: false,
        why,
        words,
    })
}

fn ending(
    user_id: &str,
    reason: String,
    at: &Path<'_>,
    mut violations: Violations,
    make: impl FnOnce(String) -> Ending,
) -> Result<(UserId, Ending), Error> {
    let user = violations.check(at.field("user_id"), UserId::new(user_id));
    if reason.len() > REASON_BYTES || reason.chars().any(char::is_control) {
        let wrong = format_args!(
            "must be at most {REASON_BYTES} bytes of UTF-8 without control characters"
        );
        violations.add(at.field("reason"), wrong);
    }
    violations.finish()?;
    // Its absence was noted as a violation.
    Ok((user.ok_or(Error::Internal)?, make(reason)))
}
