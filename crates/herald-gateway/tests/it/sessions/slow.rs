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
    // Other tests of this process have sockets of their own.
    assert!(!figures.contains("herald_gateway_lagging_sessions 0"), "{figures}");
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

/// A session of alice's whose socket reads nothing from now on, and the cursor it was told.
async fn deaf(herald: &Herald) -> (WebSocket, String) {
    let mut deaf = WebSocket::open_narrow(herald.address).await;
    deaf.send(r#"40/notice,{"token":"alice"}"#).await;
    assert!(deaf.next().await.unwrap().starts_with("40"));
    let ready = Event::parse(&deaf.next().await.unwrap());
    assert_eq!(ready.name, "herald:ready");
    (deaf, ready.text("cursor"))
}

async fn send_numbered(herald: &Herald, count: u64) {
    let filler = "x".repeat(20_000);
    for number in 0..count {
        herald.send("alice", &json!({"n": number, "x": filler}).to_string()).await;
        // Let the gateway hear of it.
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_takes_nothing_for_too_long_is_closed_and_its_client_comes_back() {
    let herald =
        Herald::with(&[("HERALD_SLOW_SOCKET_TIMEOUT", "1s"), ("HERALD_INBOX_BYTES", "64MiB")])
            .await;
    let (mut slow, mut cursor) = deaf(&herald).await;
    let (mut quick, _) = Client::connect(herald.address, "alice").await;
    herald.sessions("alice", 2).await;
    let start = Instant::now();
    send_numbered(&herald, 900).await;
    for number in 0..900 {
        assert_eq!(quick.event().await.notice().0["n"], json!(number));
    }
    let left = herald.sessions("alice", 1).await;
    assert!(start.elapsed() >= Duration::from_secs(1), "it had its time");
    herald.send("alice", "900").await;
    quick.expect([900], false).await;
    let figures = Http::connect(herald.admin).await.get("/metrics").await.body;
    assert!(!figures.contains("herald_gateway_slow_closed_total 0"), "{figures}");

    // What of it still arrives is in order; then the client goes on from where it is.
    let mut next = 0;
    while let Some(packet) = slow.next().await {
        let event = Event::parse(&packet);
        assert_eq!(event.notice().0["n"], json!(next));
        (cursor, next) = (event.text("cursor"), next + 1);
    }
    assert!(next < 900, "{next}");
    let auth = json!({"token": "alice", "cursor": cursor});
    let (mut back, _) = Client::connect_with(herald.address, auth).await;
    for number in next..900 {
        assert_eq!(back.event().await.notice().0["n"], json!(number));
    }
    back.expect([900], true).await;
    assert!(herald.sessions("alice", 2).await.contains(&left[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_takes_little_but_something_is_served_at_its_own_pace() {
    let herald = Herald::with(&[
        ("HERALD_SLOW_SOCKET_TIMEOUT", "2s"),
        ("HERALD_INBOX_BYTES", "64MiB"),
        ("HERALD_INBOX_NOTICES", "2000"),
    ])
    .await;
    let (mut slow, _) = deaf(&herald).await;
    let start = Instant::now();
    let taking = async {
        for number in 0..1_600 {
            if number % 50 == 0 {
                // The client is busy, not the machine.
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            let packet = slow.next().await.unwrap_or_else(|| panic!("closed after {number}"));
            assert_eq!(Event::parse(&packet).notice().0["n"], json!(number));
        }
    };
    // Meanwhile, since sending alone may take longer than a socket may take nothing.
    tokio::join!(send_numbered(&herald, 1_600), taking);
    assert!(start.elapsed() > Duration::from_secs(4), "it lagged for longer than allowed at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_session_that_falls_below_the_floor_is_told_and_gets_what_is_kept() {
    let herald = Herald::with(&[("HERALD_INBOX_NOTICES", "10")]).await;
    let (mut slow, _) = deaf(&herald).await;
    send_numbered(&herald, 1_500).await;
    let (mut next, mut cursor, mut gaps, mut told) = (0, String::new(), 0, false);
    // The last stretch without a gap: its first notice, and the one after its last.
    let mut kept = (0, 0);
    while next < 1_500 {
        let event = Event::parse(&slow.next().await.unwrap());
        if event.name == "herald:gap" {
            assert_eq!(event.text("reason"), "expired");
            assert_eq!(event.text("after"), cursor, "it says after what the gap begins");
            // While the socket takes nothing the floor moves on: there may be another one.
            (cursor, gaps, told) = (event.text("floor"), gaps + 1, true);
            continue;
        }
        let number = event.args[0]["n"].as_u64().unwrap();
        assert!(number == next || (told && number > next), "{number} after {next}");
        (cursor, next, told) = (event.text("cursor"), number + 1, false);
        kept = if number == kept.1 { (kept.0, number + 1) } else { (number, number + 1) };
    }
    assert!(gaps > 0);
    assert!(kept.0 <= 1_490, "the last ten are kept, and came without a gap between them");
    herald.send("alice", "1500").await;
    assert_eq!(Event::parse(&slow.next().await.unwrap()).notice().0, &json!(1_500));
}

#[tokio::test]
async fn lost_hints_of_notices_that_are_gone_are_a_gap_for_a_quick_socket_too() {
    let herald =
        Herald::with(&[("HERALD_CHANNEL_CAPACITY", "16"), ("HERALD_INBOX_NOTICES", "5")]).await;
    let (mut client, ready) = Client::connect(herald.address, "alice").await;
    // In one go, before the gateway gets to hear of any.
    for number in 0..100 {
        herald.send("alice", &number.to_string()).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), ready);
    let mut gaps = 0;
    while seen.last() != Some(&99) {
        let event = client.event().await;
        if event.name == "herald:gap" {
            assert_eq!((event.text("reason").as_str(), event.text("after")), ("expired", cursor));
            cursor = event.text("floor");
            gaps += 1;
        } else {
            seen.push(event.notice().0.as_u64().unwrap());
            cursor = event.text("cursor");
        }
    }
    assert_eq!(gaps, 1, "{seen:?}");
    assert!(seen.is_sorted_by(|a, b| a < b) && seen.ends_with(&[95, 96, 97, 98, 99]), "{seen:?}");
}
