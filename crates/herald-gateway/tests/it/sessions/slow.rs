//! Sockets that take little, and late.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    client::{Client, Event},
    herald::Herald,
    polling::Http,
    websocket::WebSocket,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_does_not_read_holds_nobody_up_and_misses_nothing() {
    let herald = Herald::with(&[("HERALD_INBOX_BYTES", "64MiB")]).await;
    let mut slow = WebSocket::open_narrow(herald.address).await;
    slow.send(r#"40/notice,{"token":"alice"}"#).await;
    let (mut quick, _) = Client::connect(herald.address, "alice").await;
    let (mut other, _) = Client::connect(herald.address, "bob").await;
    herald.sessions("alice", 2).await;

    // More than kernel buffers and the socket's queue hold together.
    let filler = "x".repeat(20_000);
    for number in 0..900 {
        herald.send("alice", &json!({"n": number, "x": filler}).to_string()).await;
        let event = quick.event().await;
        assert_eq!(event.notice().0["n"], json!(number));
    }
    let figures = Http::connect(herald.admin).await.get("/metrics").await.body;
    assert!(figures.contains("herald_gateway_lagging_sessions 1"), "{figures}");
    let start = Instant::now();
    herald.send("bob", "1").await;
    other.expect([1], false).await;
    assert!(start.elapsed() < Duration::from_secs(1));

    assert!(slow.next().await.unwrap().starts_with("40"));
    assert_eq!(Event::parse(&slow.next().await.unwrap()).name, "herald:ready");
    for number in 0..900 {
        let event = Event::parse(&slow.next().await.unwrap());
        assert_eq!(event.notice().0["n"], json!(number));
    }
    herald.send("alice", "901").await;
    let event = Event::parse(&slow.next().await.unwrap());
    assert_eq!(event.notice().0, &json!(901));
}
