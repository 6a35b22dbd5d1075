//! What becomes of gateways that went without a word.

use std::time::{Duration, Instant};

use herald_backplane::{NotifierPort, Reaped, Since};
use herald_core::{SessionId, UserId};

use crate::support::{Fixture, Gateway, PATIENCE, eventually, numbered, session, user};

async fn connected(gateway: &Gateway, user: &UserId, at: u64) -> SessionId {
    let record = session(at);
    gateway.port.connect(user, &record, Since::Start).await.unwrap();
    record.id
}

async fn present(notifier: &NotifierPort, user: &UserId) -> Vec<SessionId> {
    let presence = notifier.presence(std::slice::from_ref(user)).await.unwrap();
    presence[0].sessions.iter().map(|session| session.id).collect()
}

async fn targets(notifier: &NotifierPort, user: &UserId) -> Vec<SessionId> {
    let dispatched = notifier.dispatch(user, &numbered(0, 0)).await.unwrap();
    let mut sessions: Vec<_> = dispatched.targets.iter().map(|target| target.session.id).collect();
    sessions.sort_unstable();
    sessions
}

/// Reaps until something was, which happens within a lease and a round.
async fn reaped(notifier: &NotifierPort) -> Reaped {
    eventually("a lapsed lease is reaped", PATIENCE, async || {
        let reaped = notifier.reap().await.unwrap();
        (reaped != Reaped::default()).then_some(reaped)
    })
    .await
}

pub(crate) async fn a_lapsed_gateway_is_left_out_of_presence_in_time(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (crashed, alive) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let alice = user("alice");
    let lost = connected(&crashed, &alice, 1).await;
    let kept = connected(&alive, &alice, 2).await;
    let crashed_at = Instant::now();
    drop(crashed);
    let now = present(&notifier, &alice).await;
    let surely_held = fixture.options.lease - 2 * fixture.options.renew_every;
    assert!(
        now == [lost, kept] || crashed_at.elapsed() > surely_held,
        "a crash is noticed by the lapse only"
    );
    let in_time = fixture.options.lease + Duration::from_secs(1);
    eventually("the lapsed one is left out", in_time, async || {
        let now = present(&notifier, &alice).await;
        assert!(now.contains(&kept), "the one that renews stays");
        (now == [kept]).then_some(())
    })
    .await;
    let mut both = [lost, kept];
    both.sort_unstable();
    assert_eq!(targets(&notifier, &alice).await, both, "nobody has reaped it yet");
}

/// Two reapers at once: a lease is reaped by one of them.
pub(crate) async fn only_what_lapsed_is_reaped_and_once(fixture: &Fixture) {
    let reapers = [fixture.notifier().await, fixture.notifier().await];
    let (crashed, alive) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let users: Vec<UserId> = (0..300).map(|id| user(format!("user-{id}"))).collect();
    let mut kept = Vec::new();
    for alice in &users {
        connected(&crashed, alice, 1).await;
        kept.push(connected(&alive, alice, 2).await);
    }
    drop(crashed);
    let mut sum = Reaped::default();
    eventually("one lease is reaped", PATIENCE, async || {
        let (one, other) = tokio::join!(reapers[0].reap(), reapers[1].reap());
        for reaped in [one.unwrap(), other.unwrap()] {
            sum.leases += reaped.leases;
            sum.sessions += reaped.sessions;
        }
        (sum.leases > 0).then_some(())
    })
    .await;
    // Whatever else there might be to reap is reaped now.
    for reaper in &reapers {
        assert_eq!(reaper.reap().await.unwrap(), Reaped::default());
    }
    assert_eq!(sum, Reaped { leases: 1, sessions: 300 });
    for (alice, kept) in users.iter().zip(&kept) {
        assert_eq!(targets(&reapers[0], alice).await, [*kept]);
        assert_eq!(present(&reapers[0], alice).await, [*kept]);
    }
}

/// In an outage nobody can renew: who comes out of it must not reap everybody.
pub(crate) async fn nobody_reaps_before_a_whole_healthy_lease(fixture: &Fixture) {
    if !fixture.opens_processes() {
        return; // what nobody can be cut off from is healthy throughout
    }
    let notifier = fixture.notifier().await;
    let crashed = fixture.gateway("gw:1").await;
    let alice = user("alice");
    connected(&crashed, &alice, 1).await;
    drop(crashed);
    eventually("the lease lapsed", PATIENCE, async || {
        present(&notifier, &alice).await.is_empty().then_some(())
    })
    .await;
    let began = Instant::now();
    let new = fixture.notifier().await;
    assert_eq!(reaped(&new).await, Reaped { leases: 1, sessions: 1 });
    assert!(began.elapsed() >= fixture.options.lease, "reaped after {:?}", began.elapsed());
    assert!(targets(&notifier, &alice).await.is_empty());
}

pub(crate) async fn a_session_that_moved_on_is_not_reaped(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (crashed, alive) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let alice = user("alice");
    let moving = session(1);
    crashed.port.connect(&alice, &moving, Since::Start).await.unwrap();
    connected(&crashed, &alice, 2).await;
    alive.port.connect(&alice, &moving, Since::Start).await.unwrap();
    drop(crashed);
    assert_eq!(reaped(&notifier).await, Reaped { leases: 1, sessions: 1 });
    assert_eq!(targets(&notifier, &alice).await, [moving.id]);
    assert_eq!(present(&notifier, &alice).await, [moving.id]);
}
