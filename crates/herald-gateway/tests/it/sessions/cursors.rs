//! Where sessions begin, and what they are told when they cannot.

use herald_core::{Cursor, Epoch, UserId};
use serde_json::{Value, json};

use crate::support::{
    client::Client,
    herald::Herald,
    polling::{self, Http},
};

fn alice(cursor: &str) -> Value {
    json!({"token": "alice", "cursor": cursor})
}

#[tokio::test]
async fn who_leaves_before_the_first_notice_comes_back_to_it() {
    let herald = Herald::start().await;
    for before in [None, Some("0")] {
        if let Some(json) = before {
            herald.send("alice", json).await;
        }
        let (client, cursor) = Client::connect(herald.address, "alice").await;
        drop(client);
        herald.sessions("alice", 0).await;
        for number in 1..=5 {
            herald.send("alice", &number.to_string()).await;
        }
        let (mut client, place) = Client::connect_with(herald.address, alice(&cursor)).await;
        assert_eq!(place, cursor, "it begins where it was");
        client.expect(1..=5, true).await;
        herald.send("alice", "6").await;
        client.expect([6], false).await;
    }
}

#[tokio::test]
async fn a_cursor_is_good_at_any_gateway_and_from_the_query() {
    let herald = Herald::start().await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    herald.send("alice", "1").await;
    let cursor = client.event().await.text("cursor");
    herald.send("alice", "2").await;
    let other = herald.beside().await;
    let mut client =
        Client::open_with(other.address, &format!("&token=alice&cursor={cursor}")).await;
    client.join("/notice", json!({})).await;
    client.expect([2], true).await;
}

#[tokio::test]
async fn without_a_cursor_a_session_begins_now_and_start_asks_for_all() {
    let herald = Herald::start().await;
    for number in 1..=3 {
        herald.send("alice", &number.to_string()).await;
    }
    let (mut now, _) = Client::connect(herald.address, "alice").await;
    let (mut all, _) = Client::connect_with(herald.address, alice("start")).await;
    all.expect(1..=3, true).await;
    herald.send("alice", "4").await;
    now.expect([4], false).await;
    all.expect([4], false).await;
}

#[tokio::test]
async fn a_cursor_that_cannot_be_read_is_told_and_all_that_is_kept_follows() {
    let herald = Herald::start().await;
    herald.send("alice", "1").await;
    let bobs = Cursor { epoch: Epoch(1), place: herald_core::Place::ZERO };
    let bobs = bobs.encode(&UserId::new("bob").unwrap());
    for cursor in [json!("x"), json!(bobs), json!(5)] {
        let auth = json!({"token": "alice", "cursor": cursor});
        let (mut client, ready) = Client::connect_with(herald.address, auth).await;
        let gap = client.event().await;
        assert_eq!(gap.name, "herald:gap");
        assert_eq!(gap.text("reason"), "malformed");
        assert_eq!(gap.args[0]["after"], Value::Null);
        assert_eq!(gap.text("floor"), ready);
        client.expect([1], true).await;
    }
}

#[tokio::test]
async fn what_was_removed_is_told_and_the_rest_follows() {
    let herald = Herald::with(&[("HERALD_INBOX_NOTICES", "3")]).await;
    let (client, cursor) = Client::connect(herald.address, "alice").await;
    drop(client);
    for number in 1..=10 {
        herald.send("alice", &number.to_string()).await;
    }
    let (mut client, ready) = Client::connect_with(herald.address, alice(&cursor)).await;
    let gap = client.event().await;
    assert_eq!(gap.name, "herald:gap");
    assert_eq!(gap.text("reason"), "expired");
    assert_eq!(gap.text("after"), cursor);
    assert_eq!(gap.text("floor"), ready);
    client.expect(8..=10, true).await;

    // The place after a gap is one to come back to.
    let (mut client, again) = Client::connect_with(herald.address, alice(&ready)).await;
    assert_eq!(again, ready);
    client.expect(8..=10, true).await;
}

#[tokio::test]
async fn a_cursor_of_another_life_of_the_inbox_is_told_as_reset() {
    let herald = Herald::start().await;
    herald.send("alice", "1").await;
    let (_client, ready) = Client::connect(herald.address, "alice").await;
    let user = UserId::new("alice").unwrap();
    let mut cursor = Cursor::decode(&ready, &user).unwrap();
    cursor.epoch = Epoch(cursor.epoch.0 ^ 1);
    let (mut client, _) = Client::connect_with(herald.address, alice(&cursor.encode(&user))).await;
    let gap = client.event().await;
    assert_eq!(gap.text("reason"), "reset");
    assert_eq!(gap.text("after"), cursor.encode(&user));
    client.expect([1], true).await;
}

#[tokio::test]
async fn a_thousand_notices_are_replayed_in_order_before_anything_newer() {
    let herald = Herald::start().await;
    for number in 0..1_000 {
        herald.send("alice", &number.to_string()).await;
    }
    let (mut client, _) = Client::connect_with(herald.address, alice("start")).await;
    client.expect(0..3, true).await;
    herald.send("alice", "1000").await;
    client.expect(3..1_000, true).await;
    assert_eq!(client.event().await.notice().0, &json!(1_000));
    herald.send("alice", "1001").await;
    client.expect([1_001], false).await;
}

#[tokio::test]
async fn a_thousand_notices_are_replayed_to_who_polls() {
    let herald = Herald::start().await;
    for number in 0..1_000 {
        herald.send("alice", &number.to_string()).await;
    }
    let mut polls = Http::connect(herald.address).await;
    let sid = polling::handshake(&mut polls).await;
    let target = polling::target(&sid);
    let auth = format!("40/notice,{}", alice("start"));
    polls.request("POST", &target, "", &auth).await;
    let mut next = 0;
    while next < 1_000 {
        let answer = polls.get(&target).await;
        assert_eq!(answer.status, 200, "after {next}: {answer:?}");
        for packet in answer.body.split('\u{1e}') {
            if packet == "2" {
                polls.request("POST", &target, "", "3").await;
            } else if let Some(rest) = packet.strip_prefix(r#"42/notice,["notice","#) {
                assert!(rest.starts_with(&format!("{next},")), "{next}: {rest}");
                next += 1;
            }
        }
    }
}
