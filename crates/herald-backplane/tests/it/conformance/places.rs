//! Where a notice stands, and where sessions do.

use std::time::Duration;

use herald_backplane::{
    EndReason, Ending, Found, GatewayEvent, Places, ReceiptEvent, ReceiptsWanted, SessionPlace,
    Since, Terms,
};
use herald_core::{Cursor, Epoch, GatewayName, NotifierId, Place, Position};

use super::receipts::{listen, next};
use crate::support::{Fixture, PATIENCE, SendMany as _, eventually, numbered, session, user};

pub(crate) async fn a_notice_is_found_where_it_stands(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let ttl = Terms { ttl: Some(Duration::from_hours(1)), ..Terms::default() };
    let first = notifier.dispatch(&alice, &numbered(1, 0)).await.unwrap();
    let second = notifier.dispatch_with(&alice, &numbered(2, 500), &ttl).await.unwrap();
    let found = notifier.find(&alice, first.place).await.unwrap();
    assert!(found.at_ms >= second.at_ms && found.ended_at_ms == 0);
    let inbox = found.inbox.unwrap();
    assert_eq!((inbox.epoch, inbox.tip), (second.epoch, second.place));
    assert_eq!((inbox.floor, inbox.notices), (Position::ZERO, 2));
    let one = found.notice.unwrap();
    assert_eq!((one.notice.place, one.notice.notice), (first.place, numbered(1, 0)));
    assert_eq!(one.notice.expires_at_ms, 0);
    let two = notifier.find(&alice, second.place).await.unwrap().notice.unwrap();
    assert_eq!(two.notice.expires_at_ms, second.at_ms + 3_600_000);
    assert!(two.size > one.size + 400 && inbox.bytes == one.size + two.size);

    let nothing = |found: Found| (found.notice, found.inbox) == (None, Some(inbox));
    let reissued = Place { random: first.place.random ^ 1, ..first.place };
    assert!(nothing(notifier.find(&alice, reissued).await.unwrap()));
    let later = Position { ms: second.place.position.ms + 1, seq: 0 };
    let later = Place { position: later, random: first.place.random };
    assert!(nothing(notifier.find(&alice, later).await.unwrap()));
}

pub(crate) async fn what_is_found_of_nobody_is_nothing(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let place = notifier.dispatch(&alice, &numbered(1, 0)).await.unwrap().place;
    let found = notifier.find(&user("bob"), place).await.unwrap();
    assert_eq!((found.inbox, found.notice, found.ended_at_ms), (None, None, 0));
    let ending =
        Ending { sessions: None, tokens: false, why: EndReason::Purged, words: String::new() };
    notifier.end_sessions(&alice, &ending).await.unwrap();
    let found = notifier.find(&alice, place).await.unwrap();
    assert!(found.notice.is_some() && found.ended_at_ms >= place.position.ms);
    notifier.purge(&alice).await.unwrap();
    let found = notifier.find(&alice, place).await.unwrap();
    // In memory a purged user begins a new inbox at once.
    assert!(found.inbox.is_none_or(|inbox| inbox.tip == Place::ZERO));
    assert!(found.notice.is_none() && found.ended_at_ms >= place.position.ms);
}

pub(crate) async fn what_a_limit_removed_is_below_the_floor(fixture: &Fixture) {
    let few = fixture.with_inbox(|inbox| inbox.notices = 3);
    let (notifier, alice) = (few.notifier().await, user("alice"));
    let places = notifier.send(&alice, 5, 0).await;
    let found = notifier.find(&alice, places[1]).await.unwrap();
    let inbox = found.inbox.unwrap();
    assert_eq!((found.notice, inbox.floor, inbox.notices), (None, places[1].position, 3));
    assert!(notifier.find(&alice, places[2]).await.unwrap().notice.is_some());

    let short = fixture.with_inbox(|inbox| inbox.age = Duration::from_secs(1));
    let notifier = short.notifier().await;
    let place = notifier.dispatch(&alice, &numbered(1, 0)).await.unwrap().place;
    eventually("it is too old", PATIENCE, async || {
        let found = notifier.find(&alice, place).await.unwrap();
        let inbox = found.inbox.unwrap();
        assert_eq!(found.notice.is_none(), inbox.floor == place.position);
        assert_eq!(found.notice.is_none(), inbox.notices == 0);
        found.notice.is_none().then_some(())
    })
    .await;
}

pub(crate) async fn gateways_are_asked_for_places_and_answer(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let mut events = listen(&notifier).await;
    let (mut here, mut there) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let mut other = fixture.gateway("gw:3").await;
    let (alice, bob) = (user("alice"), user("bob"));
    let (one, two, three) = (session(1), session(2), session(3));
    here.port.connect(&alice, &one, Since::Start).await.unwrap();
    here.port.connect(&alice, &two, Since::Start).await.unwrap();
    there.port.connect(&alice, &three, Since::Start).await.unwrap();
    other.port.connect(&bob, &session(4), Since::Start).await.unwrap();
    let to = ReceiptsWanted { notifier: events.id(), token: 5, acks: false };
    let mut asked = notifier.ask_places(&alice, to).await.unwrap();
    asked.sort_by_key(|target| target.session.connected_at_ms);
    let asked: Vec<_> = asked.iter().map(|target| (target.session.id, target.heard)).collect();
    assert_eq!(asked, [(one.id, true), (two.id, true), (three.id, true)]);
    let at = Cursor { epoch: Epoch(9), place: Place { random: 3, ..Place::ZERO } };
    for gateway in [&mut here, &mut there] {
        let event = gateway.events.next().await.unwrap();
        assert_eq!(event, GatewayEvent::AskPlaces(alice.clone(), to));
        let place = |session| SessionPlace {
            session,
            at,
            began: None,
            resumed: true,
            reading: false,
            lagging: true,
        };
        let places = Places {
            gateway: gateway.port.id(),
            gateway_name: GatewayName::new("gw:1").unwrap(),
            sessions: vec![place(one.id), place(two.id)],
        };
        assert!(gateway.port.tell_places(to, &places).await.unwrap());
        assert_eq!(next(&mut events).await, ReceiptEvent::Places { token: 5, places });
    }
    // Who owns none is not asked: the first that it hears of is its own.
    notifier.dispatch(&bob, &numbered(1, 0)).await.unwrap();
    assert_eq!(other.events.notice().await.user, bob);

    assert_eq!(notifier.ask_places(&user("nobody"), to).await.unwrap(), []);
    let to_nobody = ReceiptsWanted { notifier: NotifierId(0), ..to };
    let name = GatewayName::new("gw:1").unwrap();
    let none = Places { gateway: here.port.id(), gateway_name: name, sessions: vec![] };
    assert!(!here.port.tell_places(to_nobody, &none).await.unwrap());
}
