//! What is secret is told to nobody: no log, trace, figure or answer.

use std::sync::{Arc, Mutex};

use herald_e2e::{GatewayOptions, NotifierOptions, Sandbox, eventually};
use herald_loadgen::{Session, SessionOptions, TokenIn, Transport, http::HttpClient};
use http::{Method, StatusCode};
use jsonwebtoken::Algorithm;
use serde_json::json;
use tokio::{io::AsyncReadExt as _, net::TcpListener};

use super::keys::{SECRET, now, sign};
use crate::support::PATIENCE;

/// A collector of traces that answers nothing and keeps all that it is sent: what is in them is not
/// compressed.
struct Collector {
    url: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let collected = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let collected = Arc::clone(&collected);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                        collected.lock().unwrap().extend(&buffer[..length]);
                    }
                });
            }
        });
        Self { url, heard }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn no_secret_is_in_any_log_trace_figure_or_answer() {
    let collector = Collector::start().await;
    let directory = tempfile::tempdir().unwrap();
    let key = "herald_an-api-key-that-must-not-be-seen";
    let hash = "c6b1bd8f4ed9ea1c8b0b3bfcfdd6b3cf3f1c2df7f1a4ce22b9c3a15a4d0b9d11";
    let keys = directory.path().join("keys.json");
    let entry = json!({"name": "orders", "hashes": [format!("sha256:{hash}")], "rpcs": ["*"]});
    std::fs::write(&keys, json!({ "keys": [entry] }).to_string()).unwrap();
    let common = [
        ("HERALD_LOG", "debug"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ];
    let gateway = GatewayOptions {
        env: [env(&common), env(&[("HERALD_CLIENT_AUTH", "jwt"), ("HERALD_JWT_SECRET", SECRET)])]
            .concat(),
        ..Default::default()
    };
    let open = NotifierOptions { env: env(&common) };
    let keyed = NotifierOptions {
        env: [env(&common), env(&[("HERALD_API_KEYS_FILE", keys.to_str().unwrap())])].concat(),
    };
    let builder = Sandbox::builder().gateway(gateway).notifier_with(open).notifier_with(keyed);
    let sandbox = builder.start().await.unwrap();
    let gateway = &sandbox.gateways[0];
    for secret in [SECRET, key, hash] {
        sandbox.secret(secret);
    }

    // Tokens that are good, and ones that are not, every way that there is.
    let mut sessions = Vec::new();
    for transport in [Transport::WebSocket, Transport::Polling, Transport::Upgrade] {
        for token_in in [TokenIn::Auth, TokenIn::Query, TokenIn::AuthAndQuery] {
            for (user, age) in [("alice", 600), ("mallory", -600)] {
                let exp = now().saturating_add_signed(age);
                let token = sign(Algorithm::HS256, None, &json!({"sub": user, "exp": exp}));
                sandbox.secret(token.rsplit_once('.').unwrap().1);
                let options: SessionOptions = gateway.session(&token).transport(transport);
                let opened = Session::connect(SessionOptions { token_in, ..options }).await;
                assert_eq!(opened.is_ok(), age > 0, "{opened:?}");
                sessions.extend(opened);
            }
        }
    }
    sandbox.secret("a-token-that-is-wrong-by-far");
    for session in &mut sessions {
        session.ready(PATIENCE).await.unwrap();
        let token = sign(Algorithm::HS256, None, &json!({"sub": "alice", "exp": now() + 900}));
        sandbox.secret(token.rsplit_once('.').unwrap().1);
        session.emit("herald:token", &[&json!({ "token": token }).to_string()]).await;
        session.emit("herald:token", &[r#"{"token": "a-token-that-is-wrong-by-far"}"#]).await;
    }

    // Keys that are not known, and payloads.
    let payload = "a-payload-that-is-nobodys-business";
    let body = json!({"userId": "alice", "data": payload}).to_string();
    sandbox.secret(payload);
    let mut answers = String::new();
    for (notifier, expected) in
        sandbox.notifiers.iter().zip([StatusCode::OK, StatusCode::UNAUTHORIZED])
    {
        let mut http = HttpClient::new(notifier.http_address());
        for value in [format!("Bearer {key}"), format!("Basic {key}"), key.to_owned()] {
            let headers = [("authorization", value.as_str()), ("content-type", "application/json")];
            let sent = body.clone().into();
            let answer = http.request(Method::POST, "/v1/notices", &headers, sent).await.unwrap();
            assert_eq!(answer.status(), expected);
            answers.push_str(&String::from_utf8_lossy(answer.body()));
        }
    }
    for session in &mut sessions {
        session.notice(PATIENCE).await.unwrap();
    }

    eventually("traces are exported", PATIENCE, async || {
        let heard = collector.text();
        let whole = heard.contains("SendNotice") && heard.contains("deliver");
        if whole { Ok(()) } else { Err(heard.len()) }
    })
    .await;
    let mut told = vec![("traces", collector.text()), ("answers", answers)];
    told.push(("gateway", gateway.admin("/metrics").await.unwrap().1));
    told.push(("gateway's options", gateway.run(&["--check-config"]).await.unwrap().1));
    for notifier in &sandbox.notifiers {
        told.push(("notifier", notifier.admin("/metrics").await.unwrap().1));
        told.push(("notifier's options", notifier.run(&["--check-config"]).await.unwrap().1));
    }
    std::fs::write(sandbox.directory().join("collector.traces"), collector.text()).unwrap();
    for (what, text) in told {
        assert!(!text.is_empty(), "{what}");
        assert!(sandbox.leaked(&text).is_empty(), "{what}: {:?}", sandbox.leaked(&text));
    }
    // The logs are looked at when the sandbox ends; they have something to say.
    assert!(gateway.log().contains("client refused"), "{}", gateway.log());
    assert!(sandbox.notifiers[1].log().contains("caller refused"));
}
