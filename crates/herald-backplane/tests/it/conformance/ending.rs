//! Sessions that are ended for good.

use herald_backplane::{
    BackplaneError, EndOrder, EndReason, Ending, GatewayEvent, Mark, Since, Standing, Target,
};
use herald_core::SessionId;

use crate::support::{Fixture, SendMany, session, user};

fn all() -> Ending {
    Ending { sessions: None, tokens: false, why: EndReason::Kicked, words: "stolen".into() }
}

fn named(sessions: &[SessionId]) -> Ending {
    Ending { sessions: Some(sessions.to_vec()), why: EndReason::Evicted, ..all() }
}

fn ids(targets: &[Target]) -> Vec<SessionId> {
    let mut ids: Vec<_> = targets.iter().map(|target| target.session.id).collect();
    ids.sort_unstable();
    ids
}

fn sorted(mut ids: Vec<SessionId>) -> Vec<SessionId> {
    ids.sort_unstable();
    ids
}

fn order(event: Option<GatewayEvent>) -> EndOrder {
    match event {
        Some(GatewayEvent::End(order)) => order,
        other => panic!("no order: {other:?}"),
    }
}

pub(crate) async fn ended_sessions_are_told_of_and_refused_from_then_on(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (mut one, mut two) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let (alice, bob) = (user("alice"), user("bob"));
    let (first, second, in_flight) = (session(1), session(2), session(3));
    let let_in = one.port.admission(&alice).await.unwrap();
    assert_eq!((let_in.mark, let_in.tokens_from_ms), (Mark(0), 0));
    one.port.register(&alice, &first, Since::Start, let_in.mark).await.unwrap();
    two.port.register(&alice, &second, Since::Start, let_in.mark).await.unwrap();
    one.port.register(&bob, &session(4), Since::Start, Mark(0)).await.unwrap();

    let targets = notifier.end_sessions(&alice, &all()).await.unwrap();
    assert_eq!(ids(&targets), sorted(vec![first.id, second.id]));
    assert!(targets.iter().all(|target| target.heard));
    for gateway in [&mut one, &mut two] {
        let order = order(gateway.events.next().await);
        assert_eq!((&order.user, &order.sessions, order.why), (&alice, &None, EndReason::Kicked));
        assert_eq!(order.words, "stolen");
        assert!(order.mark > let_in.mark);
    }
    // Whether it was registered before or was about to be: never again, under no lease.
    for (gateway, session) in [(&one, &first), (&two, &first), (&two, &in_flight)] {
        let refused = gateway.port.register(&alice, session, Since::Start, let_in.mark).await;
        assert!(matches!(refused, Err(BackplaneError::SessionEnded)), "{refused:?}");
    }
    assert!(one.port.register(&bob, &session(5), Since::Start, Mark(0)).await.is_ok());
}

pub(crate) async fn who_was_let_in_since_registers(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let gateway = fixture.gateway("gw:1").await;
    // Of a user who was never seen, too.
    let alice = user("alice");
    let mut before = gateway.port.admission(&alice).await.unwrap().mark;
    for _ in 0..5 {
        assert_eq!(notifier.end_sessions(&alice, &all()).await.unwrap(), []);
        let since = gateway.port.admission(&alice).await.unwrap();
        assert!(since.mark > before, "it grows with each, also within a millisecond");
        let refused = gateway.port.register(&alice, &session(1), Since::Start, before).await;
        assert!(matches!(refused, Err(BackplaneError::SessionEnded)), "{refused:?}");
        before = since.mark;
    }
    let session = session(1);
    gateway.port.register(&alice, &session, Since::Start, before).await.unwrap();
    // What is written for the inbox leaves the mark alone.
    notifier.send(&alice, 3, 0).await;
    assert_eq!(gateway.port.admission(&alice).await.unwrap().mark, before);
    gateway.port.register(&alice, &session, Since::Start, before).await.unwrap();
}

