//! Sending as JSON over HTTP.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ::http::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tonic::Code;

use super::{Accepted, Outgoing, Receipt, SendError};
use crate::http::HttpClient;

/// A producer over HTTP, with as many kept connections as there were calls at once.
#[derive(Debug, Clone)]
pub struct HttpSender {
    address: SocketAddr,
    deadline: Duration,
    idle: Arc<Mutex<Vec<HttpClient>>>,
}

impl HttpSender {
    /// A producer, connected when first used and again when a connection broke.
    pub fn new(address: SocketAddr, deadline: Duration) -> Self {
        Self { address, deadline, idle: Arc::default() }
    }

    /// Posts any body as JSON and reads the answer, whatever its status.
    ///
    /// # Errors
    ///
    /// [`SendError`] with UNAVAILABLE or DEADLINE_EXCEEDED when there was no answer.
    pub async fn post(
        &self,
        target: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Bytes>, SendError> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut client = kept.unwrap_or_else(|| HttpClient::new(self.address));
        let answer = tokio::time::timeout(self.deadline, client.post_json(target, body))
            .await
            .map_err(|_| SendError::local(Code::DeadlineExceeded, "no answer in time"))?
            .map_err(|e| SendError::local(Code::Unavailable, e))?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        Ok(answer)
    }

    pub(super) async fn send(&self, notice: &Outgoing) -> Result<Accepted, SendError> {
        let answer = self.post("/v1/notices", json(&Body::new(notice)?)?).await?;
        parse::<SendAnswer>(&answer).map(Accepted::from)
    }

    pub(super) async fn send_batch(
        &self,
        notices: &[Outgoing],
    ) -> Result<Vec<Result<Accepted, SendError>>, SendError> {
        #[derive(Serialize)]
        struct Item<'a> {
            notice: Body<'a>,
        }
        #[derive(Serialize)]
        struct Batch<'a> {
            items: Vec<Item<'a>>,
        }
        #[derive(Deserialize)]
        struct BatchAnswer {
            results: Vec<ItemAnswer>,
        }
        #[derive(Deserialize)]
        struct ItemAnswer {
            response: Option<SendAnswer>,
            error: Option<StatusBody>,
        }

        let items = notices.iter().map(|notice| Ok(Item { notice: Body::new(notice)? }));
        let batch = Batch { items: items.collect::<Result<_, SendError>>()? };
        let answer = self.post("/v1/notices:batch", json(&batch)?).await?;
        let results = parse::<BatchAnswer>(&answer)?.results.into_iter();
        Ok(results
            .map(|result| match result {
                ItemAnswer { response: Some(answer), .. } => Ok(answer.into()),
                ItemAnswer { error: Some(status), .. } => Err(status.into_error(None)),
                _ => Err(SendError::local(Code::Unknown, "a result that is neither")),
            })
            .collect())
    }
}

/// A SendNoticeRequest as JSON; the payload goes in as the text that it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    user_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    event: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    volatile: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    idempotency_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_for: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait_timeout: Option<String>,
}

impl<'a> Body<'a> {
    fn new(notice: &'a Outgoing) -> Result<Self, SendError> {
        Ok(Self {
            user_id: &notice.user,
            event: &notice.event,
            data: serde_json::from_str(&notice.payload)
                .map_err(|e| SendError::local(Code::InvalidArgument, e))?,
            volatile: notice.volatile,
            ttl: notice.ttl.map(seconds),
            idempotency_key: &notice.idempotency_key,
            wait_for: notice.wait.map(|(what, _)| what.as_str_name()),
            wait_timeout: notice.wait.map(|(_, time)| seconds(time)),
        })
    }
}

/// A duration as protobuf's JSON has it: with at most nine digits of a fraction.
fn seconds(time: Duration) -> String {
    format!("{}.{:09}s", time.as_secs(), time.subsec_nanos())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendAnswer {
    notice_id: String,
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    wait_satisfied: bool,
    #[serde(default)]
    sessions: Vec<SessionAnswer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionAnswer {
    session_id: String,
    #[serde(default)]
    state: String,
}

impl From<SendAnswer> for Accepted {
    fn from(answer: SendAnswer) -> Self {
        let outcome = answer.outcome.strip_prefix("OUTCOME_").unwrap_or(&answer.outcome);
        Self {
            outcome: outcome.to_owned(),
            notice_id: answer.notice_id,
            duplicate: answer.duplicate,
            wait_satisfied: answer.wait_satisfied,
            sessions: answer
                .sessions
                .into_iter()
                .map(|session| Receipt::new(session.session_id, &session.state))
                .collect(),
        }
    }
}

/// google.rpc.Status as JSON, with the details that we know.
#[derive(Deserialize)]
struct StatusBody {
    code: i32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(default)]
    field_violations: Vec<Violation>,
    retry_delay: Option<String>,
}

#[derive(Deserialize)]
struct Violation {
    #[serde(default)]
    field: String,
    #[serde(default)]
    description: String,
}

impl StatusBody {
    fn into_error(self, status: Option<u16>) -> SendError {
        let delay = self.details.iter().find_map(|detail| detail.retry_delay.as_deref());
        SendError {
            code: Code::from(self.code),
            status,
            message: self.message,
            retry_after: delay
                .and_then(|delay| delay.strip_suffix('s')?.parse().ok())
                .map(Duration::from_secs_f64),
            fields: self
                .details
                .into_iter()
                .flat_map(|detail| detail.field_violations)
                .map(|fault| (fault.field, fault.description))
                .collect(),
        }
    }
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, SendError> {
    serde_json::to_vec(body).map_err(|e| SendError::local(Code::InvalidArgument, e))
}

fn parse<'a, T: Deserialize<'a>>(answer: &'a Response<Bytes>) -> Result<T, SendError> {
    if answer.status().is_success() {
        return serde_json::from_slice(answer.body())
            .map_err(|e| SendError::local(Code::Unknown, format!("unreadable answer: {e}")));
    }
    Err(http_error(answer))
}

/// The error that an answer other than 2xx stands for: UNKNOWN with its text when it is no
/// `google.rpc.Status`.
pub fn http_error(answer: &Response<Bytes>) -> SendError {
    let status = answer.status().as_u16();
    match serde_json::from_slice::<StatusBody>(answer.body()) {
        Ok(body) => body.into_error(Some(status)),
        Err(_) => SendError {
            status: Some(status),
            ..SendError::local(Code::Unknown, String::from_utf8_lossy(answer.body()))
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_the_payload_as_it_is() {
        let notice = Outgoing {
            ttl: Some(Duration::from_millis(1500)),
            ..Outgoing::new("alice", r#"{ "n":9007199254740993 }"#)
        };
        let text = String::from_utf8(json(&Body::new(&notice).unwrap()).unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"userId":"alice","data":{ "n":9007199254740993 },"ttl":"1.500000000s"}"#
        );
    }

    #[test]
    fn an_error_is_read_with_its_details() {
        let body = r#"{"code":3,"message":"bad","details":[
            {"@type":"type.googleapis.com/google.rpc.BadRequest",
             "fieldViolations":[{"field":"userId","description":"too long"}]},
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"0.5s"}]}"#;
        let error = http_error(&Response::builder().status(400).body(Bytes::from(body)).unwrap());
        assert_eq!((error.code, error.status), (Code::InvalidArgument, Some(400)));
        assert_eq!(error.fields, [("userId".to_owned(), "too long".to_owned())]);
        assert_eq!(error.retry_after, Some(Duration::from_millis(500)));
    }
}
