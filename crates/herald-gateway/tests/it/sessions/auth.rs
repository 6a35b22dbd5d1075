//! Who gets in, and what others are told.

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    herald::Herald,
    keys::TestKey,
    polling::{self, Http},
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn token(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::default(), claims, &key).unwrap()
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

async fn with_jwt() -> Herald {
    Herald::with(&[("HERALD_CLIENT_AUTH", "jwt"), ("HERALD_JWT_SECRET", SECRET)]).await
}

#[tokio::test]
async fn a_signed_token_lets_its_user_in_and_another_is_told_its_code() {
    let herald = with_jwt().await;
    let mut client = Client::open(herald.address).await;
    let expired = token(&json!({"sub": "alice", "exp": now() - 60}));
    for (auth, code) in [
        (json!({}), "token_missing"),
        (json!({"token": 7}), "token_malformed"),
        (json!({"token": "x"}), "token_malformed"),
        (json!({"token": "x".repeat(9000)}), "token_too_large"),
        (json!({"token": expired}), "token_expired"),
        (json!({"token": token(&json!({"exp": now() + 60}))}), "token_user"),
    ] {
        let expected = format!("Authentication error: {code}");
        // One connection may try again and again.
        assert_eq!(client.refused("/notice", auth).await, expected);
    }
    let good = token(&json!({"sub": "alice", "exp": now() + 60}));
    client.join("/notice", json!({ "token": good })).await;
    assert_eq!(herald.sessions("alice", 1).await.len(), 1);
}

#[tokio::test]
async fn a_public_key_of_each_kind_lets_its_users_in() {
    for key in TestKey::ALL {
        let pem = ("HERALD_JWT_PUBLIC_KEY", key.public_pem());
        let herald = Herald::with(&[("HERALD_CLIENT_AUTH", "jwt"), pem]).await;
        let token = key.sign(None, &json!({"sub": "alice", "exp": now() + 60}));
        Client::connect_with(herald.address, json!({ "token": token })).await;
        herald.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_token_in_the_query_will_do_and_the_packet_goes_before_it() {
    let herald = Herald::start().await;
    let mut client = Client::open_with(herald.address, "&token=alice&device=tv").await;
    client.join("/notice", json!({})).await;
    client.join("/", json!({"token": "bob", "device": "phone"})).await;
    let alice = herald.sessions("alice", 1).await;
    assert_eq!(alice[0].device.as_ref().unwrap().as_str(), "tv");
    let bob = herald.sessions("bob", 1).await;
    assert_eq!(bob[0].device.as_ref().unwrap().as_str(), "phone");
    assert_eq!(bob[0].socket_id, alice[0].socket_id);
    assert_ne!(bob[0].id, alice[0].id);
}

#[tokio::test]
async fn polling_clients_are_told_the_same() {
    let herald = with_jwt().await;
    let mut polls = Http::connect(herald.address).await;
    let sid = polling::handshake(&mut polls).await;
    let target = polling::target(&sid);
    assert_eq!(polls.get(&target).await.body, "2");
    assert_eq!(polls.request("POST", &target, "", "40/notice,{}").await.status, 200);
    let answer = polls.get(&target).await.body;
    assert_eq!(answer, r#"44/notice,{"message":"Authentication error: token_missing"}"#);
}

#[tokio::test]
async fn an_overlong_device_and_a_strange_auth_are_refused_with_a_reason() {
    let herald = Herald::start().await;
    let mut client = Client::open(herald.address).await;
    let device =
        client.refused("/notice", json!({"token": "alice", "device": "d".repeat(65)})).await;
    assert_eq!(device, "Handshake error: device must be at most 64 bytes of UTF-8, got 65");
    let strange = client.refused("/notice", json!([1])).await;
    assert_eq!(strange, "Authentication error: token_missing");
    let user = client.refused("/notice", json!({"token": "a\u{1}b"})).await;
    assert_eq!(user, "Authentication error: token_user");
    client.join("/notice", json!({"token": "alice"})).await;
}

#[tokio::test]
async fn presence_says_how_a_session_connected() {
    let herald = Herald::with(&[("HERALD_GATEWAY_NAME", "blue")]).await;
    let (_client, _) =
        Client::connect_with(herald.address, json!({"token": "alice", "device": "phone"})).await;
    let session = herald.sessions("alice", 1).await.remove(0);
    assert_eq!(session.gateway_name.as_str(), "blue");
    assert_eq!(session.namespace.as_str(), "/notice");
    assert_eq!(session.transport.as_str(), "websocket");
    assert!(session.connected_at_ms.abs_diff(now() * 1000) < 60_000);
}