pub(crate) async fn named_sessions_end_alone(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    let (ends, stays, elsewhere) = (session(1), session(2), session(3));
    for session in [&ends, &stays] {
        gateway.port.register(&alice, session, Since::Start, Mark(0)).await.unwrap();
    }
    // One that nobody has registered may be on its way.
    let ending = named(&[ends.id, elsewhere.id]);
    let targets = notifier.end_sessions(&alice, &ending).await.unwrap();
    assert_eq!(ids(&targets), [ends.id]);
    let order = order(gateway.events.next().await);
    assert_eq!((order.sessions, order.why), (ending.sessions, EndReason::Evicted));
    for session in [&ends, &elsewhere] {
        let refused = gateway.port.register(&alice, session, Since::Start, Mark(u64::MAX)).await;
        assert!(matches!(refused, Err(BackplaneError::SessionEnded)), "{refused:?}");
    }
    gateway.port.register(&alice, &stays, Since::Start, Mark(0)).await.unwrap();
    assert_eq!(gateway.port.admission(&alice).await.unwrap().mark, Mark(0));

    // The newest are known, however many there were.
    let many: Vec<SessionId> = (0..250).map(|_| SessionId::random()).collect();
    for some in many.chunks(50) {
        notifier.end_sessions(&alice, &named(some)).await.unwrap();
    }
    let mut last = session(4);
    last.id = many[249];
    let refused = gateway.port.register(&alice, &last, Since::Start, Mark(0)).await;
    assert!(matches!(refused, Err(BackplaneError::SessionEnded)), "{refused:?}");
    last.id = many[0];
    gateway.port.register(&alice, &last, Since::Start, Mark(0)).await.unwrap();
}

pub(crate) async fn old_tokens_are_refused_when_asked_for(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    notifier.end_sessions(&alice, &all()).await.unwrap();
    assert_eq!(gateway.port.admission(&alice).await.unwrap().tokens_from_ms, 0);
    notifier.end_sessions(&alice, &Ending { tokens: true, ..all() }).await.unwrap();
    let from = gateway.port.admission(&alice).await.unwrap().tokens_from_ms;
    assert!(from > 1_700_000_000_000, "{from}");
    notifier.end_sessions(&alice, &all()).await.unwrap();
    assert_eq!(gateway.port.admission(&alice).await.unwrap().tokens_from_ms, from, "it stays");
}

pub(crate) async fn what_became_of_an_ended_session_is_known(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (one, two) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let alice = user("alice");
    let sessions = [session(1), session(2), session(3)];
    for (gateway, session) in [&one, &one, &two].into_iter().zip(&sessions) {
        gateway.port.register(&alice, session, Since::Start, Mark(0)).await.unwrap();
    }
    assert_eq!(one.port.session_count(&alice).await.unwrap(), 3);
    let targets = notifier.end_sessions(&alice, &all()).await.unwrap();
    assert_eq!(targets.len(), 3);
    let asked = [
        (sessions[0].id, one.port.id()),
        (sessions[1].id, one.port.id()),
        (sessions[2].id, two.port.id()),
    ];
    let standing = async || notifier.standing(&alice, &asked).await.unwrap();
    assert_eq!(standing().await, [Standing::Registered; 3]);
    one.port.disconnect(&[(alice.clone(), sessions[0].id)]).await.unwrap();
    assert_eq!(standing().await, [Standing::Left, Standing::Registered, Standing::Registered]);
    // A gateway that has gone says nothing of what became of its sockets.
    two.port.release().await.unwrap();
    assert_eq!(standing().await, [Standing::Left, Standing::Registered, Standing::Unknown]);
    notifier.forget_sessions(&alice, &asked).await.unwrap();
    assert_eq!(standing().await, [Standing::Left, Standing::Left, Standing::Unknown]);
    assert_eq!(one.port.session_count(&alice).await.unwrap(), 0);
}

pub(crate) async fn a_purge_leaves_nothing_but_what_keeps_sessions_out(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    let ended = session(1);
    gateway.port.register(&alice, &ended, Since::Start, Mark(0)).await.unwrap();
    notifier.send(&alice, 5, 0).await;
    let before = notifier.read(&alice, Since::Start, 100).await.unwrap();
    notifier.end_sessions(&alice, &Ending { tokens: true, ..all() }).await.unwrap();
    gateway.port.disconnect(&[(alice.clone(), ended.id)]).await.unwrap();
    notifier.purge(&alice).await.unwrap();
    notifier.purge(&alice).await.unwrap();

    assert_eq!(notifier.read(&alice, Since::Start, 100).await.unwrap().notices, []);
    let refused = gateway.port.register(&alice, &ended, Since::Start, Mark(0)).await;
    assert!(matches!(refused, Err(BackplaneError::SessionEnded)), "{refused:?}");
    let let_in = gateway.port.admission(&alice).await.unwrap();
    assert!(let_in.mark > Mark(0) && let_in.tokens_from_ms > 0);
    // It begins anew: a place of before is none.
    let since = Since::After(before.cursor());
    let page = gateway.port.register(&alice, &session(2), since, let_in.mark).await.unwrap();
    assert_eq!(page.gap, Some(herald_core::GapReason::Reset));
    assert_ne!(page.epoch, before.epoch);
    notifier.send(&alice, 1, 0).await;
    assert_eq!(notifier.read(&alice, Since::Start, 100).await.unwrap().notices.len(), 1);
}
