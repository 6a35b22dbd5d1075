//! Ending sessions, and forgetting users; the gateways are played.

use herald_backplane::{GatewayEvent, Since};
use herald_core::SessionId;
use herald_proto::api::{DisconnectUserRequest, PurgeUserRequest};
use http::StatusCode;
use serde_json::json;
use tonic::Code;

use crate::harness::{Herald, connect, notice, user};

#[tokio::test]
async fn who_obeys_is_closed_and_who_does_not_is_unknown() {
    let herald = Herald::start().await;
    let (obeys, mut events) = herald.gateway("gw:1").await;
    let (frozen, _deaf) = herald.gateway("gw:2").await;
    let first = connect(&obeys, "gw:1", "alice", 1).await;
    connect(&frozen, "gw:2", "alice", 2).await;
    connect(&obeys, "gw:1", "bob", 3).await;
    let gateway = tokio::spawn(async move {
        let Some(GatewayEvent::End(order)) = events.next().await else { panic!("no order") };
        assert_eq!((order.user.as_str(), order.words.as_str()), ("alice", "logged out"));
        obeys.disconnect(&[(user("alice"), first)]).await.unwrap();
        obeys
    });
    let request = DisconnectUserRequest {
        user_id: "alice".into(),
        reason: "logged out".into(),
        ..Default::default()
    };
    let answer = herald.notices().await.disconnect_user(request).await.unwrap().into_inner();
    assert_eq!((answer.closed, answer.unknown), (1, 1));
    let _obeys = gateway.await.unwrap();
    // Nobody believes in them any more, whoever has not answered.
    let presence = herald.post("/v1/presence:query", r#"{"userIds": ["alice", "bob"]}"#).await;
    assert_eq!(presence.json()["users"][0]["online"], false);
    assert_eq!(presence.json()["users"][1]["online"], true);
}

#[tokio::test]
async fn nobody_to_end_is_no_error_and_paths_say_who_is_meant() {
    let herald = Herald::start().await;
    for path in ["/v1/users/alice:disconnect", "/v1/users/a%3Ab:disconnect", "/v1/users/a:purge"] {
        let answer = herald.post(path, "{}").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        assert_eq!(answer.json(), json!({"closed": 0, "unknown": 0}));
    }
    let (gateway, mut events) = herald.gateway("gw:1").await;
    let session = connect(&gateway, "gw:1", "a:b", 1).await;
    let order = tokio::spawn(async move {
        let Some(GatewayEvent::End(order)) = events.next().await else { panic!("no order") };
        gateway.disconnect(&[(user("a:b"), session)]).await.unwrap();
        (order, gateway)
    });
    let body = json!({"sessionIds": [session.to_string(), SessionId::random().to_string()]});
    let answer = herald.post("/v1/users/a%3Ab:disconnect", body.to_string()).await;
    assert_eq!(answer.json(), json!({"closed": 1, "unknown": 0}));
    assert_eq!(order.await.unwrap().0.sessions.unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let herald = Herald::start().await;
    let mut client = herald.notices().await;
    let status = client.disconnect_user(DisconnectUserRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = client.purge_user(PurgeUserRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let long = "x".repeat(129);
    let many: Vec<String> = (0..101).map(|_| SessionId::random().to_string()).collect();
    for (body, field) in [
        (json!({"reason": long}), "reason"),
        (json!({"reason": "a\nb"}), "reason"),
        (json!({"sessionIds": ["x"]}), "sessionIds[0]"),
        (json!({"sessionIds": many}), "sessionIds"),
    ] {
        let answer = herald.post("/v1/users/alice:disconnect", body.to_string()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer.fields(), [field]);
    }
    for path in ["/v1/users/alice:disconnect", "/v1/users/alice:purge"] {
        let answer = herald.post(path, r#"{"userId": "bob"}"#).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(herald.post("/v1/users/alice:kill", "{}").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_purge_leaves_no_notices_and_no_keys() {
    let herald = Herald::start().await;
    let mut client = herald.notices().await;
    let mut keyed = notice("alice", "1");
    keyed.idempotency_key = "k".into();
    client.send_notice(keyed.clone()).await.unwrap();
    client.send_notice(notice("bob", "2")).await.unwrap();
    let request = PurgeUserRequest { user_id: "alice".into(), ..Default::default() };
    client.purge_user(request).await.unwrap();
    assert!(herald.inbox("alice").await.is_empty());
    assert_eq!(herald.inbox("bob").await, ["2"]);
    let again = client.send_notice(keyed).await.unwrap().into_inner();
    assert!(!again.duplicate);
    let page = herald.backplane.notifier().read(&user("alice"), Since::Start, 10).await.unwrap();
    assert_eq!(page.notices.len(), 1);
}
