//! Sessions that end, and gateways that do.

use std::net::SocketAddr;

use herald_backplane::LeaseError;
use herald_gateway::GatewayError;
use tokio::net::TcpStream;

use crate::support::{
    client::Client,
    eventually,
    herald::{Herald, options},
    polling::Http,
    websocket::WebSocket,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_at_any_moment_leave_no_session() {
    let herald = Herald::start().await;
    let (_stays, _) = Client::connect(herald.address, "alice").await;
    for round in 0..500 {
        let mut socket = WebSocket::open(herald.address, "").await.unwrap();
        socket.send(r#"40/notice,{"token":"alice"}"#).await;
        socket.send(r#"40/,{"token":"alice"}"#).await;
        // At once, or after this many packets.
        for _ in 0..round % 4 {
            socket.next().await;
        }
    }
    herald.sessions("alice", 1).await;
    assert_eq!(herald.send("alice", "1").await.targets.len(), 1);
}

#[tokio::test]
async fn a_malformed_packet_closes_that_connection_alone() {
    let herald = Herald::start().await;
    let (mut bad, _) = Client::connect(herald.address, "alice").await;
    let (mut good, _) = Client::connect(herald.address, "alice").await;
    bad.socket.send("4x").await;
    bad.socket.ended().await;
    herald.sessions("alice", 1).await;
    herald.send("alice", "1").await;
    good.expect([1], false).await;
}

#[tokio::test]
async fn a_gateway_that_ends_gives_back_what_it_holds() {
    let herald = Herald::start().await;
    let other = herald.beside().await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let (mut stays, _) = Client::connect(other.address, "alice").await;
    herald.sessions("alice", 2).await;
    let address: SocketAddr = herald.address;
    herald.stop().await.unwrap();
    client.socket.ended().await;
    assert!(TcpStream::connect(address).await.is_err(), "the port is free");
    other.sessions("alice", 1).await;
    other.send("alice", "1").await;
    stays.expect([1], false).await;
}

#[tokio::test]
async fn a_name_that_is_taken_ends_the_second_gateway_with_a_clear_message() {
    let name = [("HERALD_GATEWAY_NAME", "blue")];
    let first = Herald::with(&name).await;
    let (mut client, _) = Client::connect(first.address, "alice").await;
    let second = Herald::launch(first.backplane.clone(), options(&name)).await;
    let error = second.ended().await.unwrap_err();
    assert!(matches!(error, GatewayError::Lease(LeaseError::NameTaken { .. })));
    assert!(error.to_string().contains("`blue` is already running"), "{error}");
    first.send("alice", "1").await;
    client.expect([1], false).await;

    let backplane = first.backplane.clone();
    first.stop().await.unwrap();
    let third = Herald::on(backplane, options(&name)).await;
    Client::connect(third.address, "alice").await;
}

#[tokio::test]
async fn the_admin_port_tells_how_the_gateway_is() {
    let herald = Herald::start().await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    herald.send("alice", "1").await;
    client.expect([1], false).await;
    let mut admin = Http::connect(herald.admin).await;
    assert_eq!(admin.get("/live").await.status, 200);
    assert_eq!(admin.get("/ready").await.status, 200);
    let figures = admin.get("/metrics").await.body;
    for name in [
        "herald_gateway_sessions{namespace=\"/notice\"}",
        "herald_gateway_emitted_total{way=\"live\"}",
    ] {
        assert!(figures.contains(name), "{name} in {figures}");
    }
    herald.process.shutdown.request();
    eventually("not ready", || !herald.process.readiness.is_ready()).await;
    herald.ended().await.unwrap();
}
