//! Gateways that leave, and where their clients go.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite;

use crate::support::{
    client::{Client, Event},
    herald::Herald,
    polling::{Http, handshake, target},
    websocket::WebSocket,
};

/// Reads on until the transport closes: when `herald:reconnect` came, with what it said, and when
/// the end did.
async fn until_the_end(client: &mut Client) -> (Option<(Instant, u64)>, Instant) {
    let mut told = None;
    while let Some(packet) = client.socket.next().await {
        // Socket.IO's DISCONNECT and CONNECT_ERROR, after which stock clients stay away.
        assert!(!packet.starts_with("41") && !packet.starts_with("44"), "{packet}");
        let event = Event::parse(&packet);
        if event.name == "herald:reconnect" {
            told = Some((Instant::now(), event.args[0]["withinMs"].as_u64().unwrap()));
        }
    }
    (told, Instant::now())
}

#[tokio::test]
async fn clients_are_told_and_closed_and_what_follows_waits_for_their_return() {
    let herald = Herald::start().await;
    let other = herald.beside().await;
    let (mut client, cursor) = Client::connect(herald.address, "alice").await;
    let address = herald.address;
    herald.process.shutdown.request();
    let (told, end) = until_the_end(&mut client).await;
    let (told, within_ms) = told.expect("a word before the end");
    println!("told {:?} before the end, {within_ms} ms at most", end - told);

    // Before the gateway has ended: who is gone from here is no target any more.
    other.sessions("alice", 0).await;
    other.send("alice", "1").await;
    let auth = json!({"token": "alice", "cursor": cursor});
    let (mut client, _) = Client::connect_with(other.address, auth).await;
    client.expect([1], true).await;
    herald.ended().await.unwrap();
    assert!(WebSocket::open(address, "").await.is_err(), "the port is free");
}

#[tokio::test]
async fn many_leave_at_the_rate_and_all_namespaces_of_a_client_at_once() {
    const CLIENTS: usize = 30;
    let herald = Herald::with(&[("HERALD_DRAIN_RATE", "20")]).await;
    let mut clients = JoinSet::new();
    for nth in 0..CLIENTS {
        let user = format!("user-{nth}");
        let (mut client, _) = Client::connect(herald.address, &user).await;
        client.join("/", json!({ "token": user })).await;
        clients.spawn(async move { until_the_end(&mut client).await });
    }
    let begin = Instant::now();
    herald.process.shutdown.request();
    let mut ends: Vec<_> =
        clients.join_all().await.into_iter().map(|(told, end)| (told.unwrap().1, end)).collect();
    ends.sort_by_key(|(_, end)| *end);
    let spread = ends[CLIENTS - 1].1 - ends[0].1;
    println!("{CLIENTS} clients left within {:?}, spread over {spread:?}", begin.elapsed());
    // 60 sessions, 20 a second; what is slow here only makes it longer.
    assert!(spread > Duration::from_secs(2), "{spread:?}");
    herald.ended().await.unwrap();
}

#[tokio::test]
async fn the_deadline_goes_before_the_rate() {
    let rate = [("HERALD_DRAIN_RATE", "1")];
    let herald = Herald::with_grace(&rate, Duration::from_secs(4)).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(Client::connect(herald.address, "alice").await.0);
    }
    herald.process.shutdown.request();
    let begin = Instant::now();
    for client in &mut clients {
        until_the_end(client).await;
    }
    herald.ended().await.unwrap();
    // Twenty seconds by the rate.
    println!("ended after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn while_it_leaves_new_clients_and_strangers_are_sent_elsewhere_and_sessions_go_on() {
    let herald = Herald::with(&[("HERALD_DRAIN_RATE", "1")]).await;
    let mut stay = Vec::new();
    for _ in 0..6 {
        stay.push(Client::connect(herald.address, "alice").await.0);
    }
    let mut undecided = Client::open(herald.address).await;
    let mut http = Http::connect(herald.address).await;
    let known = handshake(&mut http).await;
    assert_eq!(http.get(&target("AAAAAAAAAAAAAAAAAAAAAA")).await.status, 400);

    herald.process.shutdown.request();
    while http.get("/notice/?EIO=4&transport=polling").await.status != 503 {}
    match WebSocket::open(herald.address, "").await {
        Err(tungstenite::Error::Http(answer)) => {
            assert_eq!(answer.status(), 503);
            assert!(answer.headers().contains_key("retry-after"));
        }
        other => panic!("{:?}", other.err()),
    }
    let stranger = http.get(&target("AAAAAAAAAAAAAAAAAAAAAA")).await;
    assert_eq!(stranger.status, 503);
    assert!(stranger.body.contains("Session ID unknown"), "{stranger:?}");
    let push = http.request("POST", &target("AAAAAAAAAAAAAAAAAAAAAA"), "", "3").await;
    assert_eq!(push.status, 503);
    // A session's own mistakes are its own.
    assert_eq!(http.get(&target(&known)).await.status, 200);
    assert_eq!(http.request("POST", &target(&known), "", "x").await.status, 400);

    // It had shaken hands before, and would be a session that has to leave at once.
    undecided.socket.send(r#"40/notice,{"token":"alice"}"#).await;
    assert_eq!(undecided.socket.next().await, None);

    // Those whose turn has not come are served as ever.
    herald.send("alice", "1").await;
    let mut served = 0;
    for client in &mut stay {
        while let Some(packet) = client.socket.next().await {
            served += usize::from(Event::parse(&packet).name == "notice");
        }
    }
    assert!(served > 0, "nobody was served while others left");
    herald.ended().await.unwrap();
}

#[tokio::test]
async fn a_client_that_polls_is_told_too() {
    let herald = Herald::start().await;
    let mut http = Http::connect(herald.address).await;
    let sid = handshake(&mut http).await;
    let join = r#"40/notice,{"token":"alice"}"#;
    assert_eq!(http.request("POST", &target(&sid), "", join).await.status, 200);
    let mut said = String::new();
    while !said.contains("herald:ready") {
        said = http.get(&target(&sid)).await.body;
    }
    herald.process.shutdown.request();
    loop {
        http.send("GET", &target(&sid), "", "").await;
        // The gateway may have ended by then.
        let Some(answer) = http.answer().await else { break };
        said += &answer.body;
        if answer.status != 200 {
            // Not 400: a proxy is to try the next gateway.
            assert_eq!(answer.status, 503);
            break;
        }
    }
    assert!(said.contains(r#"["herald:reconnect",{"withinMs":1000}]"#), "{said}");
    herald.ended().await.unwrap();
}
