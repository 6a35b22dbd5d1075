//! From a notifier to the inbox and the owners of the user's sessions.

use std::collections::{BTreeMap, BTreeSet};

use herald_backplane::{Announced, Dispatched, Since};
use herald_core::{GatewayId, Place, Position, SessionId, UserId};

use crate::support::{
    Fixture, PATIENCE, SendMany, eventually, numbered, places, sent, session, user,
};

fn targets(dispatched: &Dispatched) -> BTreeMap<SessionId, (GatewayId, bool)> {
    let of = |target: &herald_backplane::Target| {
        (target.session.id, (target.session.gateway, target.heard))
    };
    dispatched.targets.iter().map(of).collect()
}

/// Twenty senders in two processes, one user, sessions on two gateways.
pub(crate) async fn all_gateways_see_one_order_and_it_is_the_inboxs(fixture: &Fixture) {
    const SENDERS: usize = 20;
    const EACH: usize = 50;
    let mut gateways = [fixture.gateway("gw:1").await, fixture.gateway("gw:2").await];
    let alice = user("alice");
    for gateway in &gateways {
        gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    }
    let notifiers = [fixture.notifier().await, fixture.notifier().await];
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (notifier, alice) = (notifiers[sender % 2].clone(), alice.clone());
            tokio::spawn(async move { notifier.send(&alice, EACH, 0).await })
        })
        .collect();
    let mut all = Vec::new();
    for sender in senders {
        let sent = sender.await.unwrap();
        assert!(sent.is_sorted_by(|a, b| a.position < b.position), "a sender's own order is kept");
        all.extend(sent);
    }
    all.sort_by_key(|place| place.position);
    assert!(all.is_sorted_by(|a, b| a.position < b.position), "no position is given twice");

    let mut kept = Vec::new();
    let mut since = Since::Start;
    loop {
        let page = notifiers[0].read(&alice, since, 100).await.unwrap();
        kept.extend(page.notices.iter().map(|kept| (kept.place, kept.notice.clone())));
        if !page.more() {
            break;
        }
        since = Since::After(page.cursor());
    }
    assert!(
        kept.iter().map(|(place, _)| place).eq(&all),
        "the inbox keeps what was accepted, in order"
    );

    for gateway in &mut gateways {
        let mut heard = gateway.events.notices(SENDERS * EACH).await;
        heard.sort_by_key(|announced| announced.place.position);
        let mut previous = Position::ZERO;
        for (announced, (place, notice)) in heard.iter().zip(&kept) {
            assert_eq!((announced.place, announced.notice.as_ref()), (*place, Some(notice)));
            assert_eq!(announced.previous, previous, "the chain has no gap");
            previous = place.position;
        }
    }
}

pub(crate) async fn a_racing_connect_finds_the_notice_or_is_told(fixture: &Fixture) {
    const ROUNDS: usize = 500;
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let mut told: BTreeSet<UserId> = BTreeSet::new();
    for round in 0..ROUNDS {
        let alice = user(format!("user-{round}"));
        let (head_start, connect_first) = (round / 2 % 4, round % 2 == 0);
        let connect = {
            let (port, alice) = (gateway.port.clone(), alice.clone());
            async move { port.connect(&alice, &session(1), Since::Start).await.unwrap() }
        };
        let dispatch = {
            let (notifier, alice) = (notifier.clone(), alice.clone());
            async move { notifier.dispatch(&alice, &numbered(0, 0)).await.unwrap() }
        };
        let yields = |before: bool| if before { 0 } else { head_start };
        let connect = tokio::spawn(after_yields(yields(connect_first), connect));
        let dispatch = tokio::spawn(after_yields(yields(!connect_first), dispatch));
        let (page, dispatched) = (connect.await.unwrap(), dispatch.await.unwrap());
        let found = places(&page);
        assert!(found.is_empty() || found == [dispatched.place]);
        assert_eq!(page.epoch, dispatched.epoch);
        assert_ne!(
            dispatched.targets.is_empty(),
            found.is_empty(),
            "round {round}: one of the two, not both"
        );
        if found.is_empty() {
            told.insert(alice);
        }
    }
    let heard = gateway.events.notices(told.len()).await;
    assert_eq!(heard.into_iter().map(|announced| announced.user).collect::<BTreeSet<_>>(), told);
    assert!(
        !told.is_empty() && told.len() < ROUNDS,
        "both orders were met: {} of {ROUNDS}",
        told.len()
    );
}

