//! Clients that are after other users' notices.

use herald_e2e::Sandbox;
use herald_loadgen::{
    Checker, Outgoing, Session, SessionOptions, Transport, checker::Start, http::HttpClient,
};
use http::{Method, StatusCode};

use crate::{
    probe::{assert_idle, expect_gap, expect_notice},
    support::{PATIENCE, all_arrives, follow, send},
    wire::Wire,
};

#[tokio::test]
async fn naming_rooms_events_namespaces_users_and_cursors_gets_nobody_elses_notices() {
    let sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let gateway = &sandbox.gateways[0];
    let checker = Checker::new();
    let victim = follow(&checker, gateway.session("alice"), Start::Now).await;
    let producer = sandbox.notifier().grpc();
    send(&producer, &checker, &Outgoing::new("alice", "\"old secret\"")).await;
    all_arrives(&checker, PATIENCE).await;

    // The victim's own cursor, as the stranger's.
    let options = gateway.session("mallory").cursor(victim.cursor());
    let mut stranger = Session::connect(options).await.unwrap();
    stranger.ready(PATIENCE).await.unwrap();
    let gap = expect_gap(&mut stranger).await;
    assert_eq!(gap.reason, "malformed");
    let session = format!("\"{}\"", victim.session());
    for room in ["\"alice\"", "[\"alice\"]", "\"/notice#alice\"", session.as_str()] {
        for event in
            ["join", "subscribe", "room", "notice", "herald:token", "connect", "disconnect"]
        {
            stranger.emit(event, &[room]).await;
        }
    }
    // Other ways to say who one is, after the fact.
    for packet in [
        r#"40/notice,{"token":"alice"}"#,
        r#"40/notice?token=alice,{"token":"alice"}"#,
        r#"42/notice?token=alice,["join","alice"]"#,
        r#"42/alice,["join","alice"]"#,
    ] {
        stranger.send_raw(packet).await;
    }
    for number in 0..10 {
        send(&producer, &checker, &Outgoing::new("alice", format!("[\"secret\",{number}]"))).await;
    }
    all_arrives(&checker, PATIENCE).await;
    producer.send(&Outgoing::new("mallory", "\"own\"")).await.unwrap();
    expect_notice(&mut stranger, "\"own\"").await;
    assert_idle(&mut stranger);
}

#[tokio::test]
async fn the_id_of_anothers_websocket_opens_nothing() {
    let sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let gateway = &sandbox.gateways[0];
    let mut http = HttpClient::new(gateway.address());
    let producer = sandbox.notifier().grpc();
    for transport in [Transport::WebSocket, Transport::Upgrade] {
        let options: SessionOptions = gateway.session("alice").transport(transport);
        let mut victim = Session::connect(options).await.unwrap();
        victim.ready(PATIENCE).await.unwrap();
        let own = victim.engine_id().to_owned();
        let guess = "AAAAAAAAAAAAAAAA".to_owned();
        for sid in [own, guess] {
            let target = format!("/notice/?EIO=4&transport=polling&sid={sid}");
            for (method, body) in
                [(Method::GET, ""), (Method::POST, "1"), (Method::POST, "41/notice,")]
            {
                let answer = http.request(method, &target, &[], body.into()).await.unwrap();
                assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{answer:?}");
            }
            let mut wire = Wire::open(gateway.address(), None, None).await.unwrap();
            wire.request_upgrade(&format!("&sid={sid}")).await.unwrap();
            // Refused by its answer, or closed after it.
            if wire.head().await.unwrap().starts_with("HTTP/1.1 101") {
                let _ = wire.send("2probe").await;
                let _ = wire.send("5").await;
                producer.send(&Outgoing::new("alice", "\"secret\"")).await.unwrap();
                let said = wire.rest().await;
                assert!(said.iter().all(|packet| !packet.contains("secret")), "{said:?}");
                expect_notice(&mut victim, "\"secret\"").await;
            }
        }
        producer.send(&Outgoing::new("alice", "\"mine\"")).await.unwrap();
        expect_notice(&mut victim, "\"mine\"").await;
    }
}
