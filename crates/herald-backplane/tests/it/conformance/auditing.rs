//! Comparing what gateways believe with what stands.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use herald_backplane::{Audit, BackplaneError, Believed, Finding, GatewayEvent, Since};
use herald_core::{Cursor, Epoch, Place, Position, SessionRecord, UserId};

use crate::support::{Fixture, Gateway, SendMany, numbered, session, user};

const NOBODYS: Cursor = Cursor { epoch: Epoch(0), place: Place::ZERO };

/// A session that registers, and its gateway's idea of it.
async fn connected(gateway: &Gateway, user: &UserId) -> Believed {
    let record = session(1);
    let page = gateway.port.connect(user, &record, Since::Start).await.unwrap();
    assert!(!page.more());
    believed(user, &record, page.cursor())
}

fn believed(user: &UserId, session: &SessionRecord, cursor: Cursor) -> Believed {
    Believed { user: user.clone(), session: session.id, cursor }
}

/// Which of the sessions are said to be unregistered, and which elsewhere than at the tip.
fn sorted(audit: &Audit, asked: &[Believed]) -> (Vec<usize>, Vec<usize>) {
    assert!(audit.findings.is_sorted_by_key(|finding| finding.nth));
    assert_eq!(audit.unreadable, 0);
    let nths = |is: &dyn Fn(&Finding) -> bool| {
        audit.findings.iter().filter(|finding| is(finding)).map(|finding| finding.nth).collect()
    };
    (
        nths(&|finding| !finding.registered),
        nths(&|finding| finding.tip != asked[finding.nth].cursor),
    )
}

pub(crate) async fn an_audit_finds_who_is_not_registered_here(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (here, there) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let (alice, bob, nobody) = (user("alice"), user("{bob}"), user("nobody"));
    notifier.send(&bob, 3, 0).await;
    let stays = connected(&here, &alice).await;
    let removed = connected(&here, &alice).await;
    let elsewhere = connected(&there, &alice).await;
    let bobs = connected(&here, &bob).await;
    let never = believed(&bob, &session(1), bobs.cursor);
    let unknown = believed(&nobody, &session(1), NOBODYS);
    here.port.disconnect(&[(alice.clone(), removed.session)]).await.unwrap();
    let asked = [unknown, stays.clone(), removed, elsewhere.clone(), never, bobs];
    let audit = here.port.audit(&asked).await.unwrap();
    assert_eq!(sorted(&audit, &asked), (vec![0, 2, 3, 4], vec![]));
    assert_eq!(here.port.tip(&nobody).await.unwrap(), None, "asking makes no inbox");
    // Under the other lease it is the other way round.
    let asked = [stays, elsewhere];
    let audit = there.port.audit(&asked).await.unwrap();
    assert_eq!(sorted(&audit, &asked), (vec![0], vec![]));
    assert_eq!(here.port.audit(&[]).await.unwrap(), Audit::default());
}

pub(crate) async fn what_is_registered_under_a_lease_is_told_if_it_is_more_than_is_known(
    fixture: &Fixture,
) {
    let (here, there) = (fixture.gateway("gw:1").await, fixture.gateway("gw:2").await);
    let (alice, bob) = (user("alice"), user("{bob}"));
    let standing = async |known| {
        let standing = here.port.registered(known).await.unwrap();
        standing.into_iter().collect::<BTreeSet<_>>()
    };
    assert_eq!(standing(0).await, BTreeSet::new());
    connected(&there, &alice).await;
    let mut expected = BTreeSet::new();
    for user in [&alice, &alice, &bob] {
        expected.insert((user.clone(), connected(&here, user).await.session));
    }
    assert_eq!(standing(2).await, expected);
    assert_eq!(standing(3).await, BTreeSet::new(), "there is nothing that is not known");
    let gone = expected.pop_first().unwrap();
    here.port.disconnect(&[gone]).await.unwrap();
    assert_eq!(standing(0).await, expected);
}

pub(crate) async fn an_audit_finds_who_is_not_at_the_tip(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let gateway = fixture.gateway("gw:1").await;
    let (alice, bob) = (user("alice"), user("bob"));
    let record = session(1);
    let beginning = gateway.port.connect(&alice, &record, Since::Start).await.unwrap().cursor();
    let sent = notifier.send(&alice, 3, 0).await;
    let at = |place| Cursor { epoch: beginning.epoch, place };
    let tip = at(sent[2]);
    let above = Position { ms: tip.place.position.ms + 1, seq: 0 };
    let bobs = connected(&gateway, &bob).await;
    let places = [
        tip,
        beginning,
        at(sent[1]),
        at(Place { position: above, ..tip.place }),
        at(Place { random: tip.place.random ^ 1, ..tip.place }),
        Cursor { epoch: Epoch(tip.epoch.0 ^ 1), ..tip },
        NOBODYS,
    ];
    let mut asked: Vec<_> = places.map(|place| believed(&alice, &record, place)).into();
    asked.push(bobs);
    let audit = gateway.port.audit(&asked).await.unwrap();
    assert_eq!(sorted(&audit, &asked), (vec![], (1..7).collect()));
    assert!(audit.findings.iter().all(|finding| finding.tip == tip));
}

pub(crate) async fn an_audit_of_many_takes_few_round_trips(fixture: &Fixture) {
    const USERS: usize = 1_200;
    let notifier = fixture.notifier().await;
    let gateway = fixture.gateway("gw:1").await;
    let mut asked = Vec::new();
    for nth in 0..USERS {
        asked.push(connected(&gateway, &user(format!("user-{nth}"))).await);
    }
    let audit = gateway.port.audit(&asked).await.unwrap();
    assert_eq!(audit.findings, []);
    let (unregistered, behind) = (vec![0, 499, 500, 1_199], vec![3, 501, 998, 1_100]);
    for &nth in &unregistered {
        let gone = (asked[nth].user.clone(), asked[nth].session);
        gateway.port.disconnect(&[gone]).await.unwrap();
    }
    for &nth in &behind {
        notifier.send(&asked[nth].user, 1, 0).await;
    }
    let audit = gateway.port.audit(&asked).await.unwrap();
    assert_eq!(sorted(&audit, &asked), (unregistered, behind));
    assert!(audit.round_trips <= 3, "{} for {USERS} users", audit.round_trips);
}

pub(crate) async fn who_is_connected_and_audited_is_not_forgotten(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| {
        inbox.age = Duration::from_secs(1);
        inbox.memory = Duration::from_secs(2);
    });
    let notifier = fixture.notifier().await;
    let gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    notifier.dispatch(&alice, &numbered(0, 0)).await.unwrap();
    let asked = [connected(&gateway, &alice).await];
    let (start, mut prolonged) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(4) {
        let audit = gateway.port.audit(&asked).await.unwrap();
        assert_eq!(audit.findings, []);
        prolonged += u32::from(audit.round_trips == 2);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(prolonged < 10, "written {prolonged} times, though only every half life is needed");
    assert_eq!(gateway.port.tip(&alice).await.unwrap(), Some(asked[0].cursor));
}

pub(crate) async fn an_audit_under_a_lost_lease_is_refused(fixture: &Fixture) {
    let mut gateway = fixture.gateway("gw:1").await;
    let asked = [connected(&gateway, &user("alice")).await];
    fixture.fence(&gateway.port).await;
    assert_eq!(gateway.events.next().await, Some(GatewayEvent::LeaseLost));
    match gateway.port.audit(&asked).await {
        Err(BackplaneError::LeaseLost(id)) => assert_eq!(id, gateway.port.id()),
        other => panic!("{other:?}"),
    }
}
