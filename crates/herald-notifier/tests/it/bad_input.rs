//! Every kind of bad input, over both protocols, each with its code, its field and its limit.

use bytes::Bytes;
use herald_proto::api::{
    BatchGetPresenceRequest, BatchSendNoticesItem, BatchSendNoticesRequest, ListNoticesRequest,
    SendNoticeRequest, send_notice_request::Payload,
};
use http::Method;
use serde_json::json;
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tonic_types::StatusExt as _;

use crate::harness::{Herald, notice};

fn fields(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request().expect("field violations");
    details.field_violations.into_iter().map(|violation| violation.field).collect()
}

#[tokio::test]
async fn a_bad_notice_is_refused_with_its_field_and_limit() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let long_json = format!("\"{}\"", "x".repeat(65_536));
    let deep_json = format!("{}{}", "[".repeat(129), "]".repeat(129));
    let event = |event: &str| SendNoticeRequest { event: event.into(), ..notice("a", "1") };
    let json_event = |event: &str| json!({"userId": "a", "event": event, "data": 1}).to_string();
    let json_user = |user: &str| json!({"userId": user, "data": 1}).to_string();
    let long = "u".repeat(129);
    let seconds = |seconds| prost_types::Duration { seconds, nanos: 0 };
    let cases = [
        (notice("", "1"), json_user(""), "user_id", "userId", "must not be empty"),
        (
            notice(&long, "1"),
            json_user(&long),
            "user_id",
            "userId",
            "at most 128 bytes of UTF-8, got 129",
        ),
        (
            notice("a\nb", "1"),
            json_user("a\nb"),
            "user_id",
            "userId",
            "control characters, found U+000A",
        ),
        (notice("a\u{7f}", "1"), json_user("a\u{7f}"), "user_id", "userId", "control characters"),
        (event("disconnect"), json_event("disconnect"), "event", "event", "reserved"),
        (event("herald:ready"), json_event("herald:ready"), "event", "event", "reserved"),
        (event(&long), json_event(&long), "event", "event", "at most 128 bytes"),
        (event("a\0"), json_event("a\0"), "event", "event", "control characters"),
        (
            SendNoticeRequest { payload: None, ..notice("a", "") },
            r#"{"userId":"a"}"#.into(),
            "payload",
            "data",
            "is required",
        ),
        (
            notice("a", long_json.clone()),
            format!(r#"{{"userId":"a","data":{long_json}}}"#),
            "json",
            "data",
            "must be at most 65536 bytes of JSON, got 65538",
        ),
        (
            notice("a", deep_json.clone()),
            format!(r#"{{"userId":"a","data":{deep_json}}}"#),
            "json",
            "data",
            "at most 128 deep",
        ),
        (
            SendNoticeRequest { wait_timeout: Some(seconds(0)), ..notice("a", "1") },
            r#"{"userId":"a","data":1,"waitTimeout":"0s"}"#.into(),
            "wait_timeout",
            "waitTimeout",
            "must be above 0s and at most 30s, got 0s",
        ),
        (
            SendNoticeRequest { wait_timeout: Some(seconds(31)), ..notice("a", "1") },
            r#"{"userId":"a","data":1,"waitTimeout":"31s"}"#.into(),
            "wait_timeout",
            "waitTimeout",
            "must be above 0s and at most 30s, got 31s",
        ),
        (
            SendNoticeRequest { wait_for: 99, ..notice("a", "1") },
            r#"{"userId":"a","data":1,"waitFor":99}"#.into(),
            "wait_for",
            "waitFor",
            "is no value of WaitFor",
        ),
        (
            SendNoticeRequest { ttl: Some(seconds(0)), ..notice("a", "1") },
            r#"{"userId":"a","data":1,"ttl":"0s"}"#.into(),
            "ttl",
            "ttl",
            "must be from 0.001s to 86400s, which is the inbox's age, got 0s",
        ),
        (
            SendNoticeRequest { ttl: Some(seconds(-5)), ..notice("a", "1") },
            r#"{"userId":"a","data":1,"ttl":"-5s"}"#.into(),
            "ttl",
            "ttl",
            "got -5s",
        ),
        (
            SendNoticeRequest { ttl: Some(seconds(86_401)), ..notice("a", "1") },
            r#"{"userId":"a","data":1,"ttl":"86401s"}"#.into(),
            "ttl",
            "ttl",
            "got 86401s",
        ),
        (
            SendNoticeRequest { idempotency_key: long.clone(), ..notice("a", "1") },
            json!({"userId": "a", "data": 1, "idempotencyKey": long}).to_string(),
            "idempotency_key",
            "idempotencyKey",
            "at most 128 bytes of UTF-8, got 129",
        ),
        (
            SendNoticeRequest { idempotency_key: "k\n".into(), ..notice("a", "1") },
            r#"{"userId":"a","data":1,"idempotencyKey":"k\n"}"#.into(),
            "idempotency_key",
            "idempotencyKey",
            "control characters",
        ),
    ];
    for (request, body, field, json_field, expected) in cases {
        let status = grpc.send_notice(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {expected}");
        assert_eq!(fields(&status), [field]);
        assert!(status.message().contains(expected), "{status}");

        let answer = herald.post("/v1/notices", body).await;
        assert_eq!(answer.status, 400, "{json_field}: {expected}: {answer:?}");
        assert_eq!(answer.json()["status"], "INVALID_ARGUMENT");
        assert_eq!(answer.fields(), [json_field]);
        assert!(answer.json()["message"].as_str().unwrap().contains(expected), "{answer:?}");
    }
    assert!(herald.inbox("a").await.is_empty(), "nothing was sent");
}

#[tokio::test]
async fn a_payload_that_is_not_json_is_refused_with_its_place() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    for json in ["", "{", "{a:1}", "nul", "1 2", "NaN"] {
        let status = grpc.send_notice(notice("a", json)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(fields(&status), ["json"]);
        assert!(
            status.message().contains("must be JSON") && status.message().contains("column"),
            "{status}"
        );
    }
    let nan = prost_types::value::Kind::NumberValue(f64::NAN);
    let data = Payload::Data(prost_types::Value { kind: Some(nan) });
    let request = SendNoticeRequest { payload: Some(data), ..notice("a", "") };
    assert_eq!(fields(&grpc.send_notice(request).await.unwrap_err()), ["data"]);
}

#[tokio::test]
async fn everything_wrong_is_listed_at_once() {
    let herald = Herald::start().await;
    let request = SendNoticeRequest { event: "connect".into(), ..Default::default() };
    let status = herald.notices().await.send_notice(request).await.unwrap_err();
    assert_eq!(fields(&status), ["user_id", "event", "payload"]);
    let answer = herald.post("/v1/notices", r#"{"event":"connect"}"#).await;
    assert_eq!(answer.fields(), ["userId", "event", "data"]);
}

#[tokio::test]
async fn unusual_user_ids_are_ordinary() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    for id in ["{tenant}user", "a/b:c", "ünïcode 用户", "{", "}{", "%2F"] {
        grpc.send_notice(notice(id, "1")).await.unwrap();
        let body = json!({"userId": id, "data": 2}).to_string();
        assert_eq!(herald.post("/v1/notices", body).await.status, 200);
        assert_eq!(herald.inbox(id).await, ["1", "2"], "{id}");
        let encoded: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = herald.get(&format!("/v1/users/{encoded}/notices")).await;
        assert_eq!(answer.json()["notices"].as_array().unwrap().len(), 2, "{id}: {answer:?}");
    }
}

#[tokio::test]
async fn a_batch_is_held_to_its_limits_as_a_whole() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let item = BatchSendNoticesItem { r#ref: String::new(), notice: Some(notice("a", "1")) };
    for (count, got) in [(0, "got 0"), (1_001, "got 1001")] {
        let items = vec![item.clone(); count];
        let status = grpc.batch_send_notices(BatchSendNoticesRequest { items }).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(fields(&status), ["items"]);
        assert!(
            status.message().contains("1 to 1000 items") && status.message().contains(got),
            "{status}"
        );

        let items = vec![json!({"notice": {"userId": "a", "data": 1}}); count];
        let answer = herald.post("/v1/notices:batch", json!({"items": items}).to_string()).await;
        assert_eq!((answer.status.as_u16(), answer.fields()), (400, vec!["items".to_owned()]));
    }
    // A little above the 4 MiB the limit is the batch's own, far above it is the message's.
    let large = format!("\"{}\"", "x".repeat(65_000));
    let item = BatchSendNoticesItem { notice: Some(notice("a", large)), ..item };
    for (count, code) in [(65, Code::InvalidArgument), (80, Code::OutOfRange)] {
        let items = vec![item.clone(); count];
        let status = grpc.batch_send_notices(BatchSendNoticesRequest { items }).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(
            status.message().contains("4194304") || status.message().contains("4259840"),
            "{status}"
        );
    }
    assert!(herald.inbox("a").await.is_empty(), "nothing was sent");
}

#[tokio::test]
async fn bad_questions_are_refused_with_their_fields() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let list = ListNoticesRequest { user_id: "a\n".into(), page_size: 101, ..Default::default() };
    let status = grpc.list_notices(list).await.unwrap_err();
    assert_eq!(fields(&status), ["page_size", "user_id"]);
    let list = ListNoticesRequest {
        user_id: "a".into(),
        page_token: "nonsense".into(),
        ..Default::default()
    };
    assert_eq!(fields(&grpc.list_notices(list).await.unwrap_err()), ["page_token"]);

    for (path, field) in [
        ("/v1/users/a%0Ab/notices", "userId"),
        ("/v1/users/%FF/notices", "userId"),
        ("/v1/users/a/notices?pageSize=101", "pageSize"),
        ("/v1/users/a/notices?pageSize=many", "pageSize"),
        ("/v1/users/a/notices?pageToken=x", "pageToken"),
        ("/v1/users/a/notices?limit=1", "limit"),
    ] {
        let answer = herald.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.fields()),
            (400, vec![field.to_owned()]),
            "{path}"
        );
    }

    let user_ids = vec!["a".to_owned(), String::new(), "b".repeat(129)];
    let presence = BatchGetPresenceRequest { user_ids };
    let status = grpc.batch_get_presence(presence).await.unwrap_err();
    assert_eq!(fields(&status), ["user_ids[1]", "user_ids[2]"]);
    let answer = herald.post("/v1/presence:query", r#"{"userIds":["a",""]}"#).await;
    assert_eq!(answer.fields(), ["userIds[1]"]);
    for count in [0, 1_001] {
        let user_ids = vec!["a".to_owned(); count];
        let presence = BatchGetPresenceRequest { user_ids };
        let status = grpc.batch_get_presence(presence).await.unwrap_err();
        assert!(status.message().contains("1 to 1000 ids"), "{status}");
    }
    // The answer stays small enough for the trailers of any client.
    let presence = BatchGetPresenceRequest { user_ids: vec![String::new(); 1_000] };
    let status = grpc.batch_get_presence(presence).await.unwrap_err();
    assert!(status.message().contains("and 999 more"), "{status}");
    assert!(status.details().len() < 6_000, "{}", status.details().len());
}

