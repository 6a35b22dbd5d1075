//! From what callers sent to what is known to be right.
//!
//! Everything wrong with a request is found at once. What this version does not offer is refused
//! by name, never ignored.

use std::{fmt::Display, time::Duration};

use herald_backplane::{EndReason, Ending, Key, Since, Terms};
use herald_core::{
    Cursor, EventName, IdempotencyKey, InboxLimits, NoticeId, Payload, Place, SessionId, UserId,
    limits::LONGEST_WAIT,
};
use herald_proto::{
    api::{self, WaitFor, broadcast_request, send_notice_request},
    json::value_to_json,
    time::{DurationError, duration_from_std, duration_to_std},
};

use crate::{
    callers::Caller,
    config::Options,
    error::Error,
    field::{Path, Violations},
    page_token,
    receipts::{Goal, Wait},
};

/// Longest `ref` of an item of a batch, in bytes.
const REF_BYTES: usize = 128;

/// Longest reason for ending sessions, in bytes.
const REASON_BYTES: usize = 128;

/// Most sessions that are ended by name in one call.
const ENDED_SESSIONS: usize = 100;

/// Most users in one question about presence.
const PRESENCE_USERS: usize = 1_000;

/// How long is waited unless the caller says.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// The limits that requests are held to.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Largest payload, in bytes of JSON text.
    pub(crate) payload_bytes: usize,
    /// Most items in a batch.
    pub(crate) batch_items: usize,
    /// Largest batch, in bytes as encoded.
    pub(crate) batch_bytes: usize,
    /// What an inbox keeps.
    pub(crate) inbox: InboxLimits,
}

impl Limits {
    /// Those that a notifier was given.
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            payload_bytes: options.payload_bytes,
            batch_items: options.batch_items,
            batch_bytes: options.batch_bytes,
            inbox: options.inbox,
        }
    }
}

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

/// What to read of an inbox.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) user: UserId,
    /// From where; `None` when the cursor is not readable, which is reported and not refused.
    pub(crate) since: Option<Since>,
    /// The cursor as it was given, which the next page's token is bound to.
    pub(crate) cursor: String,
    /// Most notices on the page.
    pub(crate) notices: u32,
}

/// Checks a question for an inbox.
pub(crate) fn listing(
    request: api::ListNoticesRequest,
    at: &Path<'_>,
    limits: &Limits,
) -> Result<Listing, Error> {
    let api::ListNoticesRequest { user_id, cursor, page_size, page_token } = request;
    let mut violations = Violations::default();
    let limit = limits.inbox.page_notices;
    if page_size > limit {
        let wrong = format_args!("must be at most {limit}, got {page_size}");
        violations.add(at.field("page_size"), wrong);
    }
    let user = violations.check(at.field("user_id"), UserId::new(&user_id));
    // Neither can be read without knowing whose it is.
    let since = user.as_ref().and_then(|user| match (page_token.as_str(), cursor.as_str()) {
        ("", "") => Some(Since::Start),
        ("", cursor) => Cursor::decode(cursor, user).ok().map(Since::After),
        (token, cursor) => {
            let place = page_token::decode(token, user, cursor);
            violations.check(at.field("page_token"), place).map(Since::After)
        }
    });
    violations.finish()?;
    let user = user.ok_or(Error::Internal)?;
    let notices = if page_size == 0 { limit } else { page_size };
    Ok(Listing { user, since, cursor, notices })
}

/// Checks a question for what became of a notice.
pub(crate) fn explanation(
    request: &api::ExplainNoticeRequest,
    at: &Path<'_>,
) -> Result<(UserId, Place), Error> {
    let mut violations = Violations::default();
    let user = violations.check(at.field("user_id"), UserId::new(&request.user_id));
    let wrong = "must be the id of a notice that was accepted, as in `1764000000000-0-89abcdef`; \
                 a volatile notice has another one, and leaves no trace";
    let id = request.notice_id.parse::<NoticeId>().map_err(|_| wrong);
    let id = violations.check(at.field("notice_id"), id);
    violations.finish()?;
    // Each absence was noted as a violation.
    user.zip(id).map(|(user, NoticeId(place))| (user, place)).ok_or(Error::Internal)
}

/// Checks a question for presence.
pub(crate) fn presence(
    request: &api::BatchGetPresenceRequest,
    at: &Path<'_>,
) -> Result<Vec<UserId>, Error> {
    let mut violations = Violations::default();
    let at = at.field("user_ids");
    let asked = request.user_ids.len();
    if !(1..=PRESENCE_USERS).contains(&asked) {
        violations.add(at, format_args!("must hold 1 to {PRESENCE_USERS} ids, got {asked}"));
    }
    let users = request
        .user_ids
        .iter()
        .take(PRESENCE_USERS)
        .enumerate()
        .filter_map(|(index, id)| violations.check(at.item(index), UserId::new(id)))
        .collect();
    violations.finish()?;
    Ok(users)
}

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

