//! Closing one client's transport.

use std::time::{Duration, Instant};

use herald_gateway::edge::{CloseReason, EdgeOptions};
use socketioxide::{SendError, SocketError, extract::SocketRef, socket::DisconnectReason};

use crate::support::{
    eventually,
    gateway::{Setup, TestGateway},
    polling::{Http, Polling, handshake, target},
    soon,
    websocket::{WebSocket, pinged},
};

#[tokio::test]
async fn closing_a_websocket_runs_on_disconnect_at_once_and_spares_the_others() {
    let mut gateway = TestGateway::start().await;
    let mut client = WebSocket::connect(gateway.address()).await;
    let (socket, transport) = gateway.connected().await;
    let mut other = WebSocket::connect(gateway.address()).await;
    let (other_socket, _) = gateway.connected().await;

    let start = Instant::now();
    transport.close(CloseReason::Lagging);
    transport.close(CloseReason::Kicked);
    assert_eq!(gateway.disconnected().await, (socket.id, DisconnectReason::TransportError));
    assert!(start.elapsed() < Duration::from_secs(2));
    client.ended().await;
    eventually("one connection", || gateway.edge.connections() == 1).await;

    other_socket.emit("still", &1).unwrap();
    assert_eq!(other.next().await.as_deref(), Some(r#"42/notice,["still",1]"#));
    gateway.no_event();
}

/// Emits until the queue is full, which it only becomes when the writer is stuck. `false` if the
/// session ended before.
async fn fill(socket: &SocketRef) -> bool {
    let chunk = "x".repeat(32 * 1024);
    let mut emitted = 0;
    loop {
        match socket.emit("chunk", &chunk) {
            Ok(()) => emitted += 1,
            Err(SendError::Socket(SocketError::InternalChannelFull)) if emitted > 256 => {
                return true;
            }
            Err(SendError::Socket(SocketError::InternalChannelFull)) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
                emitted += 1;
            }
            Err(SendError::Socket(SocketError::Closed)) => return false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A client that reads nothing from now on.
async fn deaf_client(
    gateway: &mut TestGateway,
) -> (WebSocket, SocketRef, herald_gateway::edge::Transport) {
    let mut client = WebSocket::open_narrow(gateway.address()).await;
    client.join("/notice").await;
    let (socket, transport) = gateway.connected().await;
    pinged(&mut client, &socket).await;
    (client, socket, transport)
}

#[tokio::test]
async fn closing_works_while_the_peers_window_is_zero() {
    let mut gateway = TestGateway::start().await;
    let (_client, socket, transport) = deaf_client(&mut gateway).await;
    assert!(fill(&socket).await);
    let start = Instant::now();
    transport.close(CloseReason::Lagging);
    assert_eq!(gateway.disconnected().await.0, socket.id);
    assert!(start.elapsed() < Duration::from_secs(2));
    eventually("no connection", || gateway.edge.connections() == 0).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_peer_with_a_zero_window_is_ended_by_the_user_timeout() {
    let edge = EdgeOptions { user_timeout: Duration::from_secs(1), ..EdgeOptions::default() };
    let mut gateway = TestGateway::with(Setup { edge, ..Setup::default() }).await;
    let (_client, socket, _) = deaf_client(&mut gateway).await;
    // On a slow machine the time is over before the queue is full.
    fill(&socket).await;
    // Long before an unanswered ping counts, so nothing else can have ended it.
    assert_eq!(gateway.disconnected().await, (socket.id, DisconnectReason::TransportError));
    eventually("no connection", || gateway.edge.connections() == 0).await;
}

#[tokio::test]
async fn closing_a_polling_session_answers_the_pending_poll_and_forgets_the_sid() {
    let mut gateway = TestGateway::start().await;
    let mut client = Polling::connect(gateway.address()).await;
    let (socket, transport) = gateway.connected().await;
    client.start_poll().await;
    gateway.requests_pending(1).await;

    let start = Instant::now();
    transport.close(CloseReason::Draining);
    transport.close(CloseReason::Draining);
    let answer = client.polls.answer().await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(gateway.disconnected().await.0, socket.id);
    assert!(start.elapsed() < Duration::from_secs(2));

    for answer in [client.poll().await, client.push("3").await] {
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("Session ID unknown"), "{answer:?}");
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
    }
    assert_eq!(gateway.edge.connections(), 2, "connections may be a proxy's");
}

#[tokio::test]
async fn closing_a_polling_session_delivers_what_was_queued() {
    let mut gateway = TestGateway::start().await;
    let mut client = Polling::connect(gateway.address()).await;
    let (socket, transport) = gateway.connected().await;
    client.start_poll().await;
    gateway.requests_pending(1).await;
    socket.emit("last", &1).unwrap();
    transport.close(CloseReason::Draining);
    let answer = client.polls.answer().await.unwrap();
    assert!(answer.body.contains(r#"42/notice,["last",1]"#), "{answer:?}");
    gateway.disconnected().await;
}

#[tokio::test]
async fn closing_one_polling_session_spares_another_on_the_same_connection() {
    let mut gateway = TestGateway::start().await;
    let mut proxy = Http::connect(gateway.address()).await;
    let mut transports = Vec::new();
    let mut sids = Vec::new();
    for _ in 0..2 {
        let sid = handshake(&mut proxy).await;
        proxy.request("POST", &target(&sid), "", "40/notice,").await;
        transports.push(gateway.connected().await.1);
        proxy.get(&target(&sid)).await;
        sids.push(sid);
    }
    transports[0].close(CloseReason::Draining);
    assert_eq!(gateway.disconnected().await.0, transports[0].sid());
    assert_eq!(proxy.get(&target(&sids[0])).await.status, 400);
    let said = proxy.request("POST", &target(&sids[1]), "", r#"42/notice,["say",7]"#).await;
    assert_eq!(said.status, 200);
    assert_eq!(gateway.said().await, (transports[1].sid(), 7.into()));
}

#[tokio::test]
async fn closing_reaches_a_session_that_moved_to_a_websocket() {
    let mut gateway = TestGateway::start().await;
    let polling = Polling::connect(gateway.address()).await;
    let (socket, transport) = gateway.connected().await;
    let mut client = WebSocket::upgrade(gateway.address(), &polling.sid).await;
    client.send(r#"42/notice,["say",1]"#).await;
    gateway.said().await;
    assert_eq!(gateway.transports.upgraded(), 1);

    transport.close(CloseReason::Draining);
    assert_eq!(gateway.disconnected().await.0, socket.id);
    client.ended().await;
    eventually("an empty table", || gateway.transports.upgraded() == 0).await;
}

#[tokio::test]
async fn closing_reaches_a_session_that_is_about_to_move() {
    let mut gateway = TestGateway::start().await;
    let polling = Polling::connect(gateway.address()).await;
    let (socket, transport) = gateway.connected().await;
    let query = format!("&sid={}", polling.sid);
    let mut client = WebSocket::open(gateway.address(), &query).await.unwrap();
    client.send("2probe").await;
    assert_eq!(client.next().await.as_deref(), Some("3probe"));

    transport.close(CloseReason::Draining);
    assert_eq!(gateway.disconnected().await.0, socket.id);
    client.ended().await;
    eventually("an empty table", || gateway.transports.upgraded() == 0).await;
}

#[tokio::test]
async fn closing_reaches_a_moved_session_whose_peers_window_is_zero() {
    let mut gateway = TestGateway::start().await;
    let polling = Polling::connect(gateway.address()).await;
    let (socket, transport) = gateway.connected().await;
    let _client = WebSocket::upgrade(gateway.address(), &polling.sid).await;
    eventually("a WebSocket", || socket.transport_type() == socketioxide::TransportType::Websocket)
        .await;
    assert!(fill(&socket).await);
    transport.close(CloseReason::Lagging);
    assert_eq!(gateway.disconnected().await.0, socket.id);
}

#[tokio::test]
async fn a_second_upgrade_does_not_hide_the_connection_in_use() {
    let mut gateway = TestGateway::start().await;
    let polling = Polling::connect(gateway.address()).await;
    let (socket, transport) = gateway.connected().await;
    let mut client = WebSocket::upgrade(gateway.address(), &polling.sid).await;
    client.send(r#"42/notice,["say",1]"#).await;
    gateway.said().await;
    let query = format!("&sid={}", polling.sid);
    let mut second = WebSocket::open(gateway.address(), &query).await.unwrap();
    second.ended().await;

    transport.close(CloseReason::Draining);
    assert_eq!(gateway.disconnected().await.0, socket.id);
    client.ended().await;
}

#[tokio::test]
async fn upgrades_of_unknown_sids_leave_nothing_behind() {
    let gateway = TestGateway::start().await;
    for nth in 0..20 {
        let query = format!("&sid=AAAAAAAAAAAAAA{nth:02}");
        let mut client = WebSocket::open(gateway.address(), &query).await.unwrap();
        client.ended().await;
    }
    eventually("an empty table", || gateway.transports.upgraded() == 0).await;
    eventually("no connection", || gateway.edge.connections() == 0).await;
}

#[tokio::test]
async fn a_transport_can_be_closed_from_a_thread_without_a_runtime() {
    let mut gateway = TestGateway::start().await;
    let mut client = Polling::connect(gateway.address()).await;
    let (_, transport) = gateway.connected().await;
    client.start_poll().await;
    gateway.requests_pending(1).await;
    std::thread::spawn(move || transport.close(CloseReason::Kicked)).join().unwrap();
    soon("a disconnect", gateway.disconnected()).await;
}
