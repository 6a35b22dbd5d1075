//! The registry: who is where.

use herald_backplane::{NotifierPort, Since};
use herald_core::{Device, GatewayName, Namespace, SessionId, SessionRecord, Transport, UserId};

use crate::support::{Fixture, SendMany, session, user};

async fn present(notifier: &NotifierPort, user: &UserId) -> Vec<SessionRecord> {
    let mut presence = notifier.presence(std::slice::from_ref(user)).await.unwrap();
    assert_eq!((presence.len(), &presence[0].user), (1, user));
    presence.remove(0).sessions
}

fn ids(sessions: &[SessionRecord]) -> Vec<SessionId> {
    sessions.iter().map(|session| session.id).collect()
}

pub(crate) async fn presence_is_in_the_order_asked_and_oldest_first(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let gateways = [fixture.gateway("gw:1").await, fixture.gateway("gw:2").await];
    let (alice, bob, nobody) = (user("alice"), user("bob"), user("nobody"));
    let mut alices = Vec::new();
    for (at, gateway) in [(50, 0), (10, 1), (40, 1), (1_764_000_000_000, 0), (9, 0)] {
        let record = session(at);
        gateways[gateway].port.connect(&alice, &record, Since::Start).await.unwrap();
        alices.push((at, record.id));
    }
    alices.sort_unstable();
    let bobs = session(1);
    gateways[0].port.connect(&bob, &bobs, Since::Start).await.unwrap();
    let asked = [nobody.clone(), bob.clone(), alice.clone(), bob.clone()];
    let found = notifier.presence(&asked).await.unwrap();
    assert!(found.iter().map(|presence| &presence.user).eq(&asked));
    assert_eq!(found[0].sessions, [], "asking for somebody unknown is no error");
    assert_eq!((ids(&found[1].sessions), ids(&found[3].sessions)), (vec![bobs.id], vec![bobs.id]));
    assert_eq!(ids(&found[2].sessions), alices.iter().map(|(_, id)| *id).collect::<Vec<_>>());
    assert_eq!(notifier.presence(&[]).await.unwrap(), []);
    assert_eq!(gateways[0].port.tip(&nobody).await.unwrap(), None, "asking makes no inbox");
}

pub(crate) async fn a_disconnect_takes_that_session_alone(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (first, second) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let (alice, bob) = (user("alice"), user("bob"));
    let sessions = [session(1), session(2), session(3)];
    for (gateway, session) in [&first, &first, &second].into_iter().zip(&sessions) {
        gateway.port.connect(&alice, session, Since::Start).await.unwrap();
    }
    let bobs = session(4);
    first.port.connect(&bob, &bobs, Since::Start).await.unwrap();
    let sent = notifier.send(&alice, 1, 0).await;
    first.port.disconnect(&[(alice.clone(), sessions[0].id)]).await.unwrap();
    assert_eq!(ids(&present(&notifier, &alice).await), [sessions[1].id, sessions[2].id]);
    assert_eq!(ids(&present(&notifier, &bob).await), [bobs.id]);
    // Unknown ones, doubled ones, none at all: no error, no effect.
    first.port.disconnect(&[]).await.unwrap();
    let gone = (alice.clone(), sessions[0].id);
    let unknown =
        [gone.clone(), gone, (bob.clone(), sessions[1].id), (user("nobody"), SessionId::random())];
    first.port.disconnect(&unknown).await.unwrap();
    assert_eq!(ids(&present(&notifier, &alice).await), [sessions[1].id, sessions[2].id]);
    // With the last session the inbox stays.
    first.port.disconnect(&[(alice.clone(), sessions[1].id)]).await.unwrap();
    second.port.disconnect(&[(alice.clone(), sessions[2].id)]).await.unwrap();
    assert_eq!(present(&notifier, &alice).await, []);
    assert_eq!(first.port.tip(&alice).await.unwrap().unwrap().place, sent[0]);
}

pub(crate) async fn a_disconnect_takes_only_its_own(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (owner, other) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let alice = user("alice");
    let (owned, others) = (session(1), session(2));
    owner.port.connect(&alice, &owned, Since::Start).await.unwrap();
    other.port.connect(&alice, &others, Since::Start).await.unwrap();
    other.port.disconnect(&[(alice.clone(), owned.id), (alice.clone(), others.id)]).await.unwrap();
    assert_eq!(ids(&present(&notifier, &alice).await), [owned.id]);
}

pub(crate) async fn registering_again_replaces(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    let bare = session(7);
    gateway.port.connect(&alice, &bare, Since::Start).await.unwrap();
    let registered = SessionRecord { gateway: gateway.port.id(), ..bare.clone() };
    assert_eq!(present(&notifier, &alice).await, std::slice::from_ref(&registered));
    let full = SessionRecord {
        gateway_name: GatewayName::new("gw 1 {ü}").unwrap(),
        namespace: Namespace::new("/").unwrap(),
        socket_id: "another".into(),
        connected_at_ms: u64::MAX >> 12,
        transport: Transport::Polling,
        user_agent: Some("curl/8 (é; \"q\")".into()),
        device: Some(Device::new("phone 📱").unwrap()),
        ..registered
    };
    gateway.port.connect(&alice, &full, Since::Start).await.unwrap();
    assert_eq!(present(&notifier, &alice).await, std::slice::from_ref(&full));
    notifier.send(&alice, 2, 0).await;
    assert_eq!(gateway.events.notice().await.previous, herald_core::Position::ZERO);
    assert_ne!(gateway.events.notice().await.previous, herald_core::Position::ZERO);
    gateway.port.disconnect(&[(alice.clone(), full.id)]).await.unwrap();
    assert_eq!(present(&notifier, &alice).await, []);
}

pub(crate) async fn a_session_moves_to_the_lease_that_registered_it_last(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (mut old, mut new) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let (alice, bob) = (user("alice"), user("bob"));
    let moving = session(1);
    old.port.connect(&alice, &moving, Since::Start).await.unwrap();
    old.port.connect(&bob, &session(2), Since::Start).await.unwrap();
    new.port.connect(&alice, &moving, Since::Start).await.unwrap();
    old.port.disconnect(&[(alice.clone(), moving.id)]).await.unwrap();
    let moved = SessionRecord { gateway: new.port.id(), ..moving };
    assert_eq!(present(&notifier, &alice).await, std::slice::from_ref(&moved));
    let to_alice = notifier.send(&alice, 1, 0).await[0];
    let to_bob = notifier.send(&bob, 1, 0).await[0];
    assert_eq!(new.events.notice().await.place, to_alice);
    assert_eq!(old.events.notice().await.place, to_bob, "what it no longer holds it does not hear");
    old.port.release().await.unwrap();
    assert_eq!(present(&notifier, &alice).await, [moved]);
}
