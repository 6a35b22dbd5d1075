//! Clients with tokens: let in, refused, and let in once theirs is mended.

use herald_e2e::{GatewayOptions, Sandbox, Script};
use serde_json::{Value, json};

use super::{
    Client,
    Language::{JavaScript, Python},
    PATIENCE, POLLING, UPGRADE, WEBSOCKET, notice, ready, send,
};

const SECRET: &str = "a secret of at least thirty-two bytes, for tests";

/// A gateway that wants tokens, and tokens for it in the order of `tokens`.
async fn herald_with_tokens(tokens: Value) -> (Sandbox, Vec<String>) {
    let env = [("HERALD_CLIENT_AUTH", "jwt"), ("HERALD_JWT_SECRET", SECRET)];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options = GatewayOptions { env, ..GatewayOptions::default() };
    let mut sandbox = Sandbox::builder().gateway(options).notifier().start().await.unwrap();
    let mut signed = Vec::new();
    let mut script = sandbox.node("sign.mjs", &json!({"tokens": tokens})).unwrap();
    for _ in tokens.as_array().unwrap() {
        let token = script.expect("token", PATIENCE).await.unwrap();
        signed.push(token["token"].as_str().unwrap().to_owned());
    }
    (sandbox, signed)
}

/// Seconds since 1970, from now.
fn epoch(from_now: i64) -> i64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    i64::try_from(now).unwrap() + from_now
}

#[tokio::test]
async fn a_token_that_is_signed_right_makes_its_subject_the_user() {
    let claims = |user: &str| json!({"sub": user, "exp": epoch(600)});
    let tokens = json!([
        {"claims": claims("alice"), "secret": SECRET},
        {"claims": claims("bob"), "secret": SECRET},
    ]);
    let (mut sandbox, tokens) = herald_with_tokens(tokens).await;
    let address = sandbox.gateways[0].address();
    let [alice, bob] = &tokens[..] else { unreachable!() };
    let mut clients = Vec::new();
    for (language, transports, token_in_query, token) in [
        (JavaScript, WEBSOCKET, false, alice),
        (JavaScript, POLLING, true, alice),
        (Python, WEBSOCKET, true, alice),
        (Python, POLLING, false, alice),
        (JavaScript, UPGRADE, true, bob),
    ] {
        let client = Client::new(language, address, token).over(transports);
        clients.push(Client { token_in_query, ..client }.start(&mut sandbox));
    }
    for client in &mut clients {
        ready(client).await;
    }
    send(&sandbox, "alice", "notice", "\"for alice\"").await;
    send(&sandbox, "bob", "notice", "\"for bob\"").await;
    let (bob, alices) = clients.split_last_mut().unwrap();
    for client in alices {
        assert_eq!(notice(client).await.1, "for alice");
    }
    assert_eq!(notice(bob).await.1, "for bob");
}

/// The next thing that it says of itself; a try to connect again would be one.
async fn next_but_upgrade(client: &mut Script) -> Value {
    loop {
        let said = client.next(PATIENCE).await.unwrap();
        if said["type"] != "upgrade" {
            return said;
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_named_and_not_tried_again_until_it_is_mended() {
    let good = json!({"sub": "alice", "exp": epoch(600)});
    let wrong = [
        (
            "token_signature",
            json!({"claims": good, "secret": "another secret of thirty-two bytes or so"}),
        ),
        (
            "token_expired",
            json!({"claims": {"sub": "alice", "exp": epoch(-600)}, "secret": SECRET}),
        ),
        ("token_algorithm", json!({"claims": good, "secret": SECRET, "algorithm": "HS512"})),
        ("token_algorithm", json!({"claims": good, "algorithm": "none"})),
        ("token_user", json!({"claims": {"exp": epoch(600)}, "secret": SECRET})),
    ];
    let tokens: Vec<_> = wrong
        .iter()
        .map(|(_, token)| token.clone())
        .chain([json!({"claims": good, "secret": SECRET})])
        .collect();
    let (mut sandbox, tokens) = herald_with_tokens(json!(tokens)).await;
    let address = sandbox.gateways[0].address();
    let (good, tokens) = tokens.split_last().unwrap();

    let mut clients = Vec::new();
    for (number, ((code, _), token)) in wrong.iter().zip(tokens).enumerate() {
        let transports = [WEBSOCKET, POLLING, UPGRADE][number % 3];
        let client = Client::new(JavaScript, address, token).over(transports);
        clients.push((*code, client.start(&mut sandbox)));
    }
    let mut python = Client::new(Python, address, &tokens[0]).start(&mut sandbox);
    for (code, client) in &mut clients {
        let refused = next_but_upgrade(client).await;
        assert_eq!(refused["type"], "connect_error", "{code}: {refused}");
        assert_eq!(refused["message"], format!("Authentication error: {code}"));
        assert_eq!(refused["active"], false, "{code}: it would try again: {refused}");
    }
    let refused = python.expect("connect_error", PATIENCE).await.unwrap();
    assert_eq!(refused["message"], "Authentication error: token_signature");
    python.expect("refused", PATIENCE).await.unwrap();

    for (code, client) in &mut clients {
        // Had it tried again meanwhile, it would have said so; it would have had hundreds of
        // milliseconds for it, with 20 ms between two tries.
        client.command(&json!({"do": "open", "auth": {"token": good}})).await.unwrap();
        let connected = next_but_upgrade(client).await;
        assert_eq!(connected["type"], "connect", "{code}: {connected}");
        ready(client).await;
    }
    send(&sandbox, "alice", "notice", "1").await;
    for (_, client) in &mut clients {
        assert_eq!(notice(client).await.1, json!(1));
    }
}
