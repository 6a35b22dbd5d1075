//! What stock clients see: socket.io-client and python-socketio on every transport, and gRPC from
//! Node. That payloads are the sender's to the byte is tested with the raw client.

use std::time::Duration;

use herald_e2e::{GatewayOptions, Relay, Sandbox, Script};
use herald_loadgen::Outgoing;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

const WEBSOCKET: &[&str] = &["websocket"];
const POLLING: &[&str] = &["polling"];
const UPGRADE: &[&str] = &["polling", "websocket"];

/// Payloads as they are sent; what a client makes of them is up to its language's numbers.
const PAYLOADS: [&str; 6] = [
    r#"{"n":9007199254740993,"f":0.1,"text":"ü \" \u001e 😀","nested":{"list":[1,[2,{"null":null}]]}}"#,
    "null",
    "{}",
    "[]",
    "\"only text\"",
    "false",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    JavaScript,
    Python,
}
use Language::{JavaScript, Python};

/// How a client connects.
#[derive(Debug, Clone)]
struct Client {
    language: Language,
    transports: &'static [&'static str],
    namespace: &'static str,
    token_in_query: bool,
    token: String,
    cursor: Option<&'static str>,
    resume: bool,
    address: std::net::SocketAddr,
}

impl Client {
    fn new(language: Language, address: std::net::SocketAddr, token: impl Into<String>) -> Self {
        Self {
            language,
            transports: WEBSOCKET,
            namespace: "/notice",
            token_in_query: false,
            token: token.into(),
            cursor: None,
            resume: false,
            address,
        }
    }

    fn over(self, transports: &'static [&'static str]) -> Self {
        Self { transports, ..self }
    }

    /// Starts it. With the token in the query it sends no `auth` at all.
    fn start(&self, sandbox: &mut Sandbox) -> Script {
        let Self { namespace, transports, token, cursor, resume, .. } = self;
        let mut auth = json!({"token": token, "cursor": cursor});
        if cursor.is_none() {
            auth.as_object_mut().unwrap().remove("cursor");
        }
        let auth = if self.token_in_query { Value::Null } else { auth };
        match self.language {
            JavaScript => {
                let mut config = json!({
                    "url": format!("http://{}{namespace}", self.address), "path": "/notice",
                    "transports": transports, "auth": auth, "resume": resume, "hear": "notice",
                    "reconnectionDelay": 20, "reconnectionDelayMax": 100,
                });
                if self.token_in_query {
                    config["query"] = json!({"token": token});
                }
                sandbox.node("client.mjs", &config).unwrap()
            }
            Python => {
                let query =
                    if self.token_in_query { format!("?token={token}") } else { String::new() };
                let config = json!({
                    "url": format!("http://{}{query}", self.address), "path": "notice",
                    "namespace": namespace, "transports": transports, "auth": auth,
                    "resume": resume,
                });
                sandbox.python("client.py", &config).unwrap()
            }
        }
    }
}

/// One gateway and a notifier.
async fn herald() -> Sandbox {
    Sandbox::builder().gateways(1).notifier().start().await.unwrap()
}

async fn send(sandbox: &Sandbox, user: &str, event: &str, payload: &str) -> String {
    let notice = Outgoing { event: event.into(), ..Outgoing::new(user, payload) };
    sandbox.notifier().http().send(&notice).await.unwrap().notice_id
}

/// Waits for `herald:ready`, which has to be the first event, and returns its argument.
async fn ready(client: &mut Script) -> Value {
    let event = client.expect("event", PATIENCE).await.unwrap();
    assert_eq!(event["event"], "herald:ready", "{event}");
    event["args"][0].clone()
}

/// The next event, as (name, payload, meta); it must be a notice.
async fn notice(client: &mut Script) -> (String, Value, Value) {
    let event = client.expect("event", PATIENCE).await.unwrap();
    let name = event["event"].as_str().unwrap().to_owned();
    assert!(!name.starts_with("herald:"), "{event}");
    let [payload, meta] = &event["args"].as_array().unwrap()[..] else {
        panic!("not two arguments: {event}");
    };
    (name, payload.clone(), meta.clone())
}

