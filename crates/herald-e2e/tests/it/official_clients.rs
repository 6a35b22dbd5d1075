//! What stock clients see: socket.io-client and python-socketio on every transport, and gRPC from
//! Node. That payloads are the sender's to the byte is tested with the raw client.

mod grpc;
mod tokens;

use std::time::Duration;

use herald_e2e::{Relay, Sandbox, Script};
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
