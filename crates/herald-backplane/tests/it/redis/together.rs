//! Notices that are sent at the same time travel together, and fare each on its own.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use herald_backplane::{BackplaneError, Health, Key, Since, Terms};
use herald_core::IdempotencyKey;

use super::facts::{Operator, process_of, signal};
use crate::support::{Fixture, PATIENCE, RedisServer, eventually, sent, session, user};

const USERS: usize = 200;

fn keyed() -> Terms {
    let key = Key { caller: String::new(), key: IdempotencyKey::new("k").unwrap() };
    Terms { key: Some(key), ..Terms::default() }
}

/// Calls of scripts that this Redis has had.
async fn scripts(operator: &mut Operator) -> u64 {
    let info: String = operator.ask(&["INFO", "commandstats"]).await;
    let line = info.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_at_once_takes_few_calls_and_arrives_in_order() {
    let server = RedisServer::alone();
    let fixture = Fixture::on(&server);
    let notifier = fixture.notifier().await;
    let mut gateways = [fixture.gateway("gw:1").await, fixture.gateway("gw:2").await];
    let users: Vec<_> = (0..USERS).map(|nth| user(format!("user-{nth}"))).collect();
    for user in &users {
        for (nth, gateway) in gateways.iter().enumerate() {
            let session = session(nth as u64);
            gateway.port.connect(user, &session, Since::Start).await.unwrap();
        }
    }
    let mut operator = Operator::of(&fixture).await;
    let before = scripts(&mut operator).await;
    let notices = [sent("1"), sent("2")];
    let mut places = Vec::new();
    for notice in &notices {
        let all = users.iter().map(async |user| {
            let dispatched = notifier.dispatch(user, notice).await.unwrap();
            assert!(dispatched.targets.len() == 2 && dispatched.targets.iter().all(|to| to.heard));
            dispatched.place
        });
        places.push(join_all(all).await);
    }
    let calls = scripts(&mut operator).await - before;
    assert!(calls < USERS as u64, "{calls} calls for {} notices", 2 * USERS);
    for gateway in &mut gateways {
        let announced = gateway.events.notices(2 * USERS).await;
        for (nth, user) in users.iter().enumerate() {
            let of_user = announced.iter().filter(|announced| announced.user == *user);
            let of_user: Vec<_> =
                of_user.map(|announced| (announced.place, announced.notice.clone())).collect();
            let expected = [0, 1].map(|sent| (places[sent][nth], Some(notices[sent].clone())));
            assert_eq!(of_user, expected);
        }
    }
}

/// On one thread: what is handed in together is in the queue before anything is taken from it.
#[tokio::test]
async fn what_is_refused_of_one_touches_no_other() {
    let server = RedisServer::alone();
    let fixture = Fixture::on(&server);
    let notifier = fixture.notifier().await;
    let users: Vec<_> = (0..USERS).map(|nth| user(format!("user-{nth}"))).collect();
    // The first one's inbox is somebody else's key, the second one's idempotency key is used.
    let mut operator = Operator::of(&fixture).await;
    notifier.dispatch(&users[0], &sent("0")).await.unwrap();
    let inbox = operator.key(&fixture, &users[0], "inbox").await;
    operator.ask::<()>(&["SET", &inbox, "mine"]).await;
    notifier.dispatch_with(&users[1], &sent("0"), &keyed()).await.unwrap();
    let terms = keyed();
    let notice = sent("1");
    // With none that is taken, with one, in either order, and with more than one call holds.
    let alone = [vec![&users[0], &users[1]], vec![&users[1], &users[0]]];
    let all = [users[..3].iter().collect(), users.iter().collect()];
    for sent_to in alone.into_iter().chain(all) {
        let outcomes =
            join_all(sent_to.iter().map(|user| notifier.dispatch_with(user, &notice, &terms)));
        for (user, outcome) in sent_to.iter().copied().zip(outcomes.await) {
            if *user == users[0] {
                let foreign = outcome.unwrap_err();
                assert!(matches!(foreign, BackplaneError::Unusable(_)), "{foreign}");
                assert!(foreign.to_string().contains("WRONGTYPE"), "{foreign}");
            } else if *user == users[1] {
                let used = outcome.unwrap_err();
                assert!(matches!(used, BackplaneError::KeyUsed), "{used}");
            } else {
                let place = outcome.unwrap().place;
                let page = notifier.read(user, Since::Start, 10).await.unwrap();
                assert_eq!(page.tip, place);
            }
        }
    }
}

#[tokio::test]
async fn a_master_that_is_none_any_more_is_left_whatever_else_is_refused_with_it() {
    let server = RedisServer::alone();
    let fixture = Fixture::on(&server);
    let backplane = fixture.open().await;
    let notifier = backplane.notifier();
    let (alice, bob) = (user("alice"), user("bob"));
    notifier.dispatch_with(&bob, &sent("0"), &keyed()).await.unwrap();
    let mut operator = Operator::of(&fixture).await;
    operator.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let (notice, terms) = (sent("1"), keyed());
    let (written, used) = tokio::join!(
        notifier.dispatch(&alice, &notice),
        notifier.dispatch_with(&bob, &notice, &terms)
    );
    assert!(matches!(written, Err(BackplaneError::Unavailable(_))), "{written:?}");
    assert!(matches!(used, Err(BackplaneError::KeyUsed)), "{used:?}");
    let mut health = backplane.health();
    let left = health.wait_for(|health| matches!(health, Health::Away(_)));
    tokio::time::timeout(PATIENCE, left).await.expect("all lanes are replaced").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_sent_to_a_frozen_redis_is_told_apart_from_what_may_have_been() {
    // More than the queue holds, and no inbox gets more than it keeps.
    const NOTICES: usize = 6_000;
    let server = RedisServer::alone();
    let fixture =
        Fixture::on(&server).with(|options| options.call_deadline = Duration::from_secs(1));
    let notifier = fixture.notifier().await;
    let users: Vec<_> = (0..USERS).map(|nth| user(format!("user-{nth}"))).collect();
    notifier.dispatch(&users[0], &sent("-1")).await.unwrap();
    let pid = process_of(&fixture).await;
    signal("STOP", pid);
    let all = (0..NOTICES).map(async |nth| {
        notifier.dispatch(&users[nth % USERS], &sent(nth.to_string())).await.unwrap_err()
    });
    let outcomes = join_all(all).await;
    signal("CONT", pid);
    let mut refused = HashSet::new();
    for (nth, error) in outcomes.iter().enumerate() {
        match error {
            BackplaneError::Unavailable(_) => assert!(refused.insert(nth.to_string())),
            BackplaneError::Unknown(_) => {}
            other => panic!("{other}"),
        }
    }
    // How many depends on how fast this machine makes notices: all have a deadline of their own.
    println!("{} of {NOTICES} were refused", refused.len());
    assert!(!refused.is_empty() && refused.len() < NOTICES, "{} were refused", refused.len());
    for user in &users {
        let page = eventually("Redis is back", PATIENCE, async || {
            notifier.read(user, Since::Start, 100).await.ok()
        })
        .await;
        for kept in page.notices {
            let number = std::str::from_utf8(kept.notice.payload.bytes()).unwrap();
            assert!(!refused.contains(number), "{number} was refused, and is there");
        }
    }
}
