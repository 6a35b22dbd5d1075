//! Notices that are accepted once replicas have them.

use std::time::Duration;

use herald_backplane::{BackplaneError, Key, Since, Terms};
use herald_core::IdempotencyKey;
use herald_e2e::{Cluster, Sentinel};

use crate::support::{Fixture, eventually, sent, session, user};

const NEVER: Duration = Duration::from_secs(300);

/// For what takes milliseconds when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

fn keyed(key: &str) -> Terms {
    let key = Key { caller: String::new(), key: IdempotencyKey::new(key).unwrap() };
    Terms { key: Some(key), ..Terms::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_no_replica_has_is_unknown_and_a_retry_waits_again() {
    let mut sentinel = Sentinel::start(NEVER).await.unwrap();
    let fixture = Fixture::watched_by(&sentinel)
        .confirmed()
        .with(|options| options.call_deadline = Duration::from_secs(1));
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let first = notifier.dispatch_with(&alice, &sent("1"), &keyed("1")).await.unwrap();
    assert!(first.targets[0].heard);
    assert_eq!(gateway.events.notice().await.place, first.place);

    let master = sentinel.master().await.unwrap();
    let replicas: Vec<_> = (0..3).filter(|nth| *nth != master).collect();
    for nth in &replicas {
        sentinel.servers[*nth].freeze().unwrap();
    }
    for _ in 0..3 {
        let error = notifier.dispatch_with(&alice, &sent("2"), &keyed("2")).await.unwrap_err();
        assert!(
            matches!(&error, BackplaneError::Unknown(why) if why.contains("0 of 1")),
            "{error}"
        );
    }
    let volatile = notifier.send_volatile(&alice, &sent("3")).await.unwrap();
    assert!(volatile.targets[0].heard, "only what is kept waits");
    sentinel.servers[replicas[0]].thaw().unwrap();
    let second = eventually("a replica is enough", PATIENCE, async || {
        notifier.dispatch_with(&alice, &sent("2"), &keyed("2")).await.ok()
    })
    .await;
    assert!(second.duplicate && second.targets[0].heard);
    assert_eq!(notifier.read(&alice, Since::Start, 100).await.unwrap().notices.len(), 2);
    let heard = [gateway.events.next().await, gateway.events.next().await];
    assert!(
        matches!(&heard[0], Some(herald_backplane::GatewayEvent::Volatile(..))),
        "nobody was told of what no replica had: {heard:?}"
    );
    sentinel.servers[replicas[1]].thaw().unwrap();
}

/// What waits on a master that becomes a replica is unblocked with an error, having been written.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wait_that_a_failover_ends_is_unknown_whatever_its_error() {
    let mut sentinel = Sentinel::start(NEVER).await.unwrap();
    let fixture = Fixture::watched_by(&sentinel).confirmed();
    let notifier = fixture.notifier().await;
    notifier.dispatch(&user("alice"), &sent("1")).await.unwrap();
    let master = sentinel.master().await.unwrap();
    let replicas: Vec<_> = (0..3).filter(|nth| *nth != master).collect();
    for nth in &replicas {
        sentinel.servers[*nth].freeze().unwrap();
    }
    let waiting = tokio::spawn({
        let notifier = notifier.clone();
        async move { notifier.dispatch(&user("alice"), &sent("2")).await }
    });
    eventually("it waits for a replica", PATIENCE, async || {
        let blocked = sentinel.servers[master].cli(&["info", "clients"]).await.unwrap();
        blocked.lines().any(|line| line.trim() == "blocked_clients:1").then_some(())
    })
    .await;
    let other = sentinel.servers[replicas[0]].address().port().to_string();
    sentinel.servers[master].cli(&["replicaof", "127.0.0.1", &other]).await.unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(&error, BackplaneError::Unknown(why) if why.contains("UNBLOCKED")), "{error}");
    for nth in replicas {
        sentinel.servers[nth].thaw().unwrap();
    }
}

/// More sends at a time than there are connections that wait, to masters of which one loses its
/// replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_a_cluster_each_master_waits_for_its_own() {
    let mut cluster = Cluster::start(NEVER).await.unwrap();
    let fixture = Fixture::spread_over(&cluster).confirmed();
    let notifier = fixture.notifier().await;
    let users: Vec<_> = (0..300).map(|nth| user(format!("user-{nth}"))).collect();
    let all = async || {
        let sends = users.iter().map(|user| {
            let (notifier, user) = (notifier.clone(), user.clone());
            tokio::spawn(async move { notifier.dispatch(&user, &sent("1")).await })
        });
        let mut accepted = 0;
        for send in sends.collect::<Vec<_>>() {
            match send.await.unwrap() {
                Ok(_) => accepted += 1,
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
        accepted
    };
    assert_eq!(all().await, users.len());
    cluster.servers[3].freeze().unwrap();
    let accepted = all().await;
    assert!((100..300).contains(&accepted), "{accepted}");
    cluster.servers[3].thaw().unwrap();
    eventually("its replica is back", PATIENCE, async || {
        (all().await == users.len()).then_some(())
    })
    .await;
}
