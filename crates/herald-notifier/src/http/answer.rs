//! From the messages of the API to JSON.
//!
//! Every field is there, at its default too; only what is said to be optional may be absent.

mod explanation;

use axum::{body::Body, response::Response};
use herald_proto::{
    api,
    time::{duration_from_std, duration_to_string, timestamp_to_rfc3339},
};
use http::{HeaderValue, StatusCode, header};
use prost_types::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

pub(super) use self::explanation::ExplainNotice;
use crate::{
    batch::Done,
    error::{Error, code_name},
    field::Violation,
};

/// The answer to a call: 200 with `result`, or its error.
pub(super) fn json<T: Serialize>(result: Result<T, &Error>) -> Response {
    match result {
        Ok(answer) => write(StatusCode::OK, &answer),
        Err(error) => self::error(error),
    }
}

/// An error as google.rpc.Status.
pub(super) fn error(error: &Error) -> Response {
    let mut response = write(error.http_status(), &Status::from(error));
    if let Some(delay) = error.retry_after() {
        let seconds = delay.as_millis().div_ceil(1_000).max(1);
        // Digits always make a header.
        if let Ok(seconds) = HeaderValue::try_from(seconds.to_string()) {
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
    }
    if error.http_status() == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    }
    response
}

fn write(status: StatusCode, answer: &impl Serialize) -> Response {
    let (status, body) = match serde_json::to_vec(answer) {
        Ok(body) => (status, body),
        Err(error) => {
            tracing::error!(%error, "cannot write an answer as JSON");
            (StatusCode::INTERNAL_SERVER_ERROR, Vec::new())
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[derive(Serialize)]
struct Status<'a> {
    code: i32,
    status: &'static str,
    message: String,
    details: Vec<Detail<'a>>,
}

#[derive(Serialize)]
#[serde(tag = "@type")]
enum Detail<'a> {
    #[serde(rename = "type.googleapis.com/google.rpc.BadRequest", rename_all = "camelCase")]
    BadRequest { field_violations: Vec<FieldViolation<'a>> },
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo", rename_all = "camelCase")]
    RetryInfo { retry_delay: String },
}

#[derive(Serialize)]
struct FieldViolation<'a> {
    field: &'a str,
    description: &'a str,
}

impl<'a> From<&'a Error> for Status<'a> {
    fn from(error: &'a Error) -> Self {
        let violations = error.violations().map(|violations| Detail::BadRequest {
            field_violations: violations.listed().iter().map(FieldViolation::from).collect(),
        });
        let retry = error.retry_after().and_then(|delay| {
            let retry_delay = duration_to_string(&duration_from_std(delay)).ok()?;
            Some(Detail::RetryInfo { retry_delay })
        });
        Self {
            code: error.code().into(),
            status: code_name(error.code()),
            message: error.to_string(),
            details: violations.into_iter().chain(retry).collect(),
        }
    }
}

impl<'a> From<&'a Violation> for FieldViolation<'a> {
    fn from(Violation { field, description }: &'a Violation) -> Self {
        Self { field, description }
    }
}

/// Answers SendNotice.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SendNotice<'a> {
    notice_id: &'a str,
    duplicate: bool,
    outcome: &'static str,
    wait_satisfied: bool,
    counts: Counts,
    sessions: Vec<SessionOutcome<'a>>,
}

#[derive(Serialize)]
struct Counts {
    accepted: u32,
    emitted: u32,
    acked: u32,
    lagging: u32,
    gone: u32,
    unheard: u32,
    unknown: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionOutcome<'a> {
    session_id: &'a str,
    gateway: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    state: &'static str,
    time: Option<String>,
}

