//! Notices: one, many, and those for everybody.

use std::{fmt::Display, time::Duration};

use herald_backplane::{Key, Terms};
use herald_core::{EventName, IdempotencyKey, Payload, UserId, limits::LONGEST_WAIT};
use herald_proto::{
    api::{self, WaitFor, broadcast_request, send_notice_request},
    json::value_to_json,
    time::{DurationError, duration_from_std, duration_to_std},
};

use super::Limits;
use crate::{
    callers::Caller,
    error::Error,
    field::{Path, Violations},
    receipts::{Goal, Wait},
};

/// Longest `ref` of an item of a batch, in bytes.
const REF_BYTES: usize = 128;

/// How long is waited unless the caller says.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A notice that may be sent.
#[derive(Debug)]
pub(crate) struct Sendable {
    pub(crate) user: UserId,
    pub(crate) event: EventName,
    pub(crate) payload: Payload,
    pub(crate) way: Way,
}

impl Sendable {
    /// The same as sent by this caller.
    ///
    /// # Errors
    /// When the caller may not send it.
    pub(crate) fn by(mut self, caller: &Caller) -> Result<Self, Error> {
        caller.may_reach(&self.user)?;
        caller.may_send(&self.event)?;
        if let Way::Durable(Terms { key: Some(key), .. }, _) = &mut self.way {
            key.caller = caller.name().to_owned();
        }
        Ok(self)
    }
}

/// Which way it goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Into the inbox, on these terms; then this is waited for.
    Durable(Terms, Option<Wait>),
    /// To who is there now.
    Volatile,
}

/// Checks one notice; `at` is where it stands in the request.
pub(crate) fn notice(
    request: api::SendNoticeRequest,
    at: &Path<'_>,
    limits: &Limits,
) -> Result<Sendable, Error> {
    let mut violations = Violations::default();
    if WaitFor::try_from(request.wait_for).is_err() {
        let wait_for = request.wait_for;
        violations.add(at.field("wait_for"), format_args!("is no value of WaitFor: {wait_for}"));
    }
    let user = violations.check(at.field("user_id"), UserId::new(&request.user_id));
    let event = event(&request.event, at, &mut violations);
    if request.volatile {
        volatile(&request, at, &mut violations);
    }
    let payload = payload(request.payload, at, limits, &mut violations);
    let ttl = request
        .ttl
        .and_then(|given| violations.check(at.field("ttl"), ttl(&given, limits.inbox.age)));
    let key = match request.idempotency_key.as_str() {
        "" => None,
        key => violations.check(at.field("idempotency_key"), IdempotencyKey::new(key)),
    };
    let timeout = match request.wait_timeout {
        None => Some(WAIT_TIMEOUT),
        Some(given) => violations.check(at.field("wait_timeout"), wait_timeout(&given)),
    };
    let goal = goal(WaitFor::try_from(request.wait_for).unwrap_or_default());
    // Whose it is, the call knows: see `Sendable::by`.
    let key = key.map(|key| Key { caller: String::new(), key });
    violations.finish()?;
    match (user, event, payload) {
        (Some(user), Some(event), Some(payload)) => {
            let terms = Terms { ttl, key, receipts: None };
            let wait = goal.zip(timeout).map(|(goal, timeout)| Wait { goal, timeout });
            let way = if request.volatile { Way::Volatile } else { Way::Durable(terms, wait) };
            Ok(Sendable { user, event, payload, way })
        }
        // Each absence was noted as a violation.
        _ => Err(Error::Internal),
    }
}

/// What makes no sense for a notice that is not kept.
fn volatile(request: &api::SendNoticeRequest, at: &Path<'_>, violations: &mut Violations) {
    let waits = goal(request.wait_for()).is_some();
    for (field, is_set) in [
        ("ttl", request.ttl.is_some()),
        ("idempotency_key", !request.idempotency_key.is_empty()),
        ("wait_for", waits),
    ] {
        if is_set {
            violations.add(at.field(field), "must not be combined with volatile");
        }
    }
}

/// What has to come about before the call answers, beyond acceptance.
fn goal(wait_for: WaitFor) -> Option<Goal> {
    match wait_for {
        WaitFor::Unspecified | WaitFor::Accepted => None,
        WaitFor::Emitted => Some(Goal::Emitted),
        WaitFor::AckedAny => Some(Goal::AckedAny),
        WaitFor::AckedAll => Some(Goal::AckedAll),
    }
}