/// Sends all kinds of payloads to a client that is ready, and compares what arrives.
async fn everything_arrives(
    sandbox: &Sandbox,
    language: Language,
    user: &str,
    client: &mut Script,
) {
    for (number, payload) in PAYLOADS.iter().enumerate() {
        let event = if number % 2 == 0 { "notice" } else { "order.shipped" };
        let id = send(sandbox, user, event, payload).await;
        let (name, got, meta) = notice(client).await;
        let mut expected: Value = serde_json::from_str(payload).unwrap();
        // Numbers beyond 2^53 are the sender's on the wire; JavaScript has none such.
        if language == JavaScript && expected.get("n").is_some() {
            expected["n"] = json!(9_007_199_254_740_992_u64);
        }
        assert_eq!((name.as_str(), &got), (event, &expected), "{user}");
        check_meta(&meta, &id, false);
    }
}

fn check_meta(meta: &Value, id: &str, replayed: bool) {
    let mut fields: Vec<_> = meta.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["cursor", "id", "replayed", "sentAt"]);
    assert_eq!((&meta["id"], &meta["replayed"]), (&json!(id), &json!(replayed)), "{meta}");
    assert!(!meta["cursor"].as_str().unwrap().is_empty(), "{meta}");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
    let sent_at = u128::from(meta["sentAt"].as_u64().unwrap());
    assert!(now.abs_diff(sent_at) < 60_000, "{meta} is not of now, {now}");
}

/// Every transport with both namespaces, the token in `auth` and in the query.
async fn every_way_of_connecting(language: Language, ways: &[&'static [&'static str]]) {
    let mut sandbox = herald().await;
    let address = sandbox.gateways[0].address();
    let mut clients = Vec::new();
    for (number, transports) in ways.iter().enumerate() {
        for (namespace, token_in_query) in
            [("/notice", false), ("/notice", true), ("/", false), ("/", true)]
        {
            let user = format!("user-{number}-{}-{token_in_query}", namespace.len());
            let client = Client::new(language, address, &user).over(transports);
            let client = Client { namespace, token_in_query, ..client };
            let script = client.start(&mut sandbox);
            clients.push((client, user, script));
        }
    }
    for (client, user, script) in &mut clients {
        let connected = script.expect("connect", PATIENCE).await.unwrap();
        if let [transport] = client.transports {
            assert_eq!(connected["transport"], *transport, "{client:?}");
        }
        if (language, client.transports) == (JavaScript, UPGRADE) {
            // What is sent while the transport is being changed is neither lost nor out of order.
            for number in 0..30 {
                send(&sandbox, user, "notice", &format!("{{\"burst\":{number}}}")).await;
            }
            let ready = ready(script).await;
            assert!(ready["cursor"].is_string() && ready["session"].is_string(), "{ready}");
            for number in 0..30 {
                assert_eq!(notice(script).await.1, json!({"burst": number}), "{client:?}");
            }
        } else {
            ready(script).await;
        }
        everything_arrives(&sandbox, language, user, script).await;
    }
}

#[tokio::test]
async fn the_javascript_client_receives_over_every_transport_on_both_namespaces() {
    every_way_of_connecting(JavaScript, &[WEBSOCKET, POLLING, UPGRADE]).await;
}

#[tokio::test]
async fn the_python_client_receives_over_every_transport_on_both_namespaces() {
    every_way_of_connecting(Python, &[WEBSOCKET, POLLING]).await;
}

#[tokio::test]
async fn the_javascript_client_upgrades_and_a_listener_with_one_argument_works() {
    let mut sandbox = herald().await;
    let address = sandbox.gateways[0].address();
    let mut client = Client::new(JavaScript, address, "alice").over(UPGRADE).start(&mut sandbox);
    let upgraded = client.expect("upgrade", PATIENCE).await.unwrap();
    assert_eq!(upgraded["transport"], "websocket");
    for payload in ["null", "{}", r#"{"text":"after the upgrade"}"#] {
        send(&sandbox, "alice", "notice", payload).await;
        let heard = client.expect("heard", PATIENCE).await.unwrap();
        assert_eq!(heard["payload"].to_string(), payload);
    }
}

