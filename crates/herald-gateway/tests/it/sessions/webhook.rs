//! The company's own endpoint says who clients are.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    herald::Herald,
    issuer::{Answer, Issuer},
    soon,
};

async fn gateway(issuer: &Issuer, changes: &[(&str, &str)]) -> Herald {
    let url = issuer.url();
    let mut environment = vec![
        ("HERALD_CLIENT_AUTH", "webhook"),
        ("HERALD_AUTH_WEBHOOK", url.as_str()),
        ("HERALD_AUTH_WEBHOOK_SECRET", "what-the-webhook-knows-us-by"),
    ];
    environment.extend(changes);
    Herald::with(&environment).await
}

fn is(user: &str) -> Answer {
    Answer::json(&json!({ "userId": user }))
}

fn auth() -> Value {
    json!({"token": "a session cookie, say"})
}

async fn refused(herald: &Herald, auth: Value) -> String {
    Client::open(herald.address).await.refused("/notice", auth).await
}

async fn sent_away(herald: &Herald) {
    let mut client = Client::open(herald.address).await;
    client.socket.send(&format!("40/notice,{}", auth())).await;
    assert_eq!(soon("the end", client.socket.next()).await, None);
}

#[tokio::test]
async fn it_is_asked_with_our_secret_and_names_the_user() {
    let issuer = Issuer::start(is("alice")).await;
    let herald = gateway(&issuer, &[]).await;
    Client::connect_with(herald.address, auth()).await;
    assert_eq!(herald.sessions("alice", 1).await.len(), 1);
    let asked = issuer.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer what-the-webhook-knows-us-by"));
    assert_eq!(asked[0].body, auth().to_string());
}

#[tokio::test]
async fn its_refusals_are_final() {
    let issuer = Issuer::start(Answer::status(401)).await;
    let herald = gateway(&issuer, &[]).await;
    assert_eq!(refused(&herald, auth()).await, "Authentication error: token_refused");
    issuer.answer(Answer::status(403));
    assert_eq!(refused(&herald, auth()).await, "Authentication error: token_refused");
    issuer.answer(is(""));
    assert_eq!(refused(&herald, auth()).await, "Authentication error: token_user");
    assert_eq!(refused(&herald, json!({})).await, "Authentication error: token_missing");
    assert_eq!(issuer.asked().len(), 3, "without a token there is nothing to ask");
}

#[tokio::test]
async fn while_it_is_away_clients_are_sent_away_in_a_way_that_they_come_back_from() {
    let issuer = Issuer::start(Answer::status(500)).await;
    let herald = gateway(&issuer, &[("HERALD_AUTH_WEBHOOK_TIMEOUT", "500ms")]).await;
    for trouble in [
        Answer::status(500),
        Answer::status(429),
        Answer::status(302),
        Answer::status(204),
        Answer::text("alice"),
        Answer::text(r#"{"userId": 5}"#),
        Answer::text("x".repeat(100_000)),
        Answer::Stalls,
        Answer::Hangs,
    ] {
        issuer.answer(trouble);
        sent_away(&herald).await;
    }
    issuer.answer(is("alice"));
    Client::connect_with(herald.address, auth()).await;
}

#[tokio::test]
async fn an_answer_is_used_again_as_long_as_it_says() {
    let issuer = Issuer::start(is("alice")).await;
    let herald = gateway(&issuer, &[]).await;
    for (answer, questions) in [
        (is("alice"), 3),
        (is("alice").cached("no-store, max-age=60"), 3),
        (is("alice").cached("private, max-age=60"), 1),
        // Those before are good for a minute.
        (is("bob").cached("max-age=60"), 0),
    ] {
        issuer.answer(answer);
        let before = issuer.asked().len();
        for _ in 0..3 {
            Client::connect_with(herald.address, auth()).await;
        }
        assert_eq!(issuer.asked().len() - before, questions);
    }
    issuer.answer(Answer::status(403).cached("max-age=60"));
    for _ in 0..3 {
        let message = refused(&herald, json!({"token": "another"})).await;
        assert_eq!(message, "Authentication error: token_refused");
    }
    assert_eq!(issuer.asked().iter().filter(|asked| asked.body.contains("another")).count(), 1);
}

#[tokio::test]
async fn questions_are_bounded_and_waiting_for_a_turn_is_too() {
    let issuer = Issuer::start(Answer::Hangs).await;
    let changes = [("HERALD_AUTH_WEBHOOK_CONCURRENCY", "2"), ("HERALD_AUTH_WEBHOOK_TIMEOUT", "1s")];
    let herald = gateway(&issuer, &changes).await;
    let all = (0..10).map(|_| sent_away(&herald));
    futures_util::future::join_all(all).await;
    // Two at first, and perhaps two more at the very end of the others' time.
    assert!(issuer.asked().len() <= 4, "{}", issuer.asked().len());
}

#[tokio::test]
async fn a_session_ends_when_it_says_and_may_be_renewed_by_asking_again() {
    let ends = json!({"userId": "alice", "expiresIn": 3.5});
    let issuer = Issuer::start(Answer::json(&ends).cached("max-age=60")).await;
    let herald = gateway(&issuer, &[("HERALD_TOKEN_EXPIRY_NOTICE", "3s")]).await;
    let (mut client, _) = Client::connect_with(herald.address, auth()).await;
    let (mut other, _) = Client::connect_with(herald.address, auth()).await;
    let told = client.event().await;
    assert_eq!(told.name, "herald:token-expiring");
    assert!(told.args[0]["inMs"].as_u64().unwrap() <= 3_000, "{told:?}");
    issuer.answer(Answer::json(&json!({"userId": "alice", "expiresIn": 3600})));
    let answer = client.hand_in(&auth()).await;
    assert_eq!(answer["ok"], true);
    assert!(answer["endsInMs"].as_u64().unwrap() > 3_500_000, "{answer}");
    assert_eq!(issuer.asked().len(), 2, "what was remembered will not do");
    // The other one, which was told the same, ends.
    while soon("the end", other.socket.next()).await.is_some() {}
    herald.send("alice", "1").await;
    client.expect([1], false).await;
}
