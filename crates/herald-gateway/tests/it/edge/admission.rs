//! Who is let in.

use herald_gateway::edge::{AdmissionOptions, HandshakeRate, Origins, Refusal};
use tokio_tungstenite::tungstenite;

use crate::support::{
    gateway::{Setup, TestGateway},
    polling::{Http, Polling},
    websocket::WebSocket,
};

const HANDSHAKE: &str = "/notice/?EIO=4&transport=polling";

#[tokio::test]
async fn a_closed_door_answers_503_with_retry_after_and_cors_and_spares_sessions() {
    let mut gateway = TestGateway::start().await;
    let mut inside = Polling::connect(gateway.address()).await;
    gateway.connected().await;
    gateway.admission.refuse(Refusal::BackplaneAway);

    let mut http = Http::connect(gateway.address()).await;
    let headers = "origin: https://app.example\r\n";
    let refused = http.request("GET", HANDSHAKE, headers, "").await;
    assert_eq!((refused.status, refused.body.as_str()), (503, "backplane_away"));
    assert_eq!(refused.headers["access-control-allow-origin"], "*");
    let pause: u8 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=3).contains(&pause));
    match WebSocket::open(gateway.address(), "").await {
        Err(tungstenite::Error::Http(answer)) => assert_eq!(answer.status(), 503),
        other => panic!("{:?}", other.err()),
    }

    assert_eq!(inside.push(r#"42/notice,["say",1]"#).await.status, 200);
    gateway.said().await;
    let _moved = WebSocket::upgrade(gateway.address(), &inside.sid).await;

    gateway.admission.allow(Refusal::BackplaneAway);
    assert_eq!(http.get(HANDSHAKE).await.status, 200);
}

#[tokio::test]
async fn handshakes_beyond_the_rate_are_refused() {
    let rate = HandshakeRate { per_second: 1, burst: 3 };
    let admission = AdmissionOptions { rate, ..AdmissionOptions::default() };
    let gateway = TestGateway::with(Setup { admission, ..Setup::default() }).await;
    let mut http = Http::connect(gateway.address()).await;
    let mut statuses = Vec::new();
    for _ in 0..10 {
        statuses.push(http.get(HANDSHAKE).await.status);
    }
    assert_eq!(statuses[..3], [200; 3]);
    assert!(statuses[3..].contains(&503), "{statuses:?}");
}

#[tokio::test]
async fn any_origin_may_connect_by_default_and_preflight_is_answered() {
    let gateway = TestGateway::start().await;
    let mut http = Http::connect(gateway.address()).await;
    let preflight = "origin: https://app.example\r\naccess-control-request-method: POST\r\n\
        access-control-request-headers: content-type,x-mine\r\n";
    let answer = http.request("OPTIONS", HANDSHAKE, preflight, "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert_eq!(answer.headers["access-control-allow-headers"], "content-type,x-mine");
}

#[tokio::test]
async fn a_list_of_origins_holds_for_polling_and_websocket() {
    let origins = Origins::parse(["https://app.example"]).unwrap();
    let gateway = TestGateway::with(Setup { origins, ..Setup::default() }).await;
    let mut http = Http::connect(gateway.address()).await;

    let good = http.request("GET", HANDSHAKE, "origin: https://app.example\r\n", "").await;
    assert_eq!(good.status, 200);
    assert_eq!(good.headers["access-control-allow-origin"], "https://app.example");
    assert_eq!(good.headers["access-control-allow-credentials"], "true");

    for target in [HANDSHAKE, "/notice/?EIO=4&transport=websocket"] {
        let headers = "origin: https://evil.example\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let bad = http.request("GET", target, headers, "").await;
        assert_eq!(bad.status, 403, "{target}");
        assert!(!bad.headers.contains_key("access-control-allow-origin"));
    }
}
