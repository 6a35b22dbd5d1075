//! What is sent and not kept: volatile notices, and broadcasts.

use herald_backplane::{GatewayEvent, GatewayEvents, VolatileNotice};
use herald_proto::api::{
    BroadcastRequest, Outcome, SendNoticeRequest, SessionState, broadcast_request,
};
use serde_json::json;
use tonic::Code;

use crate::harness::{Herald, connect, in_time, notice, user};

fn volatile(id: &str, json: &str) -> SendNoticeRequest {
    SendNoticeRequest { volatile: true, ..notice(id, json.to_owned()) }
}

fn broadcast(event: &str, json: &'static str) -> BroadcastRequest {
    let payload = Some(broadcast_request::Payload::Json(json.into()));
    BroadcastRequest { event: event.into(), payload }
}

async fn heard(events: &mut GatewayEvents) -> (Option<String>, VolatileNotice) {
    match in_time(events.next()).await {
        Some(GatewayEvent::Volatile(user, notice)) => (Some(user.to_string()), notice),
        Some(GatewayEvent::Broadcast(notice)) => (None, notice),
        other => panic!("heard {other:?}"),
    }
}

#[tokio::test]
async fn a_volatile_notice_is_sent_to_who_is_there_and_kept_nowhere() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let nobody = grpc.send_notice(volatile("alice", "0")).await.unwrap().into_inner();
    assert_eq!(nobody.outcome(), Outcome::NoSession);
    assert!(nobody.wait_satisfied && nobody.sessions.is_empty() && !nobody.notice_id.is_empty());

    let (gateway, mut events) = herald.gateway("gateway-1:8013").await;
    let session = connect(&gateway, "gateway-1:8013", "alice", 1_000).await;
    let large = format!("\"{}\"", "x".repeat(60_000));
    for json in ["1", &large] {
        let sent = grpc.send_notice(volatile("alice", json)).await.unwrap().into_inner();
        assert_eq!(sent.outcome(), Outcome::Sent);
        assert_eq!(sent.sessions[0].session_id, session.to_string());
        assert_eq!(sent.sessions[0].state(), SessionState::Accepted);
        let (of, notice) = heard(&mut events).await;
        assert_eq!((of.as_deref(), notice.id.to_string()), (Some("alice"), sent.notice_id));
        assert_eq!(notice.notice.payload.bytes(), json);
    }
    let body = r#"{"userId":"alice","event":"tick","data":2,"volatile":true}"#;
    let answer = herald.post("/v1/notices", body).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["outcome"]), (200, &json!("OUTCOME_SENT")));
    assert_eq!(heard(&mut events).await.1.notice.event.as_str(), "tick");
    assert!(herald.inbox("alice").await.is_empty());
}

#[tokio::test]
async fn volatile_is_refused_with_what_needs_keeping() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let duration = prost_types::Duration { seconds: 1, nanos: 0 };
    let plain = volatile("alice", "1");
    for (request, field, json) in [
        (SendNoticeRequest { ttl: Some(duration), ..plain.clone() }, "ttl", r#""ttl":"1s""#),
        (
            SendNoticeRequest { idempotency_key: "k".into(), ..plain.clone() },
            "idempotency_key",
            r#""idempotencyKey":"k""#,
        ),
        (SendNoticeRequest { wait_for: 2, ..plain }, "wait_for", r#""waitFor":"WAIT_FOR_EMITTED""#),
    ] {
        let status = grpc.send_notice(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), format!("{field}: must not be combined with volatile"));
        let body = format!(r#"{{"userId":"alice","data":1,"volatile":true,{json}}}"#);
        assert_eq!(herald.post("/v1/notices", body).await.status, 400);
    }
}

#[tokio::test]
async fn a_broadcast_tells_every_gateway_over_both() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let told = grpc.broadcast(broadcast("", "0")).await.unwrap().into_inner();
    assert_eq!(told.gateways_told, 0);
    let mut gateways =
        [herald.gateway("gateway-1:8013").await, herald.gateway("gateway-2:8013").await];
    let told = grpc.broadcast(broadcast("news", r#"{"a": 1}"#)).await.unwrap().into_inner();
    assert_eq!(told.gateways_told, 2);
    let answer = herald.post("/v1/broadcast", r#"{"data":{"b": 1.50}}"#).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"gatewaysTold": 2})));
    for (_, events) in &mut gateways {
        for (event, json) in [("news", r#"{"a": 1}"#), ("notice", r#"{"b": 1.50}"#)] {
            let (of, notice) = heard(events).await;
            assert_eq!((of, notice.notice.event.as_str()), (None, event));
            assert_eq!(notice.notice.payload.bytes(), json);
        }
    }
    assert!(herald.inbox("*").await.is_empty());
    let presence = herald.backplane.notifier().presence(&[user("*")]).await.unwrap();
    assert!(presence[0].sessions.is_empty(), "nobody is that user");
}

#[tokio::test]
async fn a_bad_broadcast_is_refused_with_its_fields() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let bad = BroadcastRequest { event: "herald:x".into(), payload: None };
    let status = grpc.broadcast(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let answer = herald.post("/v1/broadcast", r#"{"event":"herald:x"}"#).await;
    assert_eq!(
        (answer.status.as_u16(), answer.fields()),
        (400, vec!["event".into(), "data".into()])
    );
    let answer = herald.post("/v1/broadcast", r#"{"userId":"a","data":1}"#).await;
    assert!(answer.json()["message"].as_str().unwrap().contains("unknown field `userId`"));
    let large = format!(r#"{{"data":"{}"}}"#, "x".repeat(65_536));
    assert_eq!(herald.post("/v1/broadcast", large).await.fields(), ["data"]);
}
