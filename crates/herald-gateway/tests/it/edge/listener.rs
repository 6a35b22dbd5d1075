//! Accepting, refusing and stopping.

use std::time::Duration;

use herald_gateway::edge::{CloseReason, EdgeOptions};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{
    eventually,
    gateway::{Setup, TestGateway},
    polling::{Http, Polling},
    soon,
    websocket::WebSocket,
};

#[tokio::test]
async fn connections_beyond_the_limit_are_answered_503_and_a_place_is_given_back() {
    let edge = EdgeOptions { max_connections: 2, ..EdgeOptions::default() };
    let mut gateway = TestGateway::with(Setup { edge, ..Setup::default() }).await;
    let client = WebSocket::connect(gateway.address()).await;
    let _second = WebSocket::connect(gateway.address()).await;
    let mut http = Http::connect(gateway.address()).await;
    let refused = http.get("/notice/?EIO=4&transport=polling").await;
    assert_eq!(refused.status, 503);
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(gateway.edge.connections(), 2);

    drop(client);
    eventually("a place", || gateway.edge.connections() == 1).await;
    let _third = WebSocket::connect(gateway.address()).await;
    for _ in 0..2 {
        gateway.connected().await;
    }
}

#[tokio::test]
async fn a_refused_client_that_is_still_sending_is_not_reset() {
    let edge = EdgeOptions { max_connections: 0, ..EdgeOptions::default() };
    let gateway = TestGateway::with(Setup { edge, ..Setup::default() }).await;
    let mut client = Http::connect(gateway.address()).await;
    assert_eq!(client.answer().await.unwrap().status, 503);
    for _ in 0..3 {
        client.stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        // A whole exchange later a reset would have arrived.
        let mut other = Http::connect(gateway.address()).await;
        assert_eq!(other.answer().await.unwrap().status, 503);
    }
}

#[tokio::test]
async fn stopping_frees_the_port_and_leaves_websockets_open_until_they_are_closed() {
    let mut gateway = TestGateway::start().await;
    let mut client = WebSocket::connect(gateway.address()).await;
    let (socket, _) = gateway.connected().await;
    let mut polling = Polling::connect(gateway.address()).await;
    let (polling_socket, _) = gateway.connected().await;
    polling.start_poll().await;
    gateway.requests_pending(1).await;

    soon("a free port", gateway.edge.stop_listening()).await;
    assert!(TcpStream::connect(gateway.address()).await.is_err());
    socket.emit("still", &1).unwrap();
    assert_eq!(client.next().await.as_deref(), Some(r#"42/notice,["still",1]"#));
    polling_socket.emit("still", &2).unwrap();
    let answer = polling.polls.answer().await.unwrap();
    assert_eq!(answer.body, r#"42/notice,["still",2]"#);
    eventually("the WebSocket alone", || gateway.edge.connections() == 1).await;

    assert_eq!(gateway.edge.close_connections(CloseReason::Shutdown), 1);
    assert_eq!(gateway.disconnected().await.0, socket.id);
    client.ended().await;
}

#[tokio::test]
async fn shutdown_waits_for_clients_and_closes_those_that_stay() {
    let mut gateway = TestGateway::start().await;
    let leaving = WebSocket::connect(gateway.address()).await;
    let mut staying = WebSocket::connect(gateway.address()).await;
    gateway.connected().await;
    gateway.connected().await;
    drop(leaving);
    gateway.disconnected().await;
    let closed = soon("the end", gateway.edge.shutdown(Duration::from_millis(200))).await;
    assert_eq!(closed, 1);
    staying.ended().await;
    assert_eq!(gateway.edge.connections(), 0);

    let idle = TestGateway::start().await;
    assert_eq!(soon("the end", idle.edge.shutdown(Duration::from_secs(60))).await, 0);
}

#[tokio::test]
async fn gateways_in_one_process_do_not_concern_each_other() {
    let mut first = TestGateway::start().await;
    let mut second = TestGateway::start().await;
    let _one = WebSocket::connect(first.address()).await;
    let mut two = WebSocket::connect(second.address()).await;
    first.connected().await;
    let (socket, _) = second.connected().await;
    soon("the end", first.edge.shutdown(Duration::ZERO)).await;
    first.disconnected().await;
    socket.emit("still", &1).unwrap();
    assert_eq!(two.next().await.as_deref(), Some(r#"42/notice,["still",1]"#));
    second.no_event();
}
