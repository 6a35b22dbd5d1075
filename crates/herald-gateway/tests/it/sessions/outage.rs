//! A backplane that is away: clients wait outside, and find out nothing that keeps them away.

use std::time::Duration;

use herald_backplane::Backplane;

use crate::support::{
    client::Client,
    eventually,
    herald::{Herald, options, send},
    polling::{self, Http},
    redis_server::RedisServer,
    soon,
    websocket::WebSocket,
};

const HANDSHAKE: &str = "/notice/?EIO=4&transport=polling";

/// Options on a Redis, with deadlines short enough for a test.
fn on_redis(url: &str) -> herald_gateway::GatewayOptions {
    options(&[("HERALD_BACKPLANE", url), ("HERALD_BACKPLANE_DEADLINE", "300ms")])
}

async fn handshakes_are_answered(herald: &Herald, status: u16) {
    let mut last = 0;
    for _ in 0..2_000 {
        let mut probe = Http::connect(herald.address).await;
        let answer = probe.get(HANDSHAKE).await;
        if answer.status == status {
            assert_eq!(answer.headers.contains_key("retry-after"), status == 503);
            return;
        }
        last = answer.status;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("still {last}, not {status}");
}

#[tokio::test]
async fn without_a_backplane_a_gateway_waits_says_so_and_begins_when_it_comes() {
    let server = RedisServer::reserve();
    let options = on_redis(&server.url);
    let backplane = Backplane::open(&options.backplane).unwrap();
    let herald = Herald::launch(backplane, options).await;
    handshakes_are_answered(&herald, 503).await;
    let mut admin = Http::connect(herald.admin).await;
    assert_eq!(admin.get("/live").await.status, 200);
    let ready = admin.get("/ready").await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("backplane") && ready.body.contains("lease"), "{ready:?}");

    let _server = server.start();
    soon("ready", herald.process.readiness.until_ready()).await;
    handshakes_are_answered(&herald, 200).await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    send(&herald.backplane, "alice", "1").await;
    client.expect([1], false).await;
    herald.stop().await.unwrap();
}

#[tokio::test]
async fn an_outage_disconnects_nobody_and_is_made_good() {
    let server = RedisServer::reserve().start();
    let options = on_redis(&server.url);
    let backplane = Backplane::open(&options.backplane).unwrap();
    let herald = Herald::on(backplane, options).await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let mut polls = Http::connect(herald.address).await;
    let sid = polling::handshake(&mut polls).await;

    server.freeze();
    // Let in before anybody noticed: the transport closes, there is no connect_error.
    let mut caught = WebSocket::open(herald.address, "").await.unwrap();
    caught.open_packet().await;
    caught.send(r#"40/notice,{"token":"bob"}"#).await;
    assert_eq!(caught.next().await, None);
    let target = polling::target(&sid);
    let connect = polls.request("POST", &target, "", r#"40/notice,{"token":"bob"}"#).await;
    assert_eq!(connect.status, 200);
    loop {
        let answer = polls.get(&target).await;
        assert!(!answer.body.contains("44"), "{answer:?}");
        // As soon as the gateway takes no new clients, the session may be one of another gateway.
        if answer.status == 400 || answer.status == 503 {
            break;
        }
    }
    handshakes_are_answered(&herald, 503).await;
    eventually("not ready", || !herald.process.readiness.is_ready()).await;

    server.thaw();
    soon("ready", herald.process.readiness.until_ready()).await;
    handshakes_are_answered(&herald, 200).await;
    send(&herald.backplane, "alice", "1").await;
    client.expect([1], false).await;
    herald.stop().await.unwrap();
}

#[tokio::test]
async fn sessions_that_end_during_an_outage_are_removed_after_it() {
    let server = RedisServer::reserve().start();
    let options = on_redis(&server.url);
    let backplane = Backplane::open(&options.backplane).unwrap();
    let herald = Herald::on(backplane, options).await;
    let (stays, _) = Client::connect(herald.address, "alice").await;
    let mut leaving = Vec::new();
    for _ in 0..20 {
        leaving.push(Client::connect(herald.address, "alice").await);
    }
    assert_eq!(herald.presence("alice").await.len(), 21);
    server.freeze();
    drop(leaving);
    handshakes_are_answered(&herald, 503).await;
    server.thaw();
    let gone = async {
        loop {
            let users = [herald_core::UserId::new("alice").unwrap()];
            let presence = herald.backplane.notifier().presence(&users).await;
            if presence.is_ok_and(|presence| presence[0].sessions.len() == 1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("they are gone", gone).await;
    drop(stays);
    herald.stop().await.unwrap();
}

#[tokio::test]
async fn an_emptied_redis_is_written_again_and_clients_are_told() {
    let server = RedisServer::reserve().start();
    let options = options(&[("HERALD_BACKPLANE", &server.url), ("HERALD_LEASE_RENEWAL", "100ms")]);
    let backplane = Backplane::open(&options.backplane).unwrap();
    let herald = Herald::on(backplane, options).await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    send(&herald.backplane, "alice", "1").await;
    client.expect([1], false).await;
    server.empty();
    let gap = client.event().await;
    assert_eq!(gap.name, "herald:gap");
    assert_eq!(gap.text("reason"), "reset");
    send(&herald.backplane, "alice", "2").await;
    client.expect([2], false).await;
    herald.stop().await.unwrap();
}

#[tokio::test]
async fn while_as_many_as_may_be_are_being_connected_others_wait_outside() {
    let server = RedisServer::reserve().start();
    // The outage is not noticed: Redis is only slow.
    let options = options(&[
        ("HERALD_BACKPLANE", &server.url),
        ("HERALD_BACKPLANE_DEADLINE", "60s"),
        ("HERALD_MAX_CONNECTING", "2"),
    ]);
    let backplane = Backplane::open(&options.backplane).unwrap();
    let herald = Herald::on(backplane, options).await;
    let (mut stays, _) = Client::connect(herald.address, "alice").await;
    let mut waiting = [Client::open(herald.address).await, Client::open(herald.address).await];
    server.freeze();
    for client in &mut waiting {
        client.socket.send(r#"40/notice,{"token":"bob"}"#).await;
    }
    handshakes_are_answered(&herald, 503).await;
    let mut probe = Http::connect(herald.address).await;
    assert_eq!(probe.get(HANDSHAKE).await.body, "overloaded");
    assert!(herald.process.readiness.is_ready(), "who is connected is served");

    server.thaw();
    for client in &mut waiting {
        assert!(client.socket.next().await.unwrap().starts_with("40"));
        assert_eq!(client.event().await.name, "herald:ready");
    }
    handshakes_are_answered(&herald, 200).await;
    send(&herald.backplane, "alice", "1").await;
    stays.expect([1], false).await;
    herald.stop().await.unwrap();
}
