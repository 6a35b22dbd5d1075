//! Names, leases and how they end.

use herald_backplane::{
    BackplaneError, GatewayEvent, GatewayPort, LeaseError, NotifierPort, Since,
};
use herald_core::{GatewayName, SessionId, UserId};

use crate::support::{Fixture, Gateway, PATIENCE, eventually, numbered, session, user};

/// With a lease so long that nothing in a check is owed to its lapse.
fn long_leases(fixture: &Fixture) -> Fixture {
    fixture.with(|options| options.lease *= 1_000)
}

async fn connected(gateway: &Gateway, user: &UserId, at: u64) -> SessionId {
    let record = session(at);
    gateway.port.connect(user, &record, Since::Start).await.unwrap();
    record.id
}

/// The sessions that a notice would be meant for, in order of id.
async fn registered(notifier: &NotifierPort, user: &UserId) -> Vec<SessionId> {
    let dispatched = notifier.dispatch(user, &numbered(0, 0)).await.unwrap();
    let mut sessions: Vec<_> = dispatched.targets.iter().map(|target| target.session.id).collect();
    sessions.sort_unstable();
    sessions
}

async fn is_refused(port: &GatewayPort, user: &UserId) -> bool {
    match port.connect(user, &session(1), Since::Start).await {
        Ok(_) => false,
        Err(BackplaneError::LeaseLost(id)) => {
            assert_eq!(id, port.id());
            true
        }
        Err(other) => panic!("{other}"),
    }
}