async fn after_yields<T>(count: usize, then: impl Future<Output = T>) -> T {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
    then.await
}

pub(crate) async fn only_owners_are_told(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (mut first, mut second) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let mut third = fixture.gateway("gw:3").await;
    let (alice, bob) = (user("alice"), user("bob"));
    first.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    second.port.connect(&alice, &session(2), Since::Start).await.unwrap();
    let gone = session(3);
    third.port.connect(&alice, &gone, Since::Start).await.unwrap();
    third.port.disconnect(&[(alice.clone(), gone.id)]).await.unwrap();
    third.port.connect(&bob, &session(4), Since::Start).await.unwrap();

    let to_alice = notifier.send(&alice, 20, 0).await;
    let to_bob = notifier.send(&bob, 1, 0).await;
    assert_eq!(third.events.notice().await.place, to_bob[0], "the first that it hears is its own");
    for gateway in [&mut first, &mut second] {
        let heard = gateway.events.notices(20).await;
        assert!(heard.iter().all(|announced| announced.user == alice));
        assert!(heard.iter().map(|announced| announced.place).eq(to_alice.iter().copied()));
    }
}

pub(crate) async fn a_gateway_is_told_once_for_all_sessions_of_a_user(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    for at in 1..=3 {
        gateway.port.connect(&alice, &session(at), Since::Start).await.unwrap();
    }
    let sent = notifier.send(&alice, 2, 0).await;
    let heard: Vec<Place> =
        gateway.events.notices(2).await.iter().map(|heard| heard.place).collect();
    assert_eq!(heard, sent);
}

pub(crate) async fn targets_are_the_sessions_of_that_moment(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (first, second) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let (one, two) = (first.port.id(), second.port.id());
    let alice = user("alice");
    let before = notifier.dispatch(&alice, &numbered(0, 0)).await.unwrap();
    assert_eq!(before.targets, [], "nobody is there, and it is accepted all the same");

    let sessions = [session(1), session(2), session(3)];
    let mut expected = BTreeMap::new();
    for (gateway, record) in [&first, &first, &second].into_iter().zip(&sessions) {
        gateway.port.connect(&alice, record, Since::Start).await.unwrap();
        expected.insert(record.id, (gateway.port.id(), true));
    }
    second.port.connect(&user("bob"), &session(4), Since::Start).await.unwrap();
    let all = notifier.dispatch(&alice, &numbered(1, 0)).await.unwrap();
    assert_eq!(targets(&all), expected);
    assert_eq!((all.targets.len(), all.epoch), (3, before.epoch));
    let third = all.targets.iter().find(|target| target.session.id == sessions[2].id).unwrap();
    let mut as_registered = sessions[2].clone();
    as_registered.gateway = two;
    assert_eq!(third.session, as_registered, "with all that is known of it");

    first.port.disconnect(&[(alice.clone(), sessions[0].id)]).await.unwrap();
    let rest = notifier.dispatch(&alice, &numbered(2, 0)).await.unwrap();
    assert_eq!(
        targets(&rest),
        BTreeMap::from([(sessions[1].id, (one, true)), (sessions[2].id, (two, true))])
    );
}

pub(crate) async fn who_does_not_listen_is_a_target_unheard(fixture: &Fixture) {
    let fixture = fixture.with(|options| options.lease *= 100);
    let notifier = fixture.notifier().await;
    let (crashed, mut alive) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let (lost, kept) = (session(1), session(2));
    let alice = user("alice");
    crashed.port.connect(&alice, &lost, Since::Start).await.unwrap();
    alive.port.connect(&alice, &kept, Since::Start).await.unwrap();
    let id = crashed.port.id();
    drop(crashed);
    let expected = BTreeMap::from([(lost.id, (id, false)), (kept.id, (alive.port.id(), true))]);
    eventually("the crashed gateway's session is a target, unheard", PATIENCE, async || {
        let dispatched = notifier.dispatch(&alice, &numbered(0, 0)).await.unwrap();
        assert_eq!(dispatched.targets.len(), 2, "not to be heard is not to be dead");
        assert_eq!(alive.events.notice().await.place, dispatched.place);
        (targets(&dispatched) == expected).then_some(())
    })
    .await;
}

