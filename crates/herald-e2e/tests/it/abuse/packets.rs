//! Packets that are wrong, too large, or for nobody.

use herald_e2e::Sandbox;
use herald_loadgen::{Checker, Event, Follower, Outgoing, Session, Transport, checker::Start};
use tokio::time::timeout;

use crate::{
    probe::{assert_idle, expect_notice},
    support::{PATIENCE, all_arrives, follow, send, sessions_become, sessions_of},
    wire::Wire,
};

const TRANSPORTS: [Transport; 3] = [Transport::WebSocket, Transport::Polling, Transport::Upgrade];

/// One gateway, and sessions of the same user that must not notice anything.
struct Scene {
    sandbox: Sandbox,
    checker: Checker,
    bystanders: Vec<Follower>,
}

impl Scene {
    async fn new() -> Self {
        let sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
        let checker = Checker::new();
        let mut bystanders = Vec::new();
        for transport in TRANSPORTS {
            let options = sandbox.gateways[0].session("alice").transport(transport);
            bystanders.push(follow(&checker, options, Start::Now).await);
        }
        Self { sandbox, checker, bystanders }
    }

    async fn session(&self, transport: Transport) -> Session {
        let options = self.sandbox.gateways[0].session("alice").transport(transport);
        let mut session = Session::connect(options).await.unwrap();
        session.ready(PATIENCE).await.unwrap();
        session
    }

    /// Only the bystanders are left, and they get what is sent.
    async fn spared(&self) {
        let count = self.bystanders.len();
        sessions_become(self.sandbox.notifier(), "alice", count, PATIENCE).await;
        let producer = self.sandbox.notifier().grpc();
        send(&producer, &self.checker, &Outgoing::new("alice", "1")).await;
        all_arrives(&self.checker, PATIENCE).await;
        assert!(self.bystanders.iter().all(|bystander| !bystander.has_ended()));
    }
}

#[tokio::test]
async fn a_giant_packet_closes_that_connection_alone() {
    let scene = Scene::new().await;
    for transport in TRANSPORTS {
        // A byte above the limit, and far above it.
        for bytes in [(16 << 10) + 1, 8 << 20] {
            let (head, tail) = (r#"42/notice,["say",""#, r#""]"#);
            let mut session = scene.session(transport).await;
            let filling = "x".repeat(bytes - head.len() - tail.len());
            session.send_raw(format!("{head}{filling}{tail}")).await;
            let end = session.closed(PATIENCE).await;
            assert!(end.is_some(), "{bytes} bytes by {transport:?} are put up with");
        }
        scene.spared().await;
    }
}

#[tokio::test]
async fn a_frame_that_claims_to_be_huge_closes_that_connection_alone() {
    let scene = Scene::new().await;
    let address = scene.sandbox.gateways[0].address();
    for head in [
        // Text, masked, of 2^62 bytes; a first fragment; a compressed one; a reserved kind.
        [0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0x01, 0xff, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0],
        [0xc1, 0x85, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0x83, 0x85, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ] {
        let mut wire = Wire::websocket(address).await.unwrap();
        wire.send(r#"40/notice,{"token":"alice"}"#).await.unwrap();
        while !wire.packet().await.unwrap().contains("herald:ready") {}
        wire.raw(&head).await.unwrap();
        wire.rest().await;
    }
    scene.spared().await;
}

#[tokio::test]
async fn namespaces_that_do_not_exist_and_events_for_nobody_disturb_nothing() {
    let scene = Scene::new().await;
    let producer = scene.sandbox.notifier().grpc();
    for transport in TRANSPORTS {
        let mut wire_session = scene.session(transport).await;
        for number in 0..500 {
            wire_session.emit("notice", &["{}", r#"{"id":"forged"}"#]).await;
            wire_session.emit("herald:ready", &["null"]).await;
            // One that asks for an acknowledgement, and one that acknowledges nothing.
            wire_session.send_raw(format!(r#"42/notice,{number}["ask",{number}]"#)).await;
            wire_session.send_raw(format!("43/notice,{number}[]")).await;
        }
        let before = sessions_of(scene.sandbox.notifier(), "alice").await.len();
        assert_eq!(before, scene.bystanders.len() + 1);
        send(&producer, &scene.checker, &Outgoing::new("alice", "[1]")).await;
        expect_notice(&mut wire_session, "[1]").await;
        assert_idle(&mut wire_session);
        wire_session.close().await;
        scene.spared().await;
    }

    // On one connection, before and after it has a session.
    let mut wire = Wire::websocket(scene.sandbox.gateways[0].address()).await.unwrap();
    for part in ["before", "after"] {
        for number in 0..50 {
            let namespace = format!("/{part}-{number}");
            wire.send(&format!(r#"40{namespace},{{"token":"alice"}}"#)).await.unwrap();
            let answer = wire.packet().await.unwrap();
            assert!(answer.starts_with(&format!("44{namespace},")), "{answer}");
            assert!(answer.contains("Invalid namespace"), "{answer}");
        }
        if part == "before" {
            wire.send(r#"40/notice,{"token":"alice"}"#).await.unwrap();
            while !wire.packet().await.unwrap().contains("herald:ready") {}
        }
    }
    let present = sessions_of(scene.sandbox.notifier(), "alice").await.len();
    assert_eq!(present, scene.bystanders.len() + 1);
    send(&producer, &scene.checker, &Outgoing::new("alice", "[2]")).await;
    assert!(wire.packet().await.unwrap().starts_with(r#"42/notice,["notice",[2],"#));
    drop(wire);
    scene.spared().await;
}

#[tokio::test]
async fn a_second_connect_of_a_namespace_makes_no_second_session() {
    let scene = Scene::new().await;
    for transport in TRANSPORTS {
        let mut session = scene.session(transport).await;
        for _ in 0..20 {
            session.send_raw(r#"40/notice,{"token":"mallory"}"#).await;
        }
        let producer = scene.sandbox.notifier().grpc();
        send(&producer, &scene.checker, &Outgoing::new("alice", "\"mine\"")).await;
        expect_notice(&mut session, "\"mine\"").await;
        producer.send(&Outgoing::new("mallory", "\"not mine\"")).await.unwrap();
        assert!(sessions_of(scene.sandbox.notifier(), "mallory").await.is_empty());

        // Leaving and coming back on the same connection is a new session, with the same socket id.
        session.send_raw("41/notice,").await;
        let bystanders = scene.bystanders.len();
        sessions_become(scene.sandbox.notifier(), "alice", bystanders, PATIENCE).await;
        session.send_raw(r#"40/notice,{"token":"mallory"}"#).await;
        let ready = timeout(PATIENCE, session.ready(PATIENCE)).await.unwrap().unwrap();
        let present = sessions_of(scene.sandbox.notifier(), "mallory").await;
        assert_eq!(present.len(), 1);
        assert_eq!(present[0].session_id, ready.session);
        send(&producer, &scene.checker, &Outgoing::new("alice", "\"not mine\"")).await;
        producer.send(&Outgoing::new("mallory", "\"theirs\"")).await.unwrap();
        match timeout(PATIENCE, session.next()).await.unwrap() {
            Some(Event::Notice(notice)) => assert_eq!(&*notice.payload, "\"theirs\""),
            other => panic!("{other:?}"),
        }
        session.close().await;
        scene.spared().await;
        sessions_become(scene.sandbox.notifier(), "mallory", 0, PATIENCE).await;
    }
}
