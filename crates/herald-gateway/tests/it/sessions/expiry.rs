//! Notices that are of use for a while only.

use std::time::Duration;

use herald_backplane::{Dispatched, Since, Terms};
use herald_core::{EventName, Notice, Payload, UserId};
use serde_json::json;

use crate::support::{
    client::{Client, Event},
    eventually,
    herald::Herald,
    websocket::WebSocket,
};

async fn send(herald: &Herald, json: String, ttl: Duration) -> Dispatched {
    let payload = Payload::new(json, 1 << 20).unwrap();
    let notice = Notice { event: EventName::notice(), payload, traceparent: None };
    let terms = Terms { ttl: Some(ttl), ..Terms::default() };
    let alice = UserId::new("alice").unwrap();
    herald.backplane.notifier().dispatch_with(&alice, &notice, &terms).await.unwrap()
}

/// Waits until so many notices are left in the inbox's first page.
async fn left(herald: &Herald, count: usize) {
    let herald_backplane::Backplane::Memory(memory) = &herald.backplane else { panic!() };
    let alice = UserId::new("alice").unwrap();
    let look = || memory.read(&alice, Since::Start, 100).unwrap().notices.len();
    eventually("the others have expired", || look() == count).await;
}

#[tokio::test]
async fn what_has_expired_is_not_replayed_and_the_cursor_goes_over_it() {
    let herald = Herald::start().await;
    let (client, cursor) = Client::connect(herald.address, "alice").await;
    drop(client);
    herald.sessions("alice", 0).await;
    send(&herald, "1".into(), Duration::from_millis(50)).await;
    herald.send("alice", "2").await;
    send(&herald, "3".into(), Duration::from_millis(50)).await;
    left(&herald, 1).await;
    let auth = json!({ "token": "alice", "cursor": cursor });
    let (mut client, _) = Client::connect_with(herald.address, auth).await;
    client.expect([2], true).await;
    // Had the session not gone over the third, this would come from the inbox, in its place.
    send(&herald, "4".into(), Duration::from_secs(60)).await;
    client.expect([4], false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_socket_gets_nothing_that_expired_while_it_was_slow() {
    let herald = Herald::with(&[("HERALD_INBOX_BYTES", "64MiB")]).await;
    let mut slow = WebSocket::open_narrow(herald.address).await;
    slow.send(r#"40/notice,{"token":"alice"}"#).await;
    herald.sessions("alice", 1).await;
    // More than kernel buffers and the socket's queue hold together.
    let filler = "x".repeat(20_000);
    for number in 0..600 {
        let json = json!({"n": number, "x": filler}).to_string();
        send(&herald, json, Duration::from_millis(1_500)).await;
    }
    left(&herald, 0).await;
    herald.send("alice", r#"{"n":600}"#).await;

    assert!(slow.next().await.unwrap().starts_with("40"));
    assert_eq!(Event::parse(&slow.next().await.unwrap()).name, "herald:ready");
    let mut taken = Vec::new();
    while taken.last() != Some(&600) {
        let event = Event::parse(&slow.next().await.unwrap());
        taken.push(event.notice().0["n"].as_u64().unwrap());
    }
    let before = taken.len() as u64 - 1;
    assert!(before < 600, "the queue was never full");
    assert_eq!(taken[..taken.len() - 1], (0..before).collect::<Vec<_>>());
}
