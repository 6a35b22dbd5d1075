//! Facts about the libraries that the gateway relies on.

use herald_gateway::edge::{EngineOptions, Handshake};
use tokio::io::AsyncWriteExt;

use crate::support::{
    eventually,
    gateway::{Event, Setup, TestGateway},
    polling::Http,
    websocket::{WebSocket, pinged},
};

#[tokio::test]
async fn all_namespaces_of_a_connection_share_its_sid() {
    let mut gateway = TestGateway::start().await;
    let mut client = WebSocket::open(gateway.address(), "").await.unwrap();
    let sid = client.open_packet().await["sid"].as_str().unwrap().to_owned();
    client.join("/notice").await;
    client.join("/").await;
    for _ in 0..2 {
        let (socket, transport) = gateway.connected().await;
        assert_eq!(socket.id.as_str(), sid);
        assert_eq!(transport.sid().as_str(), sid);
    }
}

#[tokio::test]
async fn the_handshake_reaches_the_handlers_without_its_token_in_the_uri() {
    let mut gateway = TestGateway::start().await;
    let query = "&token=se%2Bcret&cursor=abc&t=Pxyz";
    let mut client = WebSocket::open(gateway.address(), query).await.unwrap();
    client.open_packet().await;
    client.join("/notice").await;
    let (socket, _) = gateway.connected().await;
    let parts = socket.req_parts();
    let handshake = Handshake::of(parts).unwrap();
    assert_eq!(handshake.token().unwrap().expose(), "se+cret");
    assert!(handshake.peer().ip().is_loopback());
    assert!(handshake.connection().unwrap().is_open());
    assert_eq!(parts.uri, "/notice/?EIO=4&transport=websocket&cursor=abc");
    assert_eq!(parts.headers["host"], gateway.address().to_string());
    assert!(!format!("{socket:?} {parts:?}").contains("cret"));
}

#[tokio::test]
async fn bytes_of_a_connection_are_counted() {
    let mut gateway = TestGateway::start().await;
    let mut client = WebSocket::connect(gateway.address()).await;
    let (socket, _) = gateway.connected().await;
    let connection = Handshake::of(socket.req_parts()).unwrap().connection().unwrap().clone();
    // Its answer must not come in between.
    pinged(&mut client, &socket).await;
    client.send(r#"42/notice,["say",0]"#).await;
    gateway.said().await;
    let (received, sent) = connection.bytes().unwrap();
    client.send(r#"42/notice,["say",1]"#).await;
    gateway.said().await;
    socket.emit("x", &"y".repeat(1000)).unwrap();
    client.next().await;
    let (received_later, sent_later) = connection.bytes().unwrap();
    // Frame header, and the mask of what a client sends.
    assert_eq!(received_later - received, 19 + 2 + 4);
    assert!((sent_later - sent) > 1000 && (sent_later - sent) < 1050);
    drop(client);
    gateway.disconnected().await;
    eventually("no connection", || connection.bytes().is_none()).await;
}

#[tokio::test]
async fn a_second_connect_packet_makes_no_second_session() {
    let mut gateway = TestGateway::start().await;
    let mut client = WebSocket::connect(gateway.address()).await;
    client.send("40/notice,").await;
    client.send(r#"42/notice,["say",1]"#).await;
    gateway.connected().await;
    assert!(matches!(gateway.event().await, Event::Said(..)));
}

#[tokio::test]
async fn a_websocket_request_without_upgrade_is_refused() {
    let gateway = TestGateway::start().await;
    let mut http = Http::connect(gateway.address()).await;
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for query in ["", "&sid=AAAAAAAAAAAAAAAA"] {
        let target = format!("/notice/?EIO=4&transport=websocket{query}");
        assert_eq!(http.request("GET", &target, key, "").await.status, 400);
        // Complete, but HTTP/1.0 knows no upgrade.
        let mut old = Http::connect(gateway.address()).await;
        let request = format!(
            "GET {target} HTTP/1.0\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\n{key}\r\n"
        );
        old.stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(old.answer().await.unwrap().status, 400);
    }
}

#[tokio::test]
#[should_panic(expected = "is not the path of a URI")]
async fn a_path_that_is_none_is_found_at_start() {
    let engine = EngineOptions { path: "/no tice".to_owned(), ..EngineOptions::default() };
    TestGateway::with(Setup { engine, ..Setup::default() }).await;
}
