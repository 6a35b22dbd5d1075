//! Notices on their way to sessions.

use std::collections::HashSet;

use herald_core::{Cursor, NoticeId, UserId};
use serde_json::json;

use crate::support::{
    client::{Client, Event},
    herald::Herald,
    polling::{self, Http},
};

#[tokio::test]
async fn a_notice_arrives_once_with_its_meta() {
    let herald = Herald::start().await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let sent = herald.send("alice", r#"{"hello":1}"#).await;
    assert_eq!(sent.targets.len(), 1);
    let event = client.event().await;
    assert_eq!(event.args.len(), 2, "a listener gets payload and meta");
    assert_eq!(event.notice(), (&json!({"hello": 1}), false));
    assert_eq!(event.text("id"), NoticeId(sent.place).to_string());
    assert_eq!(event.args[1]["sentAt"], json!(sent.place.position.ms));
    let cursor = Cursor::decode(&event.text("cursor"), &UserId::new("alice").unwrap());
    assert_eq!(cursor, Ok(Cursor { epoch: sent.epoch, place: sent.place }));
    herald.send("alice", "2").await;
    client.expect([2], false).await;
}

#[tokio::test]
async fn the_payloads_bytes_are_the_senders() {
    let herald = Herald::start().await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let mut polls = Http::connect(herald.address).await;
    let sid = polling::handshake(&mut polls).await;
    let target = polling::target(&sid);
    polls.request("POST", &target, "", r#"40/notice,{"token":"alice"}"#).await;
    let mut polled = String::new();
    while !polled.contains("herald:ready") {
        polled = polls.get(&target).await.body;
    }
    for json in [
        r#"{"n":12345678901234567890123, "s":"\u00e9é" , "e":{ }}"#,
        "null",
        "{}",
        "[]",
        "-0.0",
        "1E400",
        r#""\u2028 \ud83d\ude00 😀""#,
        r#"{"_placeholder":true,"num":0}"#,
        r#"[[[{"a":[1,2,{"b":null}]}]]]"#,
    ] {
        herald.send("alice", json).await;
        let expected = format!(r#"42/notice,["notice",{json},{{"id":"#);
        let packet = client.socket.next().await.unwrap();
        assert!(packet.starts_with(&expected), "{packet}");
        // Several packets may come in one answer; a ping may come first.
        let body = polls.get(&target).await.body;
        assert!(body.contains(&expected), "{body}");
    }
}

#[tokio::test]
async fn a_large_notice_is_read_from_the_inbox_and_keeps_its_place() {
    let herald = Herald::start().await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let large = format!("\"{}\"", "x".repeat(50_000));
    herald.send("alice", "1").await;
    herald.send("alice", &large).await;
    herald.send("alice", "3").await;
    client.expect([1], false).await;
    let event = client.event().await;
    assert_eq!(event.notice().0.as_str().unwrap().len(), 50_000);
    assert!(!event.notice().1, "nobody connected: it is not a replay");
    client.expect([3], false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_sent_right_after_the_connect_arrives_a_thousand_times() {
    let herald = Herald::start().await;
    for number in 0..1_000 {
        // Every other one by a user who never had a notice.
        let user = if number % 2 == 0 { "alice".to_owned() } else { format!("user-{number}") };
        let mut client = Client::open(herald.address).await;
        let answer = client.ask("/notice", json!({ "token": user })).await;
        assert!(answer.starts_with("40"), "{answer}");
        herald.send(&user, &number.to_string()).await;
        assert_eq!(client.event().await.name, "herald:ready");
        let event = client.event().await;
        assert_eq!(event.notice().0, &json!(number));
    }
}

#[tokio::test]
async fn each_namespace_is_a_session_of_its_own() {
    let herald = Herald::start().await;
    let mut client = Client::open(herald.address).await;
    let first = client.join("/notice", json!({"token": "alice"})).await;
    let second = client.join("/", json!({"token": "alice"})).await;
    assert_ne!(first.text("session"), second.text("session"));
    let registered: HashSet<_> =
        herald.sessions("alice", 2).await.iter().map(|s| s.id.to_string()).collect();
    assert_eq!(registered, HashSet::from([first.text("session"), second.text("session")]));

    herald.send("alice", "1").await;
    let namespaces =
        HashSet::from([client.event().await.namespace, client.event().await.namespace]);
    assert_eq!(namespaces, HashSet::from(["/notice".to_owned(), "/".to_owned()]));

    client.socket.send("41/notice,").await;
    let left = herald.sessions("alice", 1).await;
    assert_eq!(left[0].namespace.as_str(), "/");
    herald.send("alice", "2").await;
    let event = client.event().await;
    assert_eq!((event.namespace.as_str(), event.notice().0), ("/", &json!(2)));

    // The same connection, hence the same socket id, but another session.
    let third = client.join("/notice", json!({"token": "alice"})).await;
    assert_ne!(third.text("session"), first.text("session"));
    herald.sessions("alice", 2).await;
}

#[tokio::test]
async fn sessions_on_two_gateways_get_it_and_nobody_else_does() {
    let first = Herald::start().await;
    let second = first.beside().await;
    let (mut here, _) = Client::connect(first.address, "alice").await;
    let (mut there, _) = Client::connect(second.address, "alice").await;
    let (mut also_there, _) = Client::connect(second.address, "alice").await;
    let (mut bob, _) = Client::connect(second.address, "bob").await;
    assert_eq!(first.send("alice", "1").await.targets.len(), 3);
    first.send("bob", "2").await;
    for client in [&mut here, &mut there, &mut also_there] {
        client.expect([1], false).await;
    }
    bob.expect([2], false).await;

    // One of three goes: the others still get everything, and presence says two.
    drop(there);
    first.sessions("alice", 2).await;
    assert_eq!(first.send("alice", "3").await.targets.len(), 2);
    for client in [&mut here, &mut also_there] {
        client.expect([3], false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_at_once_are_heard_in_one_order() {
    let herald = Herald::start().await;
    let second = herald.beside().await;
    let (mut here, _) = Client::connect(herald.address, "alice").await;
    let (mut there, _) = Client::connect(second.address, "alice").await;
    let senders: Vec<_> = (0..10)
        .map(|sender| {
            let backplane = herald.backplane.clone();
            tokio::spawn(async move {
                for number in 0..50 {
                    let json = (sender * 100 + number).to_string();
                    crate::support::herald::send(&backplane, "alice", &json).await;
                }
            })
        })
        .collect();
    let mut orders = Vec::new();
    for client in [&mut here, &mut there] {
        let mut order = Vec::new();
        for _ in 0..500 {
            let event = client.event().await;
            order.push((event.text("id"), event.notice().0.as_u64().unwrap()));
        }
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1]);
    let numbers: HashSet<_> = orders[0].iter().map(|(_, number)| number).collect();
    assert_eq!(numbers.len(), 500, "each once");
    for sender in senders {
        sender.await.unwrap();
    }
}

#[tokio::test]
async fn a_notice_of_another_event_arrives_as_that() {
    let herald = Herald::start().await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let notice = herald_core::Notice {
        event: herald_core::EventName::new("order shipped").unwrap(),
        payload: herald_core::Payload::new("1", 10).unwrap(),
        traceparent: None,
    };
    let alice = UserId::new("alice").unwrap();
    herald.backplane.notifier().dispatch(&alice, &notice).await.unwrap();
    let Event { name, .. } = client.event().await;
    assert_eq!(name, "order shipped");
}
