//! Sessions that are ended for good.

use herald_backplane::{EndReason, Ending};
use herald_core::{SessionId, UserId};
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

use crate::support::{client::Client, eventually, herald::Herald, soon};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn kick(sessions: Option<Vec<SessionId>>, tokens: bool) -> Ending {
    Ending { sessions, tokens, why: EndReason::Kicked, words: "logged out".into() }
}

async fn end(herald: &Herald, user: &str, ending: &Ending) -> usize {
    let user = UserId::new(user).unwrap();
    herald.backplane.notifier().end_sessions(&user, ending).await.unwrap().len()
}

/// The client is told why, and then Socket.IO's own disconnect, after which stock clients stay away.
async fn told(client: &mut Client, reason: Value) {
    let event = client.event().await;
    assert_eq!(event.name, "herald:ended");
    assert_eq!(event.args, [reason]);
    assert_eq!(soon("the packet", client.socket.next()).await.as_deref(), Some("41/notice,"));
}

#[tokio::test]
async fn all_sessions_of_a_user_end_everywhere_and_nobody_elses() {
    let herald = Herald::start().await;
    let beside = herald.beside().await;
    let (mut here, _) = Client::connect(herald.address, "alice").await;
    let (mut there, _) = Client::connect(beside.address, "alice").await;
    let (mut other, _) = Client::connect(herald.address, "bob").await;
    herald.sessions("alice", 2).await;
    assert_eq!(end(&herald, "alice", &kick(None, false)).await, 2);
    for client in [&mut here, &mut there] {
        told(client, json!({"reason": "kicked", "message": "logged out"})).await;
    }
    herald.sessions("alice", 0).await;
    herald.send("bob", "1").await;
    other.expect([1], false).await;
    // It is an end, not a ban.
    let (mut again, _) = Client::connect(herald.address, "alice").await;
    herald.send("alice", "2").await;
    again.expect([2], false).await;
}

#[tokio::test]
async fn a_named_session_ends_alone() {
    let herald = Herald::start().await;
    let mut one = Client::open(herald.address).await;
    let session = one.join("/notice", json!({"token": "alice"})).await.text("session");
    let (mut two, _) = Client::connect(herald.address, "alice").await;
    let ending = kick(Some(vec![session.parse().unwrap()]), false);
    assert_eq!(end(&herald, "alice", &ending).await, 1);
    told(&mut one, json!({"reason": "kicked", "message": "logged out"})).await;
    herald.sessions("alice", 1).await;
    herald.send("alice", "1").await;
    two.expect([1], false).await;
}

#[tokio::test]
async fn a_gateway_that_was_not_told_finds_out_when_it_registers_again() {
    let herald = Herald::start().await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let gateway = herald.sessions("alice", 1).await[0].gateway;
    // As a gateway that was frozen: its lease is gone, and with it who could be told.
    herald.fence(gateway);
    assert_eq!(end(&herald, "alice", &kick(None, false)).await, 0);
    told(&mut client, json!({"reason": "kicked"})).await;
    herald.sessions("alice", 0).await;
}

#[tokio::test]
async fn revoked_tokens_are_refused_and_newer_ones_are_not() {
    let jwt = [
        ("HERALD_CLIENT_AUTH", "jwt"),
        ("HERALD_JWT_SECRET", SECRET),
        ("HERALD_TOKEN_EXPIRY_NOTICE", "1s"),
    ];
    let herald = Herald::with(&jwt).await;
    let token = |issued: Option<u64>| {
        let mut claims = json!({"sub": "alice", "exp": get_current_timestamp() + 600});
        if let Some(issued) = issued {
            claims["iat"] = issued.into();
        }
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        json!({ "token": encode(&Header::default(), &claims, &key).unwrap() })
    };
    let old = token(Some(get_current_timestamp()));
    let (mut client, _) = Client::connect_with(herald.address, old.clone()).await;
    herald.sessions("alice", 1).await;
    end(&herald, "alice", &kick(None, true)).await;
    told(&mut client, json!({"reason": "kicked", "message": "logged out"})).await;
    for token in [&old, &token(None), &token(Some(0))] {
        let mut client = Client::open(herald.address).await;
        let message = client.refused("/notice", token.clone()).await;
        assert_eq!(message, "Authentication error: token_revoked");
    }
    // Issuers count in seconds: one of the same second may be from before.
    let new = token(Some(get_current_timestamp() + 2));
    let (mut client, _) = Client::connect_with(herald.address, new.clone()).await;
    // Nor is an old one a way to stay.
    assert_eq!(client.hand_in(&old).await, json!({"error": "token_revoked"}));
    assert_eq!(client.hand_in(&new).await["ok"], true);
}

#[tokio::test]
async fn of_too_many_sessions_the_oldest_ends() {
    let herald = Herald::with(&[("HERALD_SESSIONS_PER_USER", "3")]).await;
    let mut clients = Vec::new();
    for number in 0..6 {
        let (client, _) = Client::connect(herald.address, "alice").await;
        clients.push(client);
        // Their times of connecting differ.
        let before = std::time::SystemTime::now();
        eventually("a later millisecond", || {
            before.elapsed().is_ok_and(|elapsed| elapsed.as_millis() >= 2)
        })
        .await;
        if number >= 3 {
            told(&mut clients[number - 3], json!({"reason": "evicted"})).await;
        }
    }
    herald.sessions("alice", 3).await;
    herald.send("alice", "1").await;
    for client in &mut clients[3..] {
        client.expect([1], false).await;
    }
}