#[tokio::test]
async fn http_that_is_not_understood_is_answered_as_a_status() {
    let herald = Herald::start().await;
    let json = Some("application/json");
    let fine = r#"{"userId":"a","data":1}"#;
    let too_large = format!(r#"{{"userId":"a","data":"{}"}}"#, "x".repeat(5 << 20));
    let cases = [
        (Method::POST, "/v1/notices", json, "{\"userId\":\n oops}", 400, "line 2 column"),
        (Method::POST, "/v1/notices", json, "", 400, "not JSON"),
        (Method::POST, "/v1/notices", json, r#"{"user":"a"}"#, 400, "unknown field `user`"),
        (
            Method::POST,
            "/v1/notices",
            json,
            r#"{"userId":1,"data":1}"#,
            400,
            "userId: invalid type",
        ),
        (Method::POST, "/v1/notices", json, "[]", 400, "expected an object"),
        (Method::POST, "/v1/notices", None, fine, 415, "application/json"),
        (Method::POST, "/v1/notices", Some("text/plain"), fine, 415, "application/json"),
        (
            Method::POST,
            "/v1/notices",
            Some("application/x-www-form-urlencoded"),
            fine,
            415,
            "application/json",
        ),
        (Method::GET, "/v1/notices", None, "", 405, "GET"),
        (Method::DELETE, "/v1/users/a/notices", None, "", 405, "DELETE"),
        (Method::POST, "/v1/notice", json, fine, 404, "no such path"),
        (Method::POST, "/v1/users/a", json, "{}", 404, "no such path"),
        (Method::GET, "/", None, "", 404, "no such path"),
        (Method::POST, "/v1/notices", json, &too_large, 413, "at most 4194304 bytes"),
    ];
    for (method, path, kind, body, status, expected) in cases {
        let request =
            herald.build(method.clone(), path, kind, Bytes::copy_from_slice(body.as_bytes()));
        let answer = herald.request(request).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {answer:?}");
        assert_eq!(answer.headers["content-type"], "application/json");
        let error = answer.json();
        assert!(error["message"].as_str().unwrap().contains(expected), "{error}");
        assert!(error["code"].is_u64() && error["status"].is_string(), "{error}");
        assert!(error["details"].is_array(), "{error}");
        if status == 405 {
            assert!(answer.headers.contains_key("allow"), "{answer:?}");
        }
    }
    let charset = Some("application/json; charset=UTF-8");
    let answer = herald.request(herald.build(Method::POST, "/v1/notices", charset, fine)).await;
    assert_eq!(answer.status, 200);
}

/// Sends bytes as they are.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, bytes: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(out, bytes);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        bytes::Buf::advance(from, bytes::Buf::remaining(from));
        Ok(Some(()))
    }
}

#[tokio::test]
async fn malformed_protobuf_is_internal_and_harms_no_later_call() {
    let herald = Herald::start().await;
    let channel = herald.channel().await;
    let mut grpc = tonic::client::Grpc::new(channel);
    let path = http::uri::PathAndQuery::from_static("/herald.v1.NoticeService/SendNotice");
    // A length beyond the end, a group that never ends, text that is not UTF-8.
    for bytes in [&b"\x0a\xff\x01"[..], b"\x0b", b"\x0a\x01\xff"] {
        grpc.ready().await.unwrap();
        let request = Request::new(Bytes::copy_from_slice(bytes));
        let status = grpc.unary(request, path.clone(), Raw).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{status}");
        assert!(status.message().contains("decode"), "{status}");
    }
    herald.notices().await.send_notice(notice("a", "1")).await.unwrap();
}
