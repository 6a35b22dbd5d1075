//! Receipts: who wants them, who hears them, what is kept of them.

use std::time::Duration;

use herald_backplane::{
    GoneReason, Kept, KeptTargets, Key, NotifierPort, Outgoing, Receipt, ReceiptEvent,
    ReceiptEvents, ReceiptState, ReceiptsWanted, Report, Reported, Since, Terms,
};
use herald_core::{
    Device, GatewayId, GatewayName, IdempotencyKey, Namespace, NotifierId, Place, SessionId,
    SessionRecord, Transport, UserId,
};

use crate::support::{Fixture, PATIENCE, eventually, numbered, session, user};

const NOBODY: NotifierId = NotifierId(0);

fn wanted(notifier: NotifierId, token: u64, acks: bool) -> ReceiptsWanted {
    ReceiptsWanted { notifier, token, acks }
}

fn terms(receipts: ReceiptsWanted) -> Terms {
    Terms { receipts: Some(receipts), ..Terms::default() }
}

fn keyed(receipts: ReceiptsWanted) -> Terms {
    let key = Key { caller: String::new(), key: IdempotencyKey::new("k").unwrap() };
    Terms { key: Some(key), ..terms(receipts) }
}

fn report(state: ReceiptState, at_ms: u64) -> Report {
    let receipt = Receipt {
        session: SessionId::random(),
        namespace: Namespace::new("/notice").unwrap(),
        device: Device::new("phone").ok(),
        connected_at_ms: 3,
        state,
        at_ms,
        replayed: state == ReceiptState::Emitted,
        gone: (state == ReceiptState::Gone).then_some(GoneReason::TokenExpired),
    };
    Report {
        gateway_name: GatewayName::new("gw:1").unwrap(),
        roll_call: (state == ReceiptState::Emitted).then_some(GatewayId(7)),
        receipts: vec![receipt],
    }
}

fn about(user: &UserId, place: Place, report: &Report) -> Outgoing {
    Outgoing { user: user.clone(), place, to: Vec::new(), keep: true, report: report.clone() }
}

/// What is on its way to a notifier that listens.
pub(super) async fn listen(notifier: &NotifierPort) -> ReceiptEvents {
    let mut events = notifier.receipts(NotifierId::random());
    let mut listening = events.listening();
    let listens = listening.wait_for(|listens| *listens);
    tokio::time::timeout(PATIENCE, listens).await.expect("the channel is there").unwrap();
    assert_eq!(next(&mut events).await, ReceiptEvent::Doubt, "what came before is missed");
    events
}

pub(super) async fn next(events: &mut ReceiptEvents) -> ReceiptEvent {
    let next = tokio::time::timeout(PATIENCE, events.next());
    next.await.expect("an event").expect("the backplane is there")
}