#[cfg(test)]
mod tests {
    use herald_proto::api::send_notice_request::Payload as ApiPayload;
    use prost_types::{Value, value::Kind};

    use super::*;
    use crate::field::Names;

    fn limits() -> Limits {
        Limits {
            payload_bytes: 64,
            batch_items: 3,
            batch_bytes: 1_000,
            inbox: InboxLimits { age: Duration::from_secs(60), ..InboxLimits::default() },
        }
    }

    fn request(json: &'static str) -> api::SendNoticeRequest {
        api::SendNoticeRequest {
            user_id: "alice".into(),
            payload: Some(ApiPayload::Json(json.into())),
            ..Default::default()
        }
    }

    fn check(request: api::SendNoticeRequest) -> Result<Sendable, Error> {
        notice(request, &Path::root(Names::Proto), &limits())
    }

    fn violations(error: Error) -> Vec<(String, String)> {
        let listed = error.violations().unwrap_or_else(|| panic!("{error}")).listed().to_vec();
        listed.into_iter().map(|v| (v.field, v.description)).collect()
    }

    #[test]
    fn a_notice_is_taken_as_it_is_and_its_event_defaults() {
        let sendable = check(request(r#" {"n": 12345678901234567890} "#)).unwrap();
        assert_eq!(sendable.user.as_str(), "alice");
        assert_eq!(sendable.event, EventName::notice());
        assert_eq!(sendable.payload.bytes(), r#"{"n": 12345678901234567890}"#);
    }

    #[test]
    fn everything_wrong_is_found_at_once() {
        let bad = api::SendNoticeRequest {
            user_id: "a\nb".into(),
            event: "connect".into(),
            wait_for: 99,
            ..Default::default()
        };
        let fields: Vec<String> =
            violations(check(bad).unwrap_err()).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["wait_for", "user_id", "event", "payload"]);
    }

    #[test]
    fn payloads_are_held_to_the_limit_in_either_form() {
        let long = "x".repeat(70);
        let data = Value { kind: Some(Kind::StringValue(long.clone())) };
        for (payload, field) in [
            (ApiPayload::Data(data), "data"),
            (ApiPayload::Json(format!("\"{long}\"").into()), "json"),
        ] {
            let bad = api::SendNoticeRequest { payload: Some(payload), ..request("") };
            let expected = "must be at most 64 bytes of JSON, got 72".to_owned();
            assert_eq!(violations(check(bad).unwrap_err()), [(field.to_owned(), expected)]);
        }
    }

    #[test]
    fn a_value_that_has_no_json_is_refused() {
        let data = Value { kind: Some(Kind::NumberValue(f64::NAN)) };
        let bad = api::SendNoticeRequest { payload: Some(ApiPayload::Data(data)), ..request("") };
        let listed = violations(check(bad).unwrap_err());
        assert_eq!(listed[0].0, "data");
        assert!(listed[0].1.contains("NaN"), "{listed:?}");
    }

    #[test]
    fn volatile_goes_with_nothing_that_needs_keeping() {
        let plain = api::SendNoticeRequest { volatile: true, ..request("1") };
        assert_eq!(check(plain.clone()).unwrap().way, Way::Volatile);
        let all = api::SendNoticeRequest {
            ttl: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            idempotency_key: "k".into(),
            wait_for: WaitFor::Emitted.into(),
            ..plain
        };
        let why = "must not be combined with volatile";
        let expected =
            ["ttl", "idempotency_key", "wait_for"].map(|field| (field.to_owned(), why.to_owned()));
        assert_eq!(violations(check(all).unwrap_err()), expected);
    }

    #[test]
    fn a_ttl_is_above_zero_and_at_most_the_inboxs_age() {
        let ask = |seconds, nanos| {
            let ttl = Some(prost_types::Duration { seconds, nanos });
            check(api::SendNoticeRequest { ttl, ..request("1") })
        };
        for (seconds, nanos, ms) in [(0, 1_000_000, 1), (1, 500_000_000, 1_500), (60, 0, 60_000)] {
            let ttl = Some(Duration::from_millis(ms));
            let way = Way::Durable(Terms { ttl, ..Terms::default() }, None);
            assert_eq!(ask(seconds, nanos).unwrap().way, way);
        }
        let limits = "must be from 0.001s to 60s, which is the inbox's age, got ";
        for (seconds, nanos, got) in [
            (0, 0, "0s"),
            (0, 999_999, "0.000999999s"),
            (-1, 0, "-1s"),
            (60, 1, "60.000000001s"),
            (i64::MAX, 0, "not a valid google.protobuf.Duration"),
            (1, -1, "not a valid google.protobuf.Duration"),
        ] {
            let expected = ("ttl".to_owned(), format!("{limits}{got}"));
            assert_eq!(violations(ask(seconds, nanos).unwrap_err()), [expected]);
        }
        assert_eq!(check(request("1")).unwrap().way, Way::Durable(Terms::default(), None));
    }

    #[test]
    fn a_wait_is_for_something_and_has_its_limits() {
        let ask = |wait_for: WaitFor, timeout: Option<(i64, i32)>| {
            let timeout = timeout.map(|(seconds, nanos)| prost_types::Duration { seconds, nanos });
            let wait_for = wait_for.into();
            let asking = api::SendNoticeRequest { wait_for, wait_timeout: timeout, ..request("1") };
            check(asking).map(|sendable| match sendable.way {
                Way::Durable(_, wait) => wait.map(|wait| (wait.goal, wait.timeout)),
                Way::Volatile => panic!("it is kept"),
            })
        };
        for (wait_for, goal) in [
            (WaitFor::Unspecified, None),
            (WaitFor::Accepted, None),
            (WaitFor::Emitted, Some(Goal::Emitted)),
            (WaitFor::AckedAny, Some(Goal::AckedAny)),
            (WaitFor::AckedAll, Some(Goal::AckedAll)),
        ] {
            let after = |seconds| goal.map(|goal| (goal, Duration::from_secs(seconds)));
            assert_eq!(ask(wait_for, None).unwrap(), after(5));
            assert_eq!(ask(wait_for, Some((30, 0))).unwrap(), after(30));
        }
        let shortest = ask(WaitFor::Emitted, Some((0, 1))).unwrap();
        assert_eq!(shortest, Some((Goal::Emitted, Duration::from_nanos(1))));
        for (given, got) in [
            ((0, 0), "0s"),
            ((-1, 0), "-1s"),
            ((30, 1), "30.000000001s"),
            ((1, -1), "not a valid google.protobuf.Duration"),
        ] {
            for wait_for in [WaitFor::Accepted, WaitFor::AckedAll] {
                let wrong = format!("must be above 0s and at most 30s, got {got}");
                let listed = violations(ask(wait_for, Some(given)).unwrap_err());
                assert_eq!(listed, [("wait_timeout".to_owned(), wrong)]);
            }
        }
    }

    #[test]
    fn an_item_is_checked_with_its_ref_and_its_place() {
        let root = Path::root(Names::Json);
        let (items, long) = (root.field("items"), "r".repeat(129));
        let bad = api::SendNoticeRequest { user_id: String::new(), ..request("1") };
        let error = item(&long, Some(bad), &items.item(2), &limits()).unwrap_err();
        let fields: Vec<String> = violations(error).into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["items[2].ref", "items[2].notice.userId"]);
        let error = item("", None, &items.item(0), &limits()).unwrap_err();
        assert_eq!(violations(error)[0].0, "items[0].notice");
    }

    #[test]
    fn a_batch_is_bounded_in_items_and_bytes() {
        let root = Path::root(Names::Proto);
        assert!(batch(3, 1_000, &root, &limits()).is_ok());
        for (items, bytes, wrong) in [
            (0, 0, "must hold 1 to 3 items, got 0"),
            (4, 0, "must hold 1 to 3 items, got 4"),
            (1, 1_001, "must be at most 1000 bytes in all, got 1001"),
        ] {
            let listed = violations(batch(items, bytes, &root, &limits()).unwrap_err());
            assert_eq!(listed, [("items".to_owned(), wrong.to_owned())]);
        }
    }

    #[test]
    fn an_unreadable_cursor_is_no_fault_but_a_foreign_page_token_is() {
        let root = Path::root(Names::Proto);
        let ask = |cursor: &str, token: &str| api::ListNoticesRequest {
            user_id: "alice".into(),
            cursor: cursor.into(),
            page_token: token.into(),
            ..Default::default()
        };
        let listing = |request| listing(request, &root, &limits());
        assert_eq!(listing(ask("", "")).unwrap().since, Some(Since::Start));
        assert_eq!(listing(ask("nonsense", "")).unwrap().since, None);
        let listed = violations(listing(ask("", "nonsense")).unwrap_err());
        assert_eq!(listed[0].0, "page_token");
        let many = api::ListNoticesRequest { page_size: 101, ..ask("", "") };
        let listed = violations(listing(many).unwrap_err());
        assert_eq!(listed, [("page_size".into(), "must be at most 100, got 101".into())]);
    }

    #[test]
    fn presence_names_every_bad_id_and_its_own_limit() {
        let root = Path::root(Names::Json);
        let ask = |ids: &[&str]| api::BatchGetPresenceRequest {
            user_ids: ids.iter().map(|&id| id.to_owned()).collect(),
        };
        assert_eq!(presence(&ask(&["a", "b", "a"]), &root).unwrap().len(), 3);
        let fields: Vec<String> = violations(presence(&ask(&["a", "", "\n"]), &root).unwrap_err())
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(fields, ["userIds[1]", "userIds[2]"]);
        for count in [0, 1_001] {
            let listed = violations(presence(&ask(&vec!["a"; count]), &root).unwrap_err());
            assert_eq!(listed[0].1, format!("must hold 1 to 1000 ids, got {count}"));
        }
    }
}
