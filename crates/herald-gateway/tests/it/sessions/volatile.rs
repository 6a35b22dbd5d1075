//! Notices that are in no inbox, and retries of those that are.

use herald_backplane::{Key, Sent, Terms};
use herald_core::{Cursor, EventName, IdempotencyKey, Notice, Payload, UserId};
use serde_json::json;

use crate::support::{
    client::{Client, Event},
    herald::Herald,
    polling::Http,
    websocket::WebSocket,
};

fn notice(json: &str) -> Notice {
    let payload = Payload::new(json.to_owned(), 1 << 20).unwrap();
    Notice { event: EventName::notice(), payload, traceparent: None }
}

fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

async fn volatile(herald: &Herald, json: &str) -> Sent {
    herald.backplane.notifier().send_volatile(&alice(), &notice(json)).await.unwrap()
}

async fn broadcast(herald: &Herald, json: &str) -> usize {
    herald.backplane.notifier().broadcast(&notice(json)).await.unwrap()
}

/// The sum of a counter that has these labels; it is all gateways' of this process.
async fn counted(herald: &Herald, labels: &str) -> f64 {
    let metrics = Http::connect(herald.admin).await.get("/metrics").await.body;
    let lines = metrics.lines().filter(|line| line.contains(labels));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn dropped_full(herald: &Herald, kind: &str) -> f64 {
    counted(herald, &format!("kind=\"{kind}\",reason=\"full\"")).await
}

#[tokio::test]
async fn a_volatile_notice_leaves_every_sessions_place_where_it_is() {
    let herald = Herald::start().await;
    let (mut first, _) = Client::connect(herald.address, "alice").await;
    let sent = herald.send("alice", "1").await;
    first.expect([1], false).await;
    let (mut second, cursor) = Client::connect(herald.address, "alice").await;
    let (mut other, _) = Client::connect(herald.address, "bob").await;
    let place = Cursor { epoch: sent.epoch, place: sent.place };
    assert_eq!(Cursor::decode(&cursor, &alice()), Ok(place));

    let large = format!("\"{}\"", "x".repeat(60_000));
    for json in ["2", &large] {
        let volatile = volatile(&herald, json).await;
        assert_eq!(volatile.targets.len(), 2);
        for client in [&mut first, &mut second] {
            let event = client.event().await;
            assert_eq!(event.notice().0.to_string(), *json);
            assert_eq!(event.text("id"), volatile.id.to_string());
            assert_eq!(event.args[1]["sentAt"], json!(volatile.at_ms));
            assert_eq!(Cursor::decode(&event.text("cursor"), &alice()), Ok(place));
            assert!(!event.notice().1);
        }
    }
    herald.send("alice", "3").await;
    first.expect([3], false).await;
    second.expect([3], false).await;
    herald.send("bob", "4").await;
    other.expect([4], false).await;
    let auth = json!({ "token": "alice", "cursor": cursor });
    let (mut back, _) = Client::connect_with(herald.address, auth).await;
    back.expect([3], true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_socket_drops_volatile_notices_and_broadcasts_and_never_lags() {
    let herald = Herald::start().await;
    let mut slow = WebSocket::open_narrow(herald.address).await;
    slow.send(r#"40/notice,{"token":"alice"}"#).await;
    herald.sessions("alice", 1).await;
    // Those before it has been told that it is registered go nowhere.
    assert!(slow.next().await.unwrap().starts_with("40"));
    assert_eq!(Event::parse(&slow.next().await.unwrap()).name, "herald:ready");
    let (mut bob, _) = Client::connect(herald.address, "bob").await;

    let filler = "x".repeat(20_000);
    for number in 0..900 {
        volatile(&herald, &json!({"n": number, "x": filler}).to_string()).await;
    }
    // One that comes right after the socket has taken something finds room, the next one does not.
    let mut next = 900;
    loop {
        assert!(next < 2_000, "a full socket takes all broadcasts");
        assert_eq!(broadcast(&herald, &json!({"n": next, "x": filler}).to_string()).await, 1);
        // The one that reads gets it, and is behind all before it in the channel.
        assert_eq!(bob.event().await.notice().0["n"], json!(next));
        next += 1;
        if dropped_full(&herald, "broadcast").await >= 1.0 {
            break;
        }
    }
    assert!(dropped_full(&herald, "volatile").await >= 1.0);
    herald.send("alice", r#"{"n":"durable"}"#).await;
    let (mut last, mut got) = (None, 0);
    loop {
        let event = Event::parse(&slow.next().await.unwrap());
        let number = event.notice().0["n"].clone();
        if number == json!("durable") {
            break;
        }
        assert!(number.as_u64() > last, "each at most once");
        (last, got) = (number.as_u64(), got + 1);
    }
    assert!((1..next).contains(&got), "{got}");
}

#[tokio::test]
async fn a_broadcast_arrives_once_at_every_session_of_every_namespace() {
    let herald = Herald::start().await;
    let beside = herald.beside().await;
    let mut clients = Vec::new();
    for n in 0..20 {
        let address = if n % 2 == 0 { herald.address } else { beside.address };
        clients.push(Client::connect(address, &format!("user-{}", n % 7)).await.0);
    }
    clients[0].join("/", json!({ "token": "user-0" })).await;
    let large = format!("\"{}\"", "x".repeat(60_000));
    for json in ["1", &large] {
        assert_eq!(broadcast(&herald, json).await, 2, "gateways told");
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let copies = if n == 0 { 2 } else { 1 };
        let mut seen = Vec::new();
        for _ in 0..2 * copies {
            let event = client.event().await;
            let meta = event.args[1].as_object().unwrap();
            let mut fields: Vec<_> = meta.keys().map(String::as_str).collect();
            fields.sort_unstable();
            assert_eq!(fields, ["id", "replayed", "sentAt"], "no place: it is nobody's own");
            seen.push((event.namespace.clone(), event.notice().0.to_string().len()));
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 2 * copies, "each once in each namespace");
    }
    // Nothing further has come, and nobody stands elsewhere than before.
    herald.send("user-1", "2").await;
    clients[1].expect([2], false).await;
}

#[tokio::test]
async fn a_retry_is_not_emitted_again_and_disturbs_nothing() {
    let herald = Herald::start().await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let key = Key { caller: String::new(), key: IdempotencyKey::new("k").unwrap() };
    let terms = Terms { key: Some(key), ..Terms::default() };
    let port = herald.backplane.notifier();
    for duplicate in [false, true, true] {
        let sent = port.dispatch_with(&alice(), &notice("1"), &terms).await.unwrap();
        assert_eq!(sent.duplicate, duplicate);
    }
    herald.send("alice", "2").await;
    port.dispatch_with(&alice(), &notice("1"), &terms).await.unwrap();
    herald.send("alice", "3").await;
    client.expect([1, 2, 3], false).await;
}