pub(crate) async fn what_is_wanted_goes_with_the_notice_and_stays_with_it(fixture: &Fixture) {
    let fixture = fixture.with(|options| options.inline_bytes = 256);
    let (notifier, mut gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let mut previous = Place::ZERO;
    for (token, acks, bytes) in [(1, true, 0), (2, false, 0), (3, true, 1_000), (4, false, 1_000)] {
        let wanted = wanted(NOBODY, token, acks);
        let notice = numbered(0, bytes);
        let place = notifier.dispatch_with(&alice, &notice, &terms(wanted)).await.unwrap().place;
        let announced = gateway.events.notice().await;
        assert_eq!((announced.place, announced.receipts), (place, Some(wanted)));
        assert_eq!(announced.notice.is_some(), bytes == 0);
        assert_eq!(announced.previous, previous.position);
        assert_eq!(announced.previous_random, Some(previous.random));
        let page = gateway.port.read(&alice, Since::Start).await.unwrap();
        assert_eq!(page.notices.last().unwrap().receipts, Some(wanted));
        previous = place;
    }
    let place = notifier.dispatch(&alice, &numbered(0, 0)).await.unwrap().place;
    let announced = gateway.events.notice().await;
    assert_eq!((announced.place, announced.receipts), (place, None));
    let page = gateway.port.read(&alice, Since::Start).await.unwrap();
    assert_eq!(page.notices.last().unwrap().receipts, None);
}

pub(crate) async fn a_retry_wants_for_itself(fixture: &Fixture) {
    let (notifier, mut gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let (first, second) = (wanted(NOBODY, 1, false), wanted(NOBODY, 2, true));
    for (wanted, duplicate) in [(first, false), (second, true)] {
        let notice = numbered(1, 0);
        let dispatched = notifier.dispatch_with(&alice, &notice, &keyed(wanted)).await.unwrap();
        assert_eq!(dispatched.duplicate, duplicate, "who wants what is no part of a notice");
        assert_eq!(gateway.events.notice().await.receipts, Some(wanted));
    }
    let page = gateway.port.read(&alice, Since::Start).await.unwrap();
    assert_eq!(page.notices[0].receipts, Some(first), "nothing is written by a retry");
}

pub(crate) async fn a_report_is_heard_by_who_wants_it_alone(fixture: &Fixture) {
    let (one, other) = (fixture.notifier().await, fixture.notifier().await);
    let (mut to_one, mut to_other) = (listen(&one).await, listen(&other).await);
    let gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    let mut outgoing = Vec::new();
    let mut reports = Vec::new();
    for (n, to) in [
        vec![wanted(to_one.id(), 1, true)],
        vec![wanted(to_other.id(), u64::MAX, false), wanted(to_one.id(), 2, false)],
        vec![wanted(to_other.id(), 3, false)],
        vec![],
    ]
    .into_iter()
    .enumerate()
    {
        let report = report(ReceiptState::Emitted, n as u64);
        outgoing.push(Outgoing { to, keep: false, ..about(&alice, Place::ZERO, &report) });
        reports.push(report);
    }
    let reported = gateway.port.report(&outgoing).await.unwrap();
    assert_eq!(reported, Reported { heard: 4, unheard: 0 });
    let event = |token, n: usize| ReceiptEvent::Report { token, report: reports[n].clone() };
    for (token, n) in [(1, 0), (2, 1)] {
        assert_eq!(next(&mut to_one).await, event(token, n));
    }
    for (token, n) in [(u64::MAX, 1), (3, 2)] {
        assert_eq!(next(&mut to_other).await, event(token, n));
    }
    assert_eq!(gateway.port.report(&outgoing[3..]).await.unwrap(), Reported::default());
    assert_eq!(gateway.port.report(&[]).await.unwrap(), Reported::default());
}

pub(crate) async fn a_report_that_nobody_hears_is_counted(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (gone, mut stays) = (listen(&notifier).await, listen(&notifier).await);
    let gateway = fixture.gateway("gw:1").await;
    let report = report(ReceiptState::Acked, 1);
    let to = vec![wanted(gone.id(), 1, true), wanted(stays.id(), 2, true)];
    let outgoing = [Outgoing { to, keep: false, ..about(&user("alice"), Place::ZERO, &report) }];
    let both = gateway.port.report(&outgoing).await.unwrap();
    assert_eq!(both, Reported { heard: 2, unheard: 0 });
    drop(gone);
    eventually("the subscription has ended", PATIENCE, async || {
        let reported = gateway.port.report(&outgoing).await.unwrap();
        (reported == Reported { heard: 1, unheard: 1 }).then_some(())
    })
    .await;
    assert_eq!(next(&mut stays).await, ReceiptEvent::Report { token: 2, report });
}

pub(crate) async fn reports_come_in_the_order_they_were_made(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let mut events = listen(&notifier).await;
    let gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    for batch in 0..50 {
        let outgoing: Vec<_> = (0..20)
            .map(|n| {
                let report = report(ReceiptState::Emitted, batch * 20 + n);
                let to = vec![wanted(events.id(), 1, true)];
                Outgoing { to, keep: false, ..about(&alice, Place::ZERO, &report) }
            })
            .collect();
        gateway.port.report(&outgoing).await.unwrap();
    }
    for at_ms in 0..1_000 {
        match next(&mut events).await {
            ReceiptEvent::Report { report, .. } => assert_eq!(report.receipts[0].at_ms, at_ms),
            other => panic!("nothing was lost, and nothing else asked for: {other:?}"),
        }
    }
}

/// Nearly always most of them are dropped; a reader that wins the race for every place hears all.
pub(crate) async fn who_misses_reports_is_told_to_doubt(fixture: &Fixture) {
    const REPORTS: u64 = 300;
    let fixture = fixture.with(|options| options.channel_capacity = 8);
    let notifier = fixture.notifier().await;
    let mut events = listen(&notifier).await;
    let gateway = fixture.gateway("gw:1").await;
    let (mut rounds, mut doubts) = (0.., 0);
    while doubts < 2 {
        let these = rounds.next().map(|round| round * REPORTS..(round + 1) * REPORTS).unwrap();
        let outgoing: Vec<_> = these
            .clone()
            .map(|n| {
                let to = vec![wanted(events.id(), 1, false)];
                let report = report(ReceiptState::Emitted, n);
                Outgoing { to, keep: false, ..about(&user("alice"), Place::ZERO, &report) }
            })
            .collect();
        gateway.port.report(&outgoing).await.unwrap();
        let mut heard = 0;
        while heard < REPORTS {
            // Without a doubt this waits in vain for the reports that were dropped.
            match next(&mut events).await {
                ReceiptEvent::Report { report, .. } => {
                    heard += u64::from(these.contains(&report.receipts[0].at_ms));
                }
                ReceiptEvent::Doubt => {
                    doubts += 1;
                    break;
                }
                other => panic!("nothing else was asked for: {other:?}"),
            }
        }
    }
}

pub(crate) async fn what_is_kept_is_found_by_the_notice(fixture: &Fixture) {
    let (notifier, gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let (alice, bob) = (user("alice"), user("bob"));
    let record = session(1);
    gateway.port.connect(&alice, &record, Since::Start).await.unwrap();
    let ask = terms(wanted(NOBODY, 1, true));
    let mut places = Vec::new();
    for n in 0..3 {
        let dispatched = notifier.dispatch_with(&alice, &numbered(n, 0), &ask).await.unwrap();
        places.push(dispatched.place);
    }
    let to_nobody = notifier.dispatch_with(&bob, &numbered(9, 0), &ask).await.unwrap().place;
    let emitted = report(ReceiptState::Emitted, 1);
    let acked = Report { roll_call: None, ..report(ReceiptState::Acked, 2) };
    let other = report(ReceiptState::Gone, 3);
    let outgoing = [
        about(&alice, places[0], &emitted),
        about(&alice, places[1], &other),
        about(&bob, places[0], &other),
        Outgoing { keep: false, ..about(&alice, places[0], &other) },
        about(&alice, places[0], &acked),
    ];
    assert_eq!(gateway.port.report(&outgoing).await.unwrap(), Reported::default());
    let kept_of = async |user, place| {
        let Kept { targets, retries, reports } = notifier.kept(user, place).await.unwrap();
        assert_eq!(retries, []);
        let targets = targets.expect("they are kept").sessions;
        let targets: Vec<_> =
            targets.into_iter().map(|target| (target.session.id, target.session.gateway)).collect();
        (targets, reports.into_iter().map(|kept| kept.report).collect::<Vec<_>>())
    };
    let target = (record.id, gateway.port.id());
    assert_eq!(kept_of(&alice, places[0]).await, (vec![target], vec![emitted, acked]));
    assert_eq!(kept_of(&alice, places[1]).await, (vec![target], vec![other]));
    assert_eq!(kept_of(&alice, places[2]).await, (vec![target], vec![]));
    assert_eq!(kept_of(&bob, to_nobody).await, (vec![], vec![]));
    let reissued = Place { random: places[0].random ^ 1, ..places[0] };
    assert_eq!(notifier.kept(&alice, reissued).await.unwrap(), Kept::default());
    assert_eq!(notifier.kept(&user("nobody"), places[0]).await.unwrap(), Kept::default());
}

pub(crate) async fn targets_are_kept_with_what_names_them_and_who_listened(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (listens, deaf) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let alice = user("alice");
    let laptop = SessionRecord {
        gateway_name: GatewayName::new("gw:1").unwrap(),
        device: Device::new("laptop").ok(),
        user_agent: Some("agent/1 ".repeat(30)),
        transport: Transport::Polling,
        ..session(1_764_000_000_000)
    };
    let phone = SessionRecord { gateway_name: GatewayName::new("gw:2").unwrap(), ..session(7) };
    listens.port.connect(&alice, &laptop, Since::Start).await.unwrap();
    deaf.port.connect(&alice, &phone, Since::Start).await.unwrap();
    let (laptop_of, phone_of) = (listens.port.id(), deaf.port.id());
    drop(deaf);
    let silent = wanted(NOBODY, 1, false);
    let ask = keyed(wanted(NOBODY, 2, true));
    // Until the subscription has ended: nobody who listens no more is said to have been told.
    let mut sent = 0;
    let (place, targets) = eventually("it is deaf", PATIENCE, async || {
        sent += 1;
        let key = Key { caller: sent.to_string(), ..ask.key.clone().unwrap() };
        let ask = Terms { key: Some(key), ..ask.clone() };
        let sent = notifier.dispatch_with(&alice, &numbered(1, 0), &ask).await.unwrap();
        let targets = notifier.kept(&alice, sent.place).await.unwrap().targets.unwrap();
        assert_eq!(targets.at_ms, sent.at_ms);
        let heard = |id| targets.sessions.iter().find(|of| of.session.id == id).unwrap().heard;
        assert_ne!(heard(laptop.id), Some(false));
        (heard(phone.id) == Some(false)).then(|| (sent.place, targets.clone()))
    })
    .await;
    for (id, gateway, of) in [(laptop.id, laptop_of, &laptop), (phone.id, phone_of, &phone)] {
        let kept = &targets.sessions.iter().find(|kept| kept.session.id == id).unwrap().session;
        let expected =
            SessionRecord { gateway, socket_id: String::new(), user_agent: None, ..of.clone() };
        assert_eq!(*kept, expected);
    }

    listens.port.disconnect(&[(alice.clone(), laptop.id)]).await.unwrap();
    let key = Key { caller: sent.to_string(), ..ask.key.clone().unwrap() };
    for receipts in [silent, wanted(NOBODY, 3, true), wanted(NOBODY, 4, true)] {
        let again = Terms { key: Some(key.clone()), ..terms(receipts) };
        let sent = notifier.dispatch_with(&alice, &numbered(1, 0), &again).await.unwrap();
        assert!(sent.duplicate && sent.place == place);
    }
    let kept = notifier.kept(&alice, place).await.unwrap();
    assert_eq!(kept.targets.as_ref(), Some(&targets), "those of the first call");
    let of_retry = |retry: &KeptTargets| {
        assert!(retry.at_ms >= targets.at_ms);
        retry.sessions.iter().map(|of| (of.session.id, of.heard)).collect::<Vec<_>>()
    };
    let retries: Vec<_> = kept.retries.iter().map(of_retry).collect();
    assert_eq!(retries, vec![vec![(phone.id, Some(false))]; 2], "of those that want acks");
}

pub(crate) async fn nothing_is_kept_unless_acks_are_wanted(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    for ask in [Terms::default(), terms(wanted(NOBODY, 1, false))] {
        let place = notifier.dispatch_with(&alice, &numbered(1, 0), &ask).await.unwrap().place;
        assert_eq!(notifier.kept(&alice, place).await.unwrap(), Kept::default());
    }
}

pub(crate) async fn the_newest_receipts_are_kept(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| inbox.notices = 100);
    let (notifier, gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    let ask = terms(wanted(NOBODY, 1, true));
    let mut places = Vec::new();
    for n in 0..500 {
        let place = notifier.dispatch_with(&alice, &numbered(n, 0), &ask).await.unwrap().place;
        let emitted = about(&alice, place, &report(ReceiptState::Emitted, 1));
        let acked = about(&alice, place, &report(ReceiptState::Acked, 1));
        gateway.port.report(&[emitted, acked]).await.unwrap();
        places.push(place);
    }
    for place in &places[400..] {
        let kept = notifier.kept(&alice, *place).await.unwrap();
        let targets = kept.targets.map(|targets| targets.sessions.len());
        assert_eq!((targets, kept.reports.len()), (Some(0), 2));
    }
    assert_eq!(notifier.kept(&alice, places[0]).await.unwrap(), Kept::default(), "four a notice");
}

pub(crate) async fn receipts_are_kept_for_their_time(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| inbox.age = Duration::from_secs(1));
    let (notifier, gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    let ask = terms(wanted(NOBODY, 1, true));
    let place = notifier.dispatch_with(&alice, &numbered(1, 0), &ask).await.unwrap().place;
    gateway.port.report(&[about(&alice, place, &report(ReceiptState::Acked, 1))]).await.unwrap();
    eventually("what is kept has lapsed", PATIENCE, async || {
        (notifier.kept(&alice, place).await.unwrap() == Kept::default()).then_some(())
    })
    .await;
}

pub(crate) async fn what_comes_after_a_purge_is_not_kept(fixture: &Fixture) {
    let (notifier, gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    let ask = terms(wanted(NOBODY, 1, true));
    let place = notifier.dispatch_with(&alice, &numbered(1, 0), &ask).await.unwrap().place;
    let acked = about(&alice, place, &report(ReceiptState::Acked, 1));
    gateway.port.report(std::slice::from_ref(&acked)).await.unwrap();
    assert_eq!(notifier.kept(&alice, place).await.unwrap().reports.len(), 1);
    notifier.purge(&alice).await.unwrap();
    gateway.port.report(&[acked]).await.unwrap();
    assert_eq!(notifier.kept(&alice, place).await.unwrap(), Kept::default());
}