impl<'a> From<&'a api::SendNoticeResponse> for SendNotice<'a> {
    fn from(response: &'a api::SendNoticeResponse) -> Self {
        let counts = response.counts.unwrap_or_default();
        let session = |session: &'a api::SessionOutcome| SessionOutcome {
            session_id: &session.session_id,
            gateway: &session.gateway,
            namespace: &session.namespace,
            device: session.device.as_deref(),
            state: session.state().as_str_name(),
            time: time(session.time.as_ref()),
        };
        Self {
            notice_id: &response.notice_id,
            duplicate: response.duplicate,
            outcome: response.outcome().as_str_name(),
            wait_satisfied: response.wait_satisfied,
            counts: Counts {
                accepted: counts.accepted,
                emitted: counts.emitted,
                acked: counts.acked,
                lagging: counts.lagging,
                gone: counts.gone,
                unheard: counts.unheard,
                unknown: counts.unknown,
            },
            sessions: response.sessions.iter().map(session).collect(),
        }
    }
}

/// Answers BatchSendNotices.
#[derive(Serialize)]
pub(super) struct BatchSendNotices<'a> {
    results: Vec<ItemResult<'a>>,
}

#[derive(Serialize)]
struct ItemResult<'a> {
    r#ref: &'a str,
    #[serde(flatten)]
    result: ResponseOrError<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum ResponseOrError<'a> {
    Response(SendNotice<'a>),
    Error(Status<'a>),
}

impl<'a> From<&'a [Done]> for BatchSendNotices<'a> {
    fn from(done: &'a [Done]) -> Self {
        let results = done.iter().map(|Done { reference, result }| ItemResult {
            r#ref: reference,
            result: match result {
                Ok(response) => ResponseOrError::Response(response.into()),
                Err(error) => ResponseOrError::Error(error.into()),
            },
        });
        Self { results: results.collect() }
    }
}

/// Answers ListNotices.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListNotices<'a> {
    notices: Vec<Notice<'a>>,
    next_page_token: &'a str,
    cursor: &'a str,
    tip_cursor: &'a str,
    floor_cursor: &'a str,
    complete: bool,
    gap_reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Notice<'a> {
    id: &'a str,
    event: &'a str,
    data: &'a RawValue,
    create_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<String>,
    cursor: &'a str,
}

impl<'a> TryFrom<&'a api::ListNoticesResponse> for ListNotices<'a> {
    type Error = serde_json::Error;

    /// Fails when a payload, which came from the store, is not the JSON it was.
    fn try_from(page: &'a api::ListNoticesResponse) -> Result<Self, Self::Error> {
        let notice = |notice: &'a api::Notice| {
            Ok(Notice {
                id: &notice.id,
                event: &notice.event,
                data: serde_json::from_slice(&notice.json)?,
                create_time: time(notice.create_time.as_ref()),
                expire_time: time(notice.expire_time.as_ref()),
                cursor: &notice.cursor,
            })
        };
        Ok(Self {
            notices: page.notices.iter().map(notice).collect::<Result<_, Self::Error>>()?,
            next_page_token: &page.next_page_token,
            cursor: &page.cursor,
            tip_cursor: &page.tip_cursor,
            floor_cursor: &page.floor_cursor,
            complete: page.complete,
            gap_reason: page.gap_reason().as_str_name(),
        })
    }
}

/// Answers Broadcast.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Broadcast {
    gateways_told: u32,
}

impl From<&api::BroadcastResponse> for Broadcast {
    fn from(response: &api::BroadcastResponse) -> Self {
        Self { gateways_told: response.gateways_told }
    }
}

/// Answers DisconnectUser and PurgeUser.
#[derive(Serialize)]
pub(super) struct Ended {
    closed: u32,
    unknown: u32,
}

impl From<&api::DisconnectUserResponse> for Ended {
    fn from(response: &api::DisconnectUserResponse) -> Self {
        Self { closed: response.closed, unknown: response.unknown }
    }
}

impl From<&api::PurgeUserResponse> for Ended {
    fn from(response: &api::PurgeUserResponse) -> Self {
        Self { closed: response.closed, unknown: response.unknown }
    }
}