pub(crate) async fn a_name_is_held_by_one_at_a_time(fixture: &Fixture) {
    let holder = fixture.gateway("gw:1").await;
    let other = fixture.gateway("gw:2").await;
    assert_ne!(holder.port.id(), other.port.id());
    for _ in 0..3 {
        match fixture.try_gateway("gw:1").await.map(|gateway| gateway.port.id()) {
            Err(LeaseError::NameTaken { name, holder: found, remaining }) => {
                assert_eq!((name, found), (GatewayName::new("gw:1").unwrap(), holder.port.id()));
                assert!(remaining <= fixture.options.lease, "{remaining:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    let alice = user("alice");
    let session = connected(&holder, &alice, 1).await;
    assert_eq!(
        registered(&fixture.notifier().await, &alice).await,
        [session],
        "it was not disturbed"
    );
}

pub(crate) async fn of_many_at_once_one_gets_the_name(fixture: &Fixture) {
    let backplanes = [fixture.open().await, fixture.open().await];
    let attempts: Vec<_> = (0..10)
        .map(|attempt| {
            let backplane = backplanes[attempt % 2].clone();
            tokio::spawn(async move { backplane.gateway(&GatewayName::new("gw:1").unwrap()).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    for attempt in attempts {
        outcomes.push(attempt.await.unwrap());
    }
    let held: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    let [(winner, _)] = held[..] else { panic!("{} hold the name", held.len()) };
    for outcome in &outcomes {
        if let Err(error) = outcome {
            assert!(
                matches!(error, LeaseError::NameTaken { holder, .. } if *holder == winner.id()),
                "{error}"
            );
        }
    }
}

pub(crate) async fn a_restart_takes_over_what_its_name_left(fixture: &Fixture) {
    let fixture = long_leases(fixture);
    let notifier = fixture.notifier().await;
    let (crashed, other) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let (alice, bob) = (user("alice"), user("bob"));
    let old_id = crashed.port.id();
    connected(&crashed, &alice, 1).await;
    connected(&crashed, &bob, 2).await;
    let kept = connected(&other, &alice, 3).await;
    drop(crashed);
    let restarted = eventually("nobody listens any more", PATIENCE, async || {
        match fixture.try_gateway("gw:1").await {
            Ok(gateway) => Some(gateway),
            Err(LeaseError::NameTaken { .. }) => None,
            Err(other) => panic!("{other}"),
        }
    })
    .await;
    assert_ne!(restarted.port.id(), old_id, "a lease of its own");
    let new = connected(&restarted, &bob, 4).await;
    eventually("what was left is gone, and nothing else", PATIENCE, async || {
        let (alices, bobs) =
            (registered(&notifier, &alice).await, registered(&notifier, &bob).await);
        assert!(alices.contains(&kept) && bobs.contains(&new));
        (alices == [kept] && bobs == [new]).then_some(())
    })
    .await;
    let presence = notifier.presence(&[alice, bob]).await.unwrap();
    assert!(presence[0].sessions.iter().map(|session| session.id).eq([kept]));
    assert!(presence[1].sessions.iter().map(|session| session.id).eq([new]));
}

pub(crate) async fn who_stopped_listening_is_taken_over_and_refused(fixture: &Fixture) {
    let fixture = long_leases(fixture);
    let notifier = fixture.notifier().await;
    let Gateway { port, events } = fixture.gateway("gw:1").await;
    let alice = user("alice");
    port.connect(&alice, &session(1), Since::Start).await.unwrap();
    drop(events);
    let successor =
        eventually("its name is free", PATIENCE, async || fixture.try_gateway("gw:1").await.ok())
            .await;
    eventually("the old lease is refused", PATIENCE, async || {
        is_refused(&port, &alice).await.then_some(())
    })
    .await;
    let new = connected(&successor, &alice, 2).await;
    eventually("its sessions are gone", PATIENCE, async || {
        (registered(&notifier, &alice).await == [new]).then_some(())
    })
    .await;
    // What it still believes to hold is not its own any more.
    port.disconnect(&[(alice.clone(), new)]).await.unwrap();
    port.release().await.unwrap();
    assert_eq!(registered(&notifier, &alice).await, [new]);
    assert!(matches!(fixture.try_gateway("gw:1").await, Err(LeaseError::NameTaken { .. })));
}

pub(crate) async fn who_dropped_its_lease_hears_the_end(fixture: &Fixture) {
    let Gateway { port, mut events } = fixture.gateway("gw:1").await;
    let clone = port.clone();
    drop(port);
    let alice = user("alice");
    clone.connect(&alice, &session(1), Since::Start).await.unwrap();
    fixture.notifier().await.dispatch(&alice, &numbered(0, 0)).await.unwrap();
    assert_eq!(events.notice().await.user, alice, "a clone is left");
    drop(clone);
    assert_eq!(events.next().await, None, "to leave it is not to lose it");
}

pub(crate) async fn a_released_lease_leaves_nothing(fixture: &Fixture) {
    let fixture = long_leases(fixture);
    let notifier = fixture.notifier().await;
    let (mut leaving, other) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let (alice, bob) = (user("alice"), user("bob"));
    connected(&leaving, &alice, 1).await;
    connected(&leaving, &bob, 2).await;
    let kept = connected(&other, &alice, 3).await;
    leaving.port.release().await.unwrap();
    let presence = notifier.presence(&[alice.clone(), bob.clone()]).await.unwrap();
    assert!(presence[0].sessions.iter().map(|session| session.id).eq([kept]));
    assert_eq!(presence[1].sessions, []);
    assert_eq!(registered(&notifier, &alice).await, [kept]);
    assert_eq!(registered(&notifier, &bob).await, []);
    assert_eq!(leaving.events.next().await, None, "released is not lost");
    assert!(is_refused(&leaving.port, &alice).await);
    leaving.port.release().await.unwrap();
    let successor = fixture.gateway("gw:1").await;
    assert_ne!(successor.port.id(), leaving.port.id());
}

pub(crate) async fn who_lost_its_lease_hears_it_and_is_refused(fixture: &Fixture) {
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    let session = session(1);
    gateway.port.connect(&alice, &session, Since::Start).await.unwrap();
    fixture.fence(&gateway.port).await;
    assert_eq!(gateway.events.next().await, Some(GatewayEvent::LeaseLost));
    assert_eq!(gateway.events.next().await, None, "nothing comes after it");
    assert!(is_refused(&gateway.port, &alice).await);
    gateway.port.disconnect(&[(alice.clone(), session.id)]).await.unwrap();

    let mut renewed = fixture.gateway("gw:1").await;
    assert_ne!(renewed.port.id(), gateway.port.id());
    renewed.port.connect(&alice, &session, Since::Start).await.unwrap();
    // The old port is still there, and what it does must not touch the new lease.
    gateway.port.release().await.unwrap();
    let notifier = fixture.notifier().await;
    assert_eq!(registered(&notifier, &alice).await, [session.id]);
    assert_eq!(renewed.events.notice().await.user, alice);
}

/// The holder does not know yet that its lease is gone, and goes on registering.
pub(crate) async fn a_session_of_a_lost_lease_does_not_stay(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    fixture.fence(&gateway.port).await;
    while !is_refused(&gateway.port, &alice).await {}
    assert_eq!(gateway.events.next().await, Some(GatewayEvent::LeaseLost));
    eventually("what it registered is gone", PATIENCE, async || {
        notifier.reap().await.unwrap();
        registered(&notifier, &alice).await.is_empty().then_some(())
    })
    .await;
}
