//! What is sent and not kept.

use std::{collections::BTreeSet, time::Duration};

use herald_backplane::{GatewayEvent, Since, VolatileNotice};
use herald_core::{Place, UserId};

use crate::support::{Fixture, Gateway, PATIENCE, eventually, numbered, sent, session, user};

async fn volatile(gateway: &mut Gateway) -> (UserId, VolatileNotice) {
    match gateway.events.next().await {
        Some(GatewayEvent::Volatile(user, notice)) => (user, notice),
        other => panic!("expected a volatile notice, heard {other:?}"),
    }
}

async fn broadcast(gateway: &mut Gateway) -> VolatileNotice {
    match gateway.events.next().await {
        Some(GatewayEvent::Broadcast(notice)) => notice,
        other => panic!("expected a broadcast, heard {other:?}"),
    }
}

pub(crate) async fn a_volatile_notice_goes_to_the_owners_and_to_no_inbox(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let mut gateways = [fixture.gateway("gw:1").await, fixture.gateway("gw:2").await];
    let mut other = fixture.gateway("gw:3").await;
    let (alice, bob) = (user("alice"), user("bob"));
    let records = [session(1), session(2), session(3)];
    for (at, record) in [(0, &records[0]), (0, &records[1]), (1, &records[2])] {
        gateways[at].port.connect(&alice, record, Since::Start).await.unwrap();
    }
    other.port.connect(&bob, &session(4), Since::Start).await.unwrap();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut notice = sent(r#"{ "a" : 1,  "a":2 }"#);
    notice.traceparent = Some(trace.into());

    let before = notifier.dispatch(&bob, &numbered(0, 0)).await.unwrap();
    let first = notifier.send_volatile(&alice, &notice).await.unwrap();
    let second = notifier.send_volatile(&alice, &notice).await.unwrap();
    assert_ne!(first.id, second.id, "each has an id of its own");
    assert!(first.at_ms >= before.at_ms);
    let targets: BTreeSet<_> = first.targets.iter().map(|t| (t.session.id, t.heard)).collect();
    assert_eq!(targets, records.iter().map(|record| (record.id, true)).collect());
    for gateway in &mut gateways {
        for sent in [&first, &second] {
            let (of, heard) = volatile(gateway).await;
            assert_eq!((of, heard.id, heard.sent_at_ms), (alice.clone(), sent.id, sent.at_ms));
            assert_eq!(heard.notice, notice);
        }
    }
    assert_eq!(other.events.notice().await.place, before.place);
    notifier.dispatch(&bob, &numbered(1, 0)).await.unwrap();
    assert_eq!(other.events.notice().await.previous, before.place.position, "nothing in between");

    let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
    assert_eq!((page.notices.len(), page.tip), (0, Place::ZERO));
}

pub(crate) async fn a_volatile_notice_to_nobody_is_gone(fixture: &Fixture) {
    let (notifier, mut gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    let sent = notifier.send_volatile(&alice, &numbered(1, 0)).await.unwrap();
    assert_eq!(sent.targets, []);
    assert_eq!(gateway.port.tip(&alice).await.unwrap(), None, "it leaves no trace");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let next = notifier.dispatch(&alice, &numbered(2, 0)).await.unwrap();
    assert_eq!(gateway.events.notice().await.place, next.place);
}

pub(crate) async fn a_volatile_notice_travels_whole_whatever_its_size(fixture: &Fixture) {
    let fixture = fixture.with(|options| options.inline_bytes = 256);
    let (notifier, mut gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    for bytes in [0, 255, 257, 65_536, 1 << 20] {
        notifier.send_volatile(&alice, &numbered(1, bytes)).await.unwrap();
        assert_eq!(volatile(&mut gateway).await.1.notice, numbered(1, bytes));
        notifier.broadcast(&numbered(2, bytes)).await.unwrap();
        assert_eq!(broadcast(&mut gateway).await.notice, numbered(2, bytes));
    }
}

pub(crate) async fn volatile_notices_that_nobody_takes_put_nothing_in_doubt(fixture: &Fixture) {
    let fixture = fixture.with(|options| options.channel_capacity = 8);
    let (notifier, mut gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    for number in 0..300 {
        notifier.send_volatile(&alice, &numbered(number, 0)).await.unwrap();
    }
    // Some may be on their way still, until one gets through that was sent later.
    eventually("one gets through", PATIENCE, async || {
        let last = notifier.send_volatile(&alice, &numbered(300, 0)).await.unwrap();
        let through = async { while volatile(&mut gateway).await.1.id != last.id {} };
        tokio::time::timeout(Duration::from_millis(200), through).await.ok()
    })
    .await;
    let next = notifier.dispatch(&alice, &numbered(0, 0)).await.unwrap();
    assert_eq!(gateway.events.notice().await.place, next.place, "and no doubt before it");
}

pub(crate) async fn who_does_not_listen_misses_a_volatile_notice(fixture: &Fixture) {
    let fixture = fixture.with(|options| options.lease *= 100);
    let notifier = fixture.notifier().await;
    let gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    drop(gateway);
    eventually("its session is a target, unheard", PATIENCE, async || {
        let sent = notifier.send_volatile(&alice, &numbered(1, 0)).await.unwrap();
        assert_eq!(sent.targets.len(), 1);
        (!sent.targets[0].heard).then_some(())
    })
    .await;
    assert_eq!(notifier.broadcast(&numbered(1, 0)).await.unwrap(), 0, "nobody was told");
}

pub(crate) async fn a_broadcast_is_heard_by_every_gateway_that_is_alive(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    assert_eq!(notifier.broadcast(&sent("0")).await.unwrap(), 0);
    let mut gateways = Vec::new();
    for n in 0..3 {
        gateways.push(fixture.gateway(&format!("gw:{n}")).await);
    }
    assert_eq!(notifier.broadcast(&sent("1")).await.unwrap(), 3, "with or without sessions");
    let mut ids = BTreeSet::new();
    for gateway in &mut gateways {
        let heard = broadcast(gateway).await;
        assert_eq!(heard.notice, sent("1"));
        assert!(heard.sent_at_ms > 0);
        ids.insert(heard.id);
    }
    assert_eq!(ids.len(), 1, "it is one notice");
    let released = gateways.pop().unwrap();
    released.port.release().await.unwrap();
    assert_eq!(notifier.broadcast(&sent("2")).await.unwrap(), 2);
    for gateway in &mut gateways {
        assert_eq!(broadcast(gateway).await.notice, sent("2"));
    }
}