/// Answers BatchGetPresence.
#[derive(Serialize)]
pub(super) struct BatchGetPresence<'a> {
    users: Vec<UserPresence<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserPresence<'a> {
    user_id: &'a str,
    online: bool,
    sessions: Vec<Session<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Session<'a> {
    session_id: &'a str,
    gateway: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<&'a str>,
    connect_time: Option<String>,
    transport: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    socket_id: &'a str,
}

impl<'a> From<&'a api::BatchGetPresenceResponse> for BatchGetPresence<'a> {
    fn from(response: &'a api::BatchGetPresenceResponse) -> Self {
        let session = |session: &'a api::Session| Session {
            session_id: &session.session_id,
            gateway: &session.gateway,
            namespace: &session.namespace,
            device: session.device.as_deref(),
            connect_time: time(session.connect_time.as_ref()),
            transport: session.transport().as_str_name(),
            user_agent: session.user_agent.as_deref(),
            socket_id: &session.socket_id,
        };
        let users = response.users.iter().map(|user| UserPresence {
            user_id: &user.user_id,
            online: user.online,
            sessions: user.sessions.iter().map(session).collect(),
        });
        Self { users: users.collect() }
    }
}

fn time(time: Option<&Timestamp>) -> Option<String> {
    time.map(timestamp_to_rfc3339)
}

#[cfg(test)]
mod tests {
    use herald_proto::time::timestamp_from_unix_ms;

    use super::*;
    use crate::{error::Work, field::Violations};

    fn text(answer: &impl Serialize) -> String {
        serde_json::to_string(answer).unwrap()
    }

    #[test]
    fn an_error_is_a_status_with_its_details() {
        let mut violations = Violations::default();
        violations.add("userId", "must not be empty");
        let invalid = Error::Invalid(violations);
        assert_eq!(
            text(&Status::from(&invalid)),
            r#"{"code":3,"status":"INVALID_ARGUMENT","message":"userId: must not be empty","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"userId","description":"must not be empty"}]}]}"#
        );
        let away = Error::Unavailable(Work::Read);
        assert_eq!(
            text(&Status::from(&away)),
            r#"{"code":14,"status":"UNAVAILABLE","message":"the backplane is unavailable","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}]}"#
        );
        assert_eq!(error(&away).headers()[header::RETRY_AFTER], "1");
        assert_eq!(error(&Error::Busy { limit: 1 }).headers()[header::RETRY_AFTER], "1");
        assert_eq!(error(&Error::NoPath).headers().get(header::RETRY_AFTER), None);
    }

    #[test]
    fn a_result_of_a_batch_is_either_of_the_two() {
        let done = [
            Done { reference: "a".into(), result: Ok(api::SendNoticeResponse::default()) },
            Done { reference: String::new(), result: Err(Error::NotTried) },
        ];
        let text = text(&BatchSendNotices::from(&done[..]));
        let expected = r#"{"results":[{"ref":"a","response":{"noticeId":"","duplicate":false,"outcome":"OUTCOME_UNSPECIFIED""#;
        assert!(text.starts_with(expected), "{text}");
        assert!(
            text.contains(r#"{"ref":"","error":{"code":4,"status":"DEADLINE_EXCEEDED""#),
            "{text}"
        );
    }

    #[test]
    fn a_page_carries_payloads_as_they_are_and_leaves_out_what_is_unset() {
        let mut notice = api::Notice {
            json: r#"{"n":1.50, "big":12345678901234567890}"#.into(),
            create_time: Some(timestamp_from_unix_ms(1_250)),
            ..Default::default()
        };
        let page = api::ListNoticesResponse { notices: vec![notice.clone()], ..Default::default() };
        let written = text(&ListNotices::try_from(&page).unwrap());
        assert!(written.contains(r#""data":{"n":1.50, "big":12345678901234567890}"#), "{written}");
        assert!(written.contains(r#""createTime":"1970-01-01T00:00:01.250Z""#), "{written}");
        assert!(!written.contains("expireTime"), "{written}");
        notice.json = "broken".into();
        let page = api::ListNoticesResponse { notices: vec![notice], ..Default::default() };
        assert!(ListNotices::try_from(&page).is_err());
    }
}
