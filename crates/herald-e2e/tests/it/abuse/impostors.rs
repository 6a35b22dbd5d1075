//! Clients that want to pass for somebody else: in their name, their acknowledgements, their device,
//! or in what one connection carries for two.

use std::time::Duration;

use herald_e2e::Sandbox;
use herald_loadgen::{Checker, Outgoing, Session, Transport, WaitFor, checker::Start};

use crate::{
    probe::{assert_idle, expect_notice},
    support::{PATIENCE, all_arrives, follow, send, sessions_of},
    wire::Wire,
};

/// Long enough for an acknowledgement, if there were one.
const WAIT: Duration = Duration::from_millis(800);

/// Ids that look like each other, like patterns, or like parts of keys and channels.
const ALIKE: [&str; 24] = [
    "alice",
    "Alice",
    "alice ",
    " alice",
    "alice\u{200b}",
    "аlice",
    "alic",
    "alicea",
    "*",
    "?",
    "[a-z]*",
    "{alice}",
    "alice}",
    "{",
    "}",
    "alice:state",
    "alice:sessions",
    "v1:{YWxpY2U}:inbox",
    "YWxpY2U",
    "al%69ce",
    "al\\u0069ce",
    "../alice",
    "\"alice\"",
    "é",
];

#[tokio::test]
async fn ids_that_are_alike_are_different_users() {
    let sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let checker = Checker::new();
    let mut sessions = Vec::new();
    // Composed and decomposed: the same letter to a reader, two users here.
    let users = ALIKE.into_iter().chain(["e\u{301}"]);
    for (nth, user) in users.clone().enumerate() {
        let transport = if nth % 2 == 0 { Transport::WebSocket } else { Transport::Polling };
        let options = sandbox.gateways[0].session(user).transport(transport);
        sessions.push(follow(&checker, options, Start::Now).await);
    }
    for (nth, user) in users.clone().enumerate() {
        let mut notice = Outgoing::new(user, format!("\"for {nth} alone\""));
        notice.idempotency_key = "the same for all".into();
        let accepted = send(&sandbox.notifier().grpc(), &checker, &notice).await;
        assert_eq!(accepted.sessions.len(), 1, "{user:?}");
        assert!(!accepted.duplicate, "{user:?}");
    }
    all_arrives(&checker, PATIENCE).await;
    for user in users {
        assert_eq!(sessions_of(sandbox.notifier(), user).await.len(), 1, "{user:?}");
    }
}