pub(crate) async fn user_ids_of_any_kind_do_not_mix(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let long = ["u".repeat(128), "é".repeat(64), format!("{}v", "u".repeat(127))];
    let ids = [
        "a", "A", "{a}", "{a", "a}", "{", "}", "{}", "}{", "{}a", "{a}{b}", "a b", " a", "a ", " ",
        "*", "a*", "?", "[a]", "[^a]", "a\\", "\\*", "a:b", "a/b", "%61", "%s", "\"a\"", "'a'",
        "é", "e\u{301}", "🦀", "\u{200d}", "0", "00", "state", "null", "-", "+", "$", ">",
        "a\u{a0}b",
    ];
    let ids: Vec<&str> = ids.into_iter().chain(long.iter().map(String::as_str)).collect();
    let payload = |id: &str| sent(format!("{:?}", id.as_bytes()));
    let mut sessions = BTreeMap::new();
    for id in &ids {
        let record = session(1);
        gateway.port.connect(&user(id), &record, Since::Start).await.unwrap();
        sessions.insert(user(id), record.id);
    }
    for id in &ids {
        let dispatched = notifier.dispatch(&user(id), &payload(id)).await.unwrap();
        assert!(targets(&dispatched).keys().eq([&sessions[&user(id)]]), "{id:?}");
        let announced = gateway.events.notice().await;
        assert_eq!(announced.user, user(id));
        assert_eq!(announced.notice, Some(payload(id)));
    }
    let users: Vec<UserId> = ids.iter().map(user).collect();
    let presence = notifier.presence(&users).await.unwrap();
    for (asked, present) in users.iter().zip(presence) {
        assert_eq!(present.user, *asked);
        assert!(
            present.sessions.iter().map(|session| session.id).eq([sessions[asked]]),
            "{asked:?}"
        );
        let page = notifier.read(asked, Since::Start, 100).await.unwrap();
        assert!(
            page.notices.iter().map(|kept| &kept.notice).eq([&payload(asked.as_str())]),
            "{asked:?}"
        );
    }
}

pub(crate) async fn many_users_at_once(fixture: &Fixture) {
    const USERS: usize = 2_000;
    let notifier = fixture.notifier().await;
    let mut gateways = [fixture.gateway("gw:1").await, fixture.gateway("gw:2").await];
    let users: Vec<UserId> = (0..USERS).map(|id| user(format!("user-{id}"))).collect();
    let mut sessions = Vec::new();
    for gateway in &gateways {
        let mut registered = Vec::new();
        for (at, alice) in users.iter().enumerate() {
            let record = session(at as u64);
            gateway.port.connect(alice, &record, Since::Start).await.unwrap();
            registered.push((alice.clone(), record.id));
        }
        sessions.push(registered);
    }
    for alice in &users {
        let dispatched = notifier.dispatch(alice, &numbered(0, 0)).await.unwrap();
        assert!(dispatched.targets.iter().all(|target| target.heard));
        assert_eq!(dispatched.targets.len(), 2);
    }
    for gateway in &mut gateways {
        let heard: Vec<Announced> = gateway.events.notices(USERS).await;
        assert!(heard.iter().map(|announced| &announced.user).eq(&users));
    }
    gateways[0].port.disconnect(&sessions[0]).await.unwrap();
    let presence = notifier.presence(&users).await.unwrap();
    assert_eq!(presence.len(), USERS);
    for (present, (alice, session)) in presence.iter().zip(&sessions[1]) {
        assert_eq!(present.user, *alice);
        assert!(present.sessions.iter().map(|record| record.id).eq([*session]));
    }
}
