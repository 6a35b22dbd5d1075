//! Asking who is there.

use herald_proto::api::{BatchGetPresenceRequest, Transport};

use crate::harness::{Herald, connect, user};

#[tokio::test]
async fn presence_is_answered_for_each_user_in_the_order_asked() {
    let herald = Herald::start().await;
    let (gateway, _events) = herald.gateway("gateway-1:8013").await;
    let second = connect(&gateway, "gateway-1:8013", "bob", 2_000).await;
    let first = connect(&gateway, "gateway-1:8013", "bob", 1_000).await;

    let mut grpc = herald.notices().await;
    let ask = BatchGetPresenceRequest {
        user_ids: ["nobody", "bob", "nobody"].map(str::to_owned).to_vec(),
    };
    let answer = grpc.batch_get_presence(ask.clone()).await.unwrap().into_inner();
    let seen: Vec<(&str, bool, usize)> =
        answer.users.iter().map(|u| (&*u.user_id, u.online, u.sessions.len())).collect();
    assert_eq!(seen, [("nobody", false, 0), ("bob", true, 2), ("nobody", false, 0)]);
    let session = &answer.users[1].sessions[0];
    assert_eq!(session.session_id, first.to_string());
    assert_eq!(session.transport(), Transport::Polling);
    assert_eq!(session.user_agent.as_deref(), Some("test/1"));
    assert_eq!(session.connect_time.unwrap().seconds, 1);
    assert_eq!(session.socket_id, "socket-1");

    let http = herald.post("/v1/presence:query", r#"{"userIds":["bob"]}"#).await;
    assert_eq!(http.status, 200);
    let http = http.json();
    assert_eq!(http["users"][0]["sessions"][1]["sessionId"], second.to_string());
    assert_eq!(http["users"][0]["sessions"][1]["connectTime"], "1970-01-01T00:00:02Z");

    gateway.disconnect(&[(user("bob"), first), (user("bob"), second)]).await.unwrap();
    let answer = grpc.batch_get_presence(ask).await.unwrap().into_inner();
    assert!(answer.users.iter().all(|user| !user.online), "{answer:?}");
}