#[tokio::test]
async fn acknowledging_anothers_notices_makes_no_receipt() {
    let sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let gateway = &sandbox.gateways[0];
    let device = |user: &str| {
        let mut options = gateway.session(user);
        options.device = Some("her phone".into());
        options
    };
    // She reads everything, and acknowledges nothing.
    let mut victim = Session::connect(device("alice")).await.unwrap();
    victim.ready(PATIENCE).await.unwrap();
    // Mallory has a device of that name, and knows how acknowledgements are counted.
    let mut mallory = Session::connect(device("mallory")).await.unwrap();
    mallory.ready(PATIENCE).await.unwrap();
    let notice = |user: &str, wait: WaitFor| Outgoing {
        wait: Some((wait, WAIT)),
        ..Outgoing::new(user, "\"secret\"")
    };
    let producer = sandbox.notifier().grpc();
    for wait in [WaitFor::AckedAny, WaitFor::AckedAll] {
        let sent = tokio::spawn({
            let (producer, notice) = (producer.clone(), notice("alice", wait));
            async move { producer.send(&notice).await.unwrap() }
        });
        let asked = expect_notice(&mut victim, "\"secret\"").await;
        assert!(asked.ack.is_some());
        for id in 0..200 {
            for packet in [
                format!("43/notice,{id}[]"),
                format!(r#"43/notice,{id}["{}"]"#, asked.id),
                format!(r#"42/notice,["ack","{}"]"#, asked.id),
            ] {
                mallory.send_raw(packet).await;
            }
        }
        // For a namespace that it has not joined: its connection ends for that.
        let mut reckless = Session::connect(device("mallory")).await.unwrap();
        reckless.ready(PATIENCE).await.unwrap();
        for id in 0..200 {
            reckless.send_raw(format!("43{id}[]")).await;
        }
        let accepted = sent.await.unwrap();
        assert!(!accepted.wait_satisfied, "{accepted:?}");
        assert_eq!(accepted.outcome, "EMITTED");
        assert_eq!(accepted.sessions.len(), 1, "{accepted:?}");
        assert_eq!(accepted.sessions[0].state, "EMITTED");
    }

    // A device of the same name that comes back makes good for her own only: mallory's does not.
    victim.close().await;
    let sent = tokio::spawn({
        let (producer, notice) = (producer.clone(), notice("alice", WaitFor::AckedAll));
        async move { producer.send(&notice).await.unwrap() }
    });
    let mut again = Session::connect(device("mallory")).await.unwrap();
    again.ready(PATIENCE).await.unwrap();
    let accepted = sent.await.unwrap();
    assert!(!accepted.wait_satisfied, "{accepted:?}");
    assert!(accepted.sessions.iter().all(|receipt| receipt.state != "ACKED"), "{accepted:?}");
    assert_idle(&mut again);
    assert_idle(&mut mallory);
}

#[tokio::test]
async fn two_users_on_one_connection_each_get_their_own() {
    let sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let producer = sandbox.notifier().grpc();
    let mut wire = Wire::websocket(sandbox.gateways[0].address()).await.unwrap();
    wire.send(r#"40/notice,{"token":"alice"}"#).await.unwrap();
    while !wire.packet().await.unwrap().contains("herald:ready") {}
    wire.send(r#"40{"token":"mallory"}"#).await.unwrap();
    while !wire.packet().await.unwrap().contains("herald:ready") {}
    for (nth, (user, head)) in
        [("alice", "42/notice,["), ("mallory", "42["), ("alice", "42/notice,[")].iter().enumerate()
    {
        let payload = format!("\"{user} {nth}\"");
        producer.send(&Outgoing::new(*user, &payload)).await.unwrap();
        let packet = wire.packet().await.unwrap();
        assert!(packet.starts_with(&format!(r#"{head}"notice",{payload}"#)), "{packet}");
    }
    // What one of them leaves does not become the other's.
    wire.send("41/notice,").await.unwrap();
    crate::support::sessions_become(sandbox.notifier(), "alice", 0, PATIENCE).await;
    producer.send(&Outgoing::new("alice", "\"missed\"")).await.unwrap();
    producer.send(&Outgoing::new("mallory", "\"last\"")).await.unwrap();
    let packet = wire.packet().await.unwrap();
    assert!(packet.starts_with(r#"42["notice","last""#), "{packet}");
}

/// Packets of a kind that Herald has no use for: attachments that are announced and never come, come
/// unannounced, or refer to what is not there; and JSON deeper than anybody means it.
#[tokio::test]
async fn attachments_and_deep_packets_reach_nobody() {
    let sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let gateway = &sandbox.gateways[0];
    let checker = Checker::new();
    let _victim = follow(&checker, gateway.session("alice"), Start::Now).await;
    let producer = sandbox.notifier().grpc();
    let deep = format!(r#"42/notice,["join",{}1{}]"#, "[".repeat(2_000), "]".repeat(2_000));
    for packet in [
        r#"451-/notice,["join",{"_placeholder":true,"num":0}]"#,
        r#"4599999-/notice,["join",{"_placeholder":true,"num":0}]"#,
        r#"451-/notice,["join",{"_placeholder":true,"num":7}]"#,
        r#"461-/notice,1[{"_placeholder":true,"num":0}]"#,
        "bAAAA",
        r#"44/notice,{"message":"alice"}"#,
        r#"42/notice,{"user":"alice"}"#,
        "42/notice,[]",
        "4",
        "49/notice,",
        deep.as_str(),
    ] {
        let mut wire = Wire::websocket(gateway.address()).await.unwrap();
        wire.send(r#"40/notice,{"token":"mallory"}"#).await.unwrap();
        while !wire.packet().await.unwrap().contains("herald:ready") {}
        // The connection may be closed for it; whatever else it is told is not alice's.
        let _ = wire.send(packet).await;
        let _ = wire.send(r#"42/notice,["join","alice"]"#).await;
        send(&producer, &checker, &Outgoing::new("alice", "\"secret\"")).await;
        producer.send(&Outgoing::new("mallory", "\"own\"")).await.unwrap();
        while let Ok(said) = wire.packet().await {
            assert!(!said.contains("secret"), "after {packet}: {said}");
            if said.contains("\"own\"") {
                break;
            }
        }
    }
    all_arrives(&checker, PATIENCE).await;
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}
