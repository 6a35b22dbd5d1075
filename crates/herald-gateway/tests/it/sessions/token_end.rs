//! Sessions whose tokens end.

use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};

use crate::support::{client::Client, herald::Herald, soon};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

async fn gateway() -> Herald {
    Herald::with(&[
        ("HERALD_CLIENT_AUTH", "jwt"),
        ("HERALD_JWT_SECRET", SECRET),
        ("HERALD_JWT_LEEWAY", "0"),
        ("HERALD_TOKEN_EXPIRY_NOTICE", "3s"),
    ])
    .await
}

fn token(user: &str, seconds: u64) -> Value {
    let claims = json!({"sub": user, "exp": get_current_timestamp() + seconds});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    json!({ "token": encode(&Header::default(), &claims, &key).unwrap() })
}

/// The client is told that its token ends within the notice.
async fn told(client: &mut Client) {
    let event = client.event().await;
    assert_eq!(event.name, "herald:token-expiring");
    let in_ms = event.args[0]["inMs"].as_u64().unwrap();
    assert!((1..=3_000).contains(&in_ms), "{in_ms}");
}

#[tokio::test]
async fn one_client_brings_another_token_and_the_other_is_closed() {
    let herald = gateway().await;
    let (mut renews, _) = Client::connect_with(herald.address, token("alice", 5)).await;
    let (mut stays, _) = Client::connect_with(herald.address, token("alice", 5)).await;
    told(&mut renews).await;
    told(&mut stays).await;
    let answer = renews.hand_in(&token("alice", 3600)).await;
    assert_eq!(answer["ok"], true, "{answer}");
    assert!(answer["endsInMs"].as_u64().unwrap() > 3_500_000, "{answer}");

    assert_eq!(soon("the end", stays.socket.next()).await, None, "closed, without a packet");
    herald.sessions("alice", 1).await;
    herald.send("alice", "1").await;
    renews.expect([1], false).await;
}

#[tokio::test]
async fn a_new_token_that_ends_soon_is_told_of_too() {
    let herald = gateway().await;
    let (mut client, _) = Client::connect_with(herald.address, token("alice", 3600)).await;
    assert_eq!(client.hand_in(&token("alice", 4)).await["ok"], true);
    told(&mut client).await;
    assert_eq!(client.hand_in(&token("alice", 4)).await["ok"], true);
    told(&mut client).await;
    assert_eq!(soon("the end", client.socket.next()).await, None);
}

#[tokio::test]
async fn a_token_that_will_not_do_changes_nothing() {
    let herald = gateway().await;
    let (mut client, _) = Client::connect_with(herald.address, token("alice", 3600)).await;
    for (handed_in, code) in [
        (token("bob", 3600), "token_other_user"),
        (json!({}), "token_missing"),
        (json!({"token": null}), "token_missing"),
        (json!({"token": 5}), "token_malformed"),
        (json!([]), "token_malformed"),
        (json!({"token": "x"}), "token_malformed"),
        (json!({"token": "x".repeat(9000)}), "token_too_large"),
    ] {
        assert_eq!(client.hand_in(&handed_in).await, json!({ "error": code }), "{handed_in}");
    }
    // The bare token will do as well, and a client that asks for no answer gets none.
    assert_eq!(client.hand_in(&token("alice", 7200)["token"]).await["ok"], true);
    let silent = json!(["herald:token", token("alice", 7200)]);
    client.socket.send(&format!("42/notice,{silent}")).await;
    herald.send("alice", "1").await;
    client.expect([1], false).await;
    herald.send("bob", "2").await;
    herald.send("alice", "3").await;
    client.expect([3], false).await;
}

#[tokio::test]
async fn a_token_that_outlives_all_is_no_trouble() {
    let herald = gateway().await;
    let claims = json!({"sub": "alice", "exp": u64::MAX});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let auth = json!({ "token": encode(&Header::default(), &claims, &key).unwrap() });
    let (mut client, _) = Client::connect_with(herald.address, auth).await;
    herald.send("alice", "1").await;
    client.expect([1], false).await;
}
