//! What a client may send, and for how long it may do nothing.

use std::time::Duration;

use herald_gateway::edge::{CloseReason, EdgeOptions, EngineOptions};
use socketioxide::socket::DisconnectReason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    eventually,
    gateway::{Setup, TestGateway},
    polling::{Http, Polling, handshake, target},
    soon,
    websocket::WebSocket,
};

/// A packet of exactly so many bytes.
fn packet(bytes: usize) -> String {
    let (start, end) = (r#"42/notice,["say",""#, r#""]"#);
    let filling = "x".repeat(bytes - start.len() - end.len());
    format!("{start}{filling}{end}")
}

#[tokio::test]
async fn a_websocket_message_above_the_limit_closes_that_connection_alone() {
    let mut gateway = TestGateway::start().await;
    let mut client = WebSocket::connect(gateway.address()).await;
    let (socket, _) = gateway.connected().await;
    let mut other = WebSocket::connect(gateway.address()).await;
    let (other_socket, _) = gateway.connected().await;

    client.send(&packet(16 * 1024)).await;
    assert_eq!(gateway.said().await.0, socket.id);
    client.try_send(Message::text(packet(16 * 1024 + 1))).await;
    assert_eq!(gateway.disconnected().await.0, socket.id);
    client.ended().await;

    other.send(r#"42/notice,["say",1]"#).await;
    assert_eq!(gateway.said().await.0, other_socket.id);
}

#[tokio::test]
async fn a_polling_body_above_the_limit_ends_that_session_alone() {
    let mut gateway = TestGateway::start().await;
    let mut client = Polling::connect(gateway.address()).await;
    let (socket, _) = gateway.connected().await;
    let mut other = Polling::connect(gateway.address()).await;
    gateway.connected().await;

    assert_eq!(client.push(&packet(16 * 1024)).await.status, 200);
    assert_eq!(gateway.said().await.0, socket.id);
    assert_eq!(client.push(&packet(16 * 1024 + 1)).await.status, 413);
    assert_eq!(gateway.disconnected().await.0, socket.id);
    assert_eq!(client.poll().await.status, 400);
    assert_eq!(other.push(r#"42/notice,["say",1]"#).await.status, 200);
    gateway.said().await;
}

#[tokio::test]
async fn a_notice_above_the_clients_limit_still_reaches_a_polling_client() {
    let mut gateway = TestGateway::start().await;
    let mut client = Polling::connect(gateway.address()).await;
    let (socket, _) = gateway.connected().await;
    let payload = "x".repeat(64 * 1024);
    socket.emit("notice", &payload).unwrap();
    socket.emit("notice", &"next").unwrap();
    assert!(client.poll().await.body.contains(&payload));
    assert!(client.poll().await.body.contains("next"));
}

/// Neither Engine.IO nor Socket.IO, or not what a client may say.
const MALFORMED: [&str; 11] = [
    "42/notice,",
    "42/notice,[]",
    "42/notice,[1]",
    "9",
    "é",
    "4",
    "4x",
    "4é",
    "49/notice,",
    "45-/notice,[]",
    "459999999-/notice,[\"say\",{\"_placeholder\":true,\"num\":0}]",
];

#[tokio::test]
async fn a_malformed_packet_over_websocket_closes_that_connection_alone() {
    let mut gateway = TestGateway::start().await;
    let mut other = WebSocket::connect(gateway.address()).await;
    let (other_socket, _) = gateway.connected().await;
    for malformed in MALFORMED {
        let mut client = WebSocket::connect(gateway.address()).await;
        let (socket, _) = gateway.connected().await;
        client.send(malformed).await;
        assert_eq!(gateway.disconnected().await.0, socket.id, "{malformed}");
        client.ended().await;
        other.send(r#"42/notice,["say",1]"#).await;
        assert_eq!(gateway.said().await.0, other_socket.id, "{malformed}");
    }
}

#[tokio::test]
async fn binary_that_nobody_announced_closes_that_connection_alone() {
    let mut gateway = TestGateway::start().await;
    let mut client = WebSocket::connect(gateway.address()).await;
    let (socket, _) = gateway.connected().await;
    let mut other = WebSocket::connect(gateway.address()).await;
    gateway.connected().await;
    client.try_send(Message::binary(vec![0xff; 3])).await;
    assert_eq!(gateway.disconnected().await.0, socket.id);
    other.send(r#"42/notice,["say",1]"#).await;
    gateway.said().await;
}

#[tokio::test]
async fn a_malformed_packet_over_polling_ends_that_session_alone() {
    let mut gateway = TestGateway::start().await;
    let mut other = Polling::connect(gateway.address()).await;
    gateway.connected().await;
    for malformed in MALFORMED {
        let mut client = Polling::connect(gateway.address()).await;
        let (socket, _) = gateway.connected().await;
        client.push(malformed).await;
        assert_eq!(gateway.disconnected().await.0, socket.id, "{malformed}");
        assert_eq!(other.push(r#"42/notice,["say",1]"#).await.status, 200);
        gateway.said().await;
    }
}

#[tokio::test]
async fn a_client_that_joins_no_namespace_is_forgotten_after_the_connect_timeout() {
    let engine =
        EngineOptions { connect_timeout: Duration::from_millis(300), ..EngineOptions::default() };
    let mut gateway = TestGateway::with(Setup { engine, ..Setup::default() }).await;
    let mut http = Http::connect(gateway.address()).await;
    let mut sids = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..20 {
        sids.push(handshake(&mut http).await);
        clients.push(WebSocket::open(gateway.address(), "").await.unwrap());
    }
    for client in &mut clients {
        client.ended().await;
    }
    for sid in sids {
        // A session that waits would only answer at the next ping.
        let answer = http.get(&target(&sid)).await;
        assert!(answer.status == 400 || answer.body == "1", "{answer:?}");
        assert_eq!(http.get(&target(&sid)).await.status, 400);
    }
    eventually("one connection", || gateway.edge.connections() == 1).await;
    gateway.no_event();
}

#[tokio::test]
async fn aborted_websocket_handshakes_leave_no_connection_and_no_session() {
    let engine =
        EngineOptions { connect_timeout: Duration::from_millis(300), ..EngineOptions::default() };
    let mut gateway = TestGateway::with(Setup { engine, ..Setup::default() }).await;
    for nth in 0..200 {
        let mut client = WebSocket::open(gateway.address(), "").await.unwrap();
        match nth % 4 {
            0 => {}
            1 => client.send("40/notice,").await,
            2 => drop(client.open_packet().await),
            _ => {
                client.open_packet().await;
                client.join("/notice").await;
            }
        }
    }
    eventually("no connection", || gateway.edge.connections() == 0).await;
    eventually("no socket in the namespace", || {
        gateway.io.of("/notice").unwrap().sockets().is_empty()
    })
    .await;
    drop(gateway.event().await);
}

#[tokio::test]
async fn a_connection_that_sends_no_head_is_closed() {
    let edge = EdgeOptions { head_timeout: Duration::from_millis(200), ..EdgeOptions::default() };
    let gateway = TestGateway::with(Setup { edge, ..Setup::default() }).await;
    let mut silent = Http::connect(gateway.address()).await;
    let mut slow = Http::connect(gateway.address()).await;
    slow.stream.write_all(b"GET /notice/ HTTP/1.1\r\nx: ").await.unwrap();
    let mut rest = Vec::new();
    soon("an end", silent.stream.read_to_end(&mut rest)).await.unwrap();
    soon("an end", slow.stream.read_to_end(&mut rest)).await.unwrap();
    eventually("no connection", || gateway.edge.connections() == 0).await;
}

#[tokio::test]
async fn a_head_above_the_limit_is_answered_431() {
    let gateway = TestGateway::start().await;
    let mut http = Http::connect(gateway.address()).await;
    let headers = format!("x-large: {}\r\n", "x".repeat(17 * 1024));
    let answer = http.request("GET", "/notice/?EIO=4&transport=polling", &headers, "").await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408() {
    let setup = Setup { body_timeout: Some(Duration::from_millis(200)), ..Setup::default() };
    let mut gateway = TestGateway::with(setup).await;
    let client = Polling::connect(gateway.address()).await;
    let (_, transport) = gateway.connected().await;
    let mut slow = Http::connect(gateway.address()).await;
    let head =
        format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n4", target(&client.sid));
    slow.stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(slow.answer().await.unwrap().status, 408);
    transport.close(CloseReason::Kicked);
    gateway.disconnected().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_pings_is_gone_after_interval_and_timeout() {
    let engine = EngineOptions {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_millis(100),
        ..EngineOptions::default()
    };
    let mut gateway = TestGateway::with(Setup { engine, ..Setup::default() }).await;
    let mut client = WebSocket::connect(gateway.address()).await;
    gateway.connected().await;
    assert_eq!(gateway.disconnected().await.1, DisconnectReason::HeartbeatTimeout);
    client.ended().await;
}
