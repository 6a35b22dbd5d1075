//! Keys that an issuer publishes: read, changed, and not to be had.

use jsonwebtoken::get_current_timestamp;
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    eventually,
    herald::{Herald, options},
    issuer::{Answer, Issuer},
    keys::TestKey,
    soon,
};

fn published(keys: &[(TestKey, &str)]) -> Answer {
    let keys: Vec<Value> = keys.iter().map(|(key, kid)| key.jwk(kid)).collect();
    Answer::json(&json!({ "keys": keys }))
}

async fn gateway(source: &str, refresh: &str) -> Herald {
    Herald::with(&[
        ("HERALD_CLIENT_AUTH", "jwt"),
        ("HERALD_JWKS", source),
        ("HERALD_JWKS_REFRESH", refresh),
    ])
    .await
}

fn token(key: TestKey, kid: &str) -> Value {
    let claims = json!({"sub": "alice", "exp": get_current_timestamp() + 60});
    json!({ "token": key.sign(Some(kid), &claims) })
}

async fn refused(herald: &Herald, auth: Value) -> String {
    Client::open(herald.address).await.refused("/notice", auth).await
}

/// The client is sent away, without a connect_error.
async fn sent_away(herald: &Herald, auth: Value) {
    let mut client = Client::open(herald.address).await;
    client.socket.send(&format!("40/notice,{auth}")).await;
    assert_eq!(soon("the end", client.socket.next()).await, None);
}

async fn metric(herald: &Herald, line: &str) -> bool {
    let mut admin = crate::support::polling::Http::connect(herald.admin).await;
    admin.get("/metrics").await.body.lines().any(|found| found == line)
}

#[tokio::test]
async fn keys_are_rotated_while_clients_come() {
    let issuer = Issuer::start(published(&[(TestKey::Rsa, "one")])).await;
    let herald = gateway(&issuer.url(), "1h").await;
    Client::connect_with(herald.address, token(TestKey::Rsa, "one")).await;

    // A token of a key that is not known makes the gateway ask, and its client waits for the answer.
    issuer.answer(published(&[(TestKey::Rsa, "one"), (TestKey::P256, "two")]));
    Client::connect_with(herald.address, token(TestKey::P256, "two")).await;
    Client::connect_with(herald.address, token(TestKey::Rsa, "one")).await;

    // The old key goes; who still has a token of it finds out when the keys are read again.
    issuer.answer(published(&[(TestKey::Ed25519, "three")]));
    Client::connect_with(herald.address, token(TestKey::Ed25519, "three")).await;
    let message = refused(&herald, token(TestKey::Rsa, "one")).await;
    assert_eq!(message, "Authentication error: token_key");
    // A name is no way to make a key serve another algorithm.
    let message = refused(&herald, token(TestKey::Rsa, "three")).await;
    assert_eq!(message, "Authentication error: token_algorithm");
}

#[tokio::test]
async fn a_file_is_read_again_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jwks.json");
    let write = |key: TestKey, kid| {
        std::fs::write(&path, json!({ "keys": [key.jwk(kid)] }).to_string()).unwrap();
    };
    write(TestKey::Rsa, "one");
    let herald = gateway(path.to_str().unwrap(), "1h").await;
    Client::connect_with(herald.address, token(TestKey::Rsa, "one")).await;
    write(TestKey::Ed25519, "two");
    Client::connect_with(herald.address, token(TestKey::Ed25519, "two")).await;
}

#[tokio::test]
async fn made_up_names_do_not_flood_the_issuer() {
    let issuer = Issuer::start(published(&[(TestKey::P256, "one")])).await;
    let herald = gateway(&issuer.url(), "1h").await;
    let before = issuer.asked().len();
    let started = std::time::Instant::now();
    let strangers = (0..50).map(|nth| {
        let auth = token(TestKey::P256, &format!("made up {nth}"));
        refused(&herald, auth)
    });
    for message in futures_util::future::join_all(strangers).await {
        assert_eq!(message, "Authentication error: token_key");
    }
    let readings = issuer.asked().len() - before;
    let most = 2 + started.elapsed().as_secs() / 2;
    assert!(readings as u64 <= most, "{readings} readings, {most} at most");
}

#[tokio::test]
async fn an_issuer_that_cannot_be_read_leaves_the_keys_and_sends_strangers_away() {
    let issuer = Issuer::start(published(&[(TestKey::P256, "one")])).await;
    let herald = gateway(&issuer.url(), "1s").await;
    let million: Vec<Value> = vec![TestKey::Ed25519.jwk("x"); 1_000];
    let large = json!({ "keys": million }).to_string().repeat(300);
    for trouble in [
        Answer::status(500),
        Answer::status(404),
        Answer::status(302),
        Answer::text("<html>sign in</html>"),
        Answer::text(r#"{"keys": []}"#),
        Answer::text(r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "two"}]}"#),
        Answer::text(large),
        Answer::Stalls,
        Answer::Hangs,
    ] {
        issuer.answer(trouble.clone());
        let before = issuer.asked().len();
        eventually("asked", || issuer.asked().len() > before).await;
        Client::connect_with(herald.address, token(TestKey::P256, "one")).await;
        if !matches!(trouble, Answer::Hangs | Answer::Stalls) {
            // It may be a new key: the issuer would have to say.
            sent_away(&herald, token(TestKey::P256, "two")).await;
        }
    }
    assert!(herald.process.readiness.is_ready(), "with keys that are good");
    assert!(metric(&herald, "herald_gateway_jwks_keys 1").await);
    // It mends itself.
    issuer.answer(published(&[(TestKey::Ed25519, "two")]));
    Client::connect_with(herald.address, token(TestKey::Ed25519, "two")).await;
}

#[tokio::test]
async fn without_any_keys_it_is_not_ready_and_clients_come_back_later() {
    let issuer = Issuer::start(Answer::status(503)).await;
    let url = issuer.url();
    let options = options(&[
        ("HERALD_CLIENT_AUTH", "jwt"),
        ("HERALD_JWKS", &url),
        ("HERALD_JWKS_REFRESH", "1s"),
    ]);
    let backplane = herald_backplane::Backplane::open(&options.backplane).unwrap();
    let herald = Herald::launch(backplane, options).await;
    let report = || serde_json::to_string(&herald.process.readiness.report()).unwrap();
    eventually("it says why", || report().contains("it answers 503")).await;
    assert!(!herald.process.readiness.is_ready());
    issuer.answer(published(&[(TestKey::Rsa, "one")]));
    soon("ready", herald.process.readiness.until_ready()).await;
    Client::connect_with(herald.address, token(TestKey::Rsa, "one")).await;
}