/// Above zero, at most [`LONGEST_WAIT`].
fn wait_timeout(given: &prost_types::Duration) -> Result<Duration, String> {
    let wrong = |got: &dyn Display| {
        let longest = duration_from_std(LONGEST_WAIT);
        format!("must be above 0s and at most {longest}, got {got}")
    };
    match duration_to_std(given) {
        Ok(timeout) if !timeout.is_zero() && timeout <= LONGEST_WAIT => Ok(timeout),
        Ok(_) | Err(DurationError::Negative) => Err(wrong(given)),
        Err(error) => Err(wrong(&error)),
    }
}

/// Whole milliseconds, at least one, at most the inbox's age.
fn ttl(given: &prost_types::Duration, longest: Duration) -> Result<Duration, String> {
    let wrong = |got: &dyn Display| {
        let longest = duration_from_std(longest);
        format!("must be from 0.001s to {longest}, which is the inbox's age, got {got}")
    };
    let ttl = match duration_to_std(given) {
        Ok(ttl) => ttl,
        Err(DurationError::Negative) => return Err(wrong(given)),
        Err(error) => return Err(wrong(&error)),
    };
    if ttl < Duration::from_millis(1) || ttl > longest {
        return Err(wrong(given));
    }
    Ok(ttl)
}

/// Checks a broadcast.
pub(crate) fn broadcast(
    request: api::BroadcastRequest,
    at: &Path<'_>,
    limits: &Limits,
) -> Result<(EventName, Payload), Error> {
    let mut violations = Violations::default();
    let event = event(&request.event, at, &mut violations);
    let given = request.payload.map(|payload| match payload {
        broadcast_request::Payload::Data(data) => send_notice_request::Payload::Data(data),
        broadcast_request::Payload::Json(json) => send_notice_request::Payload::Json(json),
    });
    let payload = payload(given, at, limits, &mut violations);
    violations.finish()?;
    // Each absence was noted as a violation.
    event.zip(payload).ok_or(Error::Internal)
}

fn event(event: &str, at: &Path<'_>, violations: &mut Violations) -> Option<EventName> {
    match event {
        "" => Some(EventName::notice()),
        event => violations.check(at.field("event"), EventName::new(event)),
    }
}

fn payload(
    payload: Option<send_notice_request::Payload>,
    at: &Path<'_>,
    limits: &Limits,
    violations: &mut Violations,
) -> Option<Payload> {
    let limit = limits.payload_bytes;
    match payload {
        None => {
            violations.add(at.field("payload"), "is required");
            None
        }
        Some(send_notice_request::Payload::Json(json)) => {
            violations.check(at.field("json"), Payload::new(json, limit))
        }
        Some(send_notice_request::Payload::Data(value)) => {
            let at = at.field("data");
            let json = violations.check(at, value_to_json(&value))?;
            violations.check(at, Payload::new(json, limit))
        }
    }
}

/// Checks a batch as a whole: how many items, and how large. `bytes` is its size as it came.
pub(crate) fn batch(
    items: usize,
    bytes: usize,
    at: &Path<'_>,
    limits: &Limits,
) -> Result<(), Error> {
    let Limits { batch_items, batch_bytes, .. } = *limits;
    let mut violations = Violations::default();
    if !(1..=batch_items).contains(&items) {
        let wrong = format_args!("must hold 1 to {batch_items} items, got {items}");
        violations.add(at.field("items"), wrong);
    }
    if bytes > batch_bytes {
        let wrong = format_args!("must be at most {batch_bytes} bytes in all, got {bytes}");
        violations.add(at.field("items"), wrong);
    }
    violations.finish()
}

/// Checks an item of a batch; `at` is where it stands.
pub(crate) fn item(
    reference: &str,
    notice: Option<api::SendNoticeRequest>,
    at: &Path<'_>,
    limits: &Limits,
) -> Result<Sendable, Error> {
    let mut violations = Violations::default();
    if reference.len() > REF_BYTES {
        let actual = reference.len();
        let wrong = format_args!("must be at most {REF_BYTES} bytes of UTF-8, got {actual}");
        violations.add(at.field("ref"), wrong);
    }
    let Some(notice) = notice else {
        violations.add(at.field("notice"), "is required");
        return violations.finish().and(Err(Error::Internal));
    };
    let checked = self::notice(notice, &at.field("notice"), limits);
    match checked {
        Err(Error::Invalid(others)) => {
            for other in others.listed() {
                violations.add(&other.field, &other.description);
            }
            violations.finish().and(Err(Error::Internal))
        }
        checked => violations.finish().and(checked),
    }
}

#[cfg(test)]
mod tests;