#[tokio::test]
async fn two_namespaces_over_one_connection_are_two_sessions() {
    let mut sandbox = herald().await;
    let url = format!("http://{}", sandbox.gateways[0].address());
    let config = json!({"url": url, "path": "/notice", "namespaces": ["/notice", "/"],
        "auth": {"token": "alice"}, "transports": WEBSOCKET});
    let mut client = sandbox.node("multiplex.mjs", &config).unwrap();
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push(ready(&mut client).await["session"].clone());
    }
    assert_ne!(sessions[0], sessions[1]);

    let id = send(&sandbox, "alice", "notice", r#"{"number":1}"#).await;
    let mut namespaces = Vec::new();
    for _ in 0..2 {
        let event = client.expect("event", PATIENCE).await.unwrap();
        assert_eq!(event["args"][1]["id"], json!(id));
        namespaces.push(event["namespace"].as_str().unwrap().to_owned());
    }
    namespaces.sort();
    assert_eq!(namespaces, ["/", "/notice"]);

    client.command(&json!({"do": "close", "namespace": "/"})).await.unwrap();
    client.expect("disconnect", PATIENCE).await.unwrap();
    send(&sandbox, "alice", "notice", r#"{"number":2}"#).await;
    let event = client.expect("event", PATIENCE).await.unwrap();
    assert_eq!((&event["namespace"], &event["args"][0]["number"]), (&json!("/notice"), &json!(2)));
}

#[tokio::test]
async fn a_client_that_was_cut_off_gets_what_it_missed_in_order_and_marked() {
    let mut sandbox = herald().await;
    let relay = Relay::start(sandbox.gateways[0].address()).await.unwrap();
    let mut clients = Vec::new();
    for (language, transports) in [
        (JavaScript, WEBSOCKET),
        (JavaScript, POLLING),
        (JavaScript, UPGRADE),
        (Python, WEBSOCKET),
        (Python, POLLING),
    ] {
        let user = format!("user-{}", clients.len());
        let client = Client::new(language, relay.address(), &user).over(transports);
        let client = Client { resume: true, ..client };
        clients.push((user, client.start(&mut sandbox), client));
    }
    let mut kept = Vec::new();
    for (user, script, client) in &mut clients {
        let first = ready(script).await;
        if (client.language, client.transports) == (JavaScript, UPGRADE) {
            // So that it is the WebSocket that is cut.
            send(&sandbox, user, "notice", "null").await;
            notice(script).await;
        }
        let id = send(&sandbox, user, "notice", r#"{"before":true}"#).await;
        let (_, _, meta) = notice(script).await;
        check_meta(&meta, &id, false);
        assert_ne!(meta["cursor"], first["cursor"]);
        kept.push(meta["cursor"].clone());
    }

    relay.cut();
    let mut missed = Vec::new();
    for (user, script, _) in &mut clients {
        script.expect("disconnect", PATIENCE).await.unwrap();
        let mut ids = Vec::new();
        for number in 0..5 {
            ids.push(send(&sandbox, user, "notice", &format!("{{\"number\":{number}}}")).await);
        }
        missed.push(ids);
    }
    relay.mend();

    for (((user, script, client), ids), cursor) in clients.iter_mut().zip(missed).zip(kept) {
        // It goes on where it was, and says so.
        assert_eq!(ready(script).await["cursor"], cursor, "{client:?}");
        for (number, id) in ids.iter().enumerate() {
            let (_, payload, meta) = notice(script).await;
            assert_eq!(payload, json!({"number": number}), "{client:?}");
            check_meta(&meta, id, true);
        }
        let id = send(&sandbox, user, "notice", r#"{"after":true}"#).await;
        let (_, payload, meta) = notice(script).await;
        assert_eq!(payload, json!({"after": true}), "{client:?}");
        check_meta(&meta, &id, false);
    }
}

#[tokio::test]
async fn start_asks_for_all_that_is_kept_and_no_cursor_for_nothing_old() {
    let mut sandbox = herald().await;
    let address = sandbox.gateways[0].address();
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(send(&sandbox, "alice", "notice", &number.to_string()).await);
    }
    let start =
        |language| Client { cursor: Some("start"), ..Client::new(language, address, "alice") };
    let all = [start(JavaScript), start(Python), start(JavaScript).over(POLLING)];
    let mut all: Vec<_> = all.iter().map(|client| client.start(&mut sandbox)).collect();
    for client in &mut all {
        ready(client).await;
        for (number, id) in ids.iter().enumerate() {
            let (_, payload, meta) = notice(client).await;
            assert_eq!(payload, json!(number));
            check_meta(&meta, id, true);
        }
    }
    let mut none = Client::new(JavaScript, address, "alice").start(&mut sandbox);
    ready(&mut none).await;
    let id = send(&sandbox, "alice", "notice", "3").await;
    for client in all.iter_mut().chain([&mut none]) {
        let (_, payload, meta) = notice(client).await;
        assert_eq!(payload, json!(3));
        check_meta(&meta, &id, false);
    }
}

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

#[tokio::test]
async fn node_calls_over_grpc_by_the_proto_files_and_by_reflection() {
    let mut sandbox = herald().await;
    let gateway = sandbox.gateways[0].address();
    let mut alice = Client::new(JavaScript, gateway, "alice").start(&mut sandbox);
    ready(&mut alice).await;
    let address = sandbox.notifier().grpc_address().to_string();
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto");
    for protos in [Some(protos), None] {
        // Only from the files does the loader make camelCase of names.
        let case = |name: &'static str, reflected| if protos.is_some() { name } else { reflected };
        let (user_id, user_ids) = (case("userId", "user_id"), case("userIds", "user_ids"));
        let mut call = async |service: &str, method: &str, request: Value| {
            let mut config = json!({"address": address, "service": service, "method": method,
                "request": request});
            if let Some(protos) = protos {
                config["protos"] = json!(protos);
            }
            sandbox.node("grpc-send.mjs", &config).unwrap().next(PATIENCE).await.unwrap()
        };
        const NOTICES: &str = "herald.v1.NoticeService";

        let json = r#"{"n":9007199254740993,"list":[]}"#;
        let request = json!({user_id: "alice", "json": json});
        let answer = call(NOTICES, "sendNotice", request).await;
        assert_eq!(answer["response"]["outcome"], "OUTCOME_ACCEPTED", "{answer}");
        let (_, payload, meta) = notice(&mut alice).await;
        assert_eq!(payload, json!({"n": 9_007_199_254_740_992_u64, "list": []}));
        check_meta(
            &meta,
            answer["response"][case("noticeId", "notice_id")].as_str().unwrap(),
            false,
        );

        // `data` is a google.protobuf.Value.
        let data = json!({case("stringValue", "string_value"): "ü"});
        let request = json!({user_id: "alice", "event": "order.shipped", "data": data});
        let answer = call(NOTICES, "sendNotice", request).await;
        assert_eq!(answer["type"], "response", "{answer}");
        let (event, payload, _) = notice(&mut alice).await;
        assert_eq!((event.as_str(), payload), ("order.shipped", json!("ü")));

        let answer = call(NOTICES, "batchGetPresence", json!({user_ids: ["alice", "bob"]})).await;
        let users = &answer["response"]["users"];
        assert_eq!(
            (&users[0]["online"], &users[1]["online"]),
            (&json!(true), &json!(false)),
            "{answer}"
        );

        let answer = call(NOTICES, "sendNotice", json!({user_id: "", "json": "1"})).await;
        assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(3)), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("user_id"), "{answer}");

        if protos.is_none() {
            for service in ["", NOTICES] {
                let answer =
                    call("grpc.health.v1.Health", "check", json!({"service": service})).await;
                assert_eq!(answer["response"]["status"], "SERVING", "{answer}");
            }
        }
    }
}
