//! Masters that others take the place of.

use std::time::{Duration, Instant};

use herald_backplane::{BackplaneError, GatewayEvent, Health, Since};
use herald_e2e::{Cluster, Sentinel};

use crate::support::{Fixture, eventually, sent, session, user};

/// How long Redis may be silent before it is replaced.
const DOWN_AFTER: Duration = Duration::from_secs(1);

/// How long it may take on a busy machine until all have agreed on another master.
const FAILOVER: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_new_master_is_found_and_every_session_is_in_doubt() {
    let mut sentinel = Sentinel::start(DOWN_AFTER).await.unwrap();
    let fixture = Fixture::watched_by(&sentinel);
    let backplane = fixture.open().await;
    let notifier = backplane.notifier();
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let before = notifier.dispatch(&alice, &sent("1")).await.unwrap();
    assert_eq!(gateway.events.notice().await.place, before.place);

    let old = sentinel.master().await.unwrap();
    sentinel.servers[old].kill().await.unwrap();
    let killed = Instant::now();
    let after = eventually("the new master accepts", FAILOVER, async || {
        match notifier.dispatch(&alice, &sent("2")).await {
            Ok(dispatched) => Some(dispatched),
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                None
            }
        }
    })
    .await;
    println!("accepted again after {:?}", killed.elapsed());
    assert_ne!(sentinel.master().await.unwrap(), old);
    assert_eq!(*backplane.health().borrow(), Health::Ready);
    // The hint may have been too early for the new subscription; the doubt is not.
    eventually("the gateway is in doubt", FAILOVER, async || {
        (gateway.events.next().await == Some(GatewayEvent::Doubt)).then_some(())
    })
    .await;
    // Its connections for calls may be found anew a little later than its channel.
    let page = eventually("the gateway reads again", FAILOVER, async || {
        gateway.port.read(&alice, Since::Start).await.ok()
    })
    .await;
    assert_eq!(page.tip, after.place);

    // The old one comes back, and is told to follow.
    sentinel.servers[old].start().await.unwrap();
    eventually("it follows", FAILOVER, async || {
        (sentinel.servers[old].info("role").await.unwrap() == "slave").then_some(())
    })
    .await;
    let last = notifier.dispatch(&alice, &sent("3")).await.unwrap();
    let page = gateway.port.read(&alice, Since::Start).await.unwrap();
    assert_eq!(page.tip, last.place);
    assert!(last.targets[0].heard);
}

#[tokio::test]
async fn a_master_that_no_sentinel_knows_is_said_to_be_unknown() {
    let mut fixture = Fixture::sentinel();
    fixture.options.url = fixture.options.url.replace("/herald", "/another");
    let backplane = herald_backplane::Backplane::open(&fixture.options).unwrap();
    let mut health = backplane.health();
    let told = health.wait_for(|health| match health {
        Health::Away(why) => why.contains("no master named `another`"),
        Health::Ready => false,
    });
    tokio::time::timeout(FAILOVER, told).await.unwrap().unwrap();
    let error = backplane.notifier().dispatch(&user("alice"), &sent("1")).await.unwrap_err();
    assert!(matches!(error, BackplaneError::Unavailable(_)), "{error}");
}

/// One for each third of the slots or so.
const USERS: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_takes_over_its_masters_users_and_channels() {
    let mut cluster = Cluster::start(2 * DOWN_AFTER).await.unwrap();
    let fixture = Fixture::spread_over(&cluster);
    let notifier = fixture.notifier().await;
    let mut gateways = [fixture.gateway("gw:1").await, fixture.gateway("gw:2").await];
    let users: Vec<_> = (0..USERS).map(|nth| user(format!("user-{nth}"))).collect();
    for (nth, user) in users.iter().enumerate() {
        let port = &gateways[nth % 2].port;
        port.connect(user, &session(1), Since::Start).await.unwrap();
        assert!(notifier.dispatch(user, &sent("1")).await.unwrap().targets[0].heard);
    }
    // The one that one of the gateways is subscribed to.
    let channel = format!("{}:v1:gateway:{}", fixture.options.key_prefix, gateways[0].port.id());
    let old = cluster.owner(slot(&cluster, &channel).await).await.unwrap();
    cluster.servers[old].kill().await.unwrap();
    let killed = Instant::now();
    let mut refused = 0;
    for user in &users {
        eventually("everybody is served again", FAILOVER, async || {
            match notifier.dispatch(user, &sent("2")).await {
                Ok(dispatched) => Some(dispatched),
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    refused += 1;
                    None
                }
            }
        })
        .await;
    }
    println!("all accepted again after {:?}, {refused} refused", killed.elapsed());
    for gateway in &mut gateways {
        eventually("the gateway is in doubt", FAILOVER, async || {
            (gateway.events.next().await == Some(GatewayEvent::Doubt)).then_some(())
        })
        .await;
    }
    for user in &users {
        eventually("the owner hears again", FAILOVER, async || {
            let dispatched = notifier.dispatch(user, &sent("3")).await.unwrap();
            dispatched.targets.first()?.heard.then_some(())
        })
        .await;
    }
}

async fn slot(cluster: &Cluster, key: &str) -> u16 {
    let answer = cluster.servers[0].cli(&["cluster", "keyslot", key]).await.unwrap();
    answer.parse().unwrap()
}

/// Slots of the user's keys, of the gateway's channel and of all leases move while notices flow.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_slot_holds_moves_with_it_and_nothing_is_lost() {
    let cluster = Cluster::start(60 * DOWN_AFTER).await.unwrap();
    let fixture = Fixture::spread_over(&cluster);
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sending = {
        let (notifier, alice) = (notifier.clone(), alice.clone());
        tokio::spawn(async move {
            let (mut accepted, mut refused) = (Vec::new(), 0);
            while !stop.is_closed() {
                match notifier.dispatch(&alice, &sent("1")).await {
                    Ok(dispatched) => accepted.push(dispatched.place),
                    Err(BackplaneError::Unavailable(_)) => refused += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            (accepted, refused)
        })
    };
    let prefix = &fixture.options.key_prefix;
    let moving = [
        "{YWxpY2U}".to_owned(),
        format!("{prefix}:v1:gateway:{}", gateway.port.id()),
        format!("{prefix}:v1:leases"),
    ];
    for key in &moving {
        let slot = slot(&cluster, key).await;
        let to = (cluster.owner(slot).await.unwrap() + 1) % 3;
        cluster.move_slot(slot, to, Duration::from_millis(100)).await.unwrap();
        assert_eq!(cluster.owner(slot).await.unwrap(), to);
    }
    let last = eventually("the owner hears again", FAILOVER, async || {
        let dispatched = notifier.dispatch(&alice, &sent("2")).await.ok()?;
        dispatched.targets[0].heard.then_some(dispatched)
    })
    .await;
    drop(stopped);
    let (accepted, refused) = sending.await.unwrap();
    println!("{} accepted, {refused} refused while slots moved", accepted.len());
    assert!(accepted.len() > 10);
    let tip = *accepted.last().unwrap();
    let tip = if tip.position > last.place.position { tip } else { last.place };

    let (mut since, mut kept) = (Since::Start, Vec::new());
    loop {
        let page = notifier.read(&alice, since, 100).await.unwrap();
        kept.extend(page.notices.iter().map(|notice| notice.place));
        if !page.more() {
            assert_eq!(page.tip, tip);
            break;
        }
        since = Since::After(page.cursor());
    }
    let oldest = kept[0].position;
    let owed = accepted.iter().filter(|place| place.position >= oldest);
    assert!(
        owed.clone().all(|place| kept.contains(place)),
        "everything accepted is kept, in order"
    );
    assert!(kept.is_sorted_by(|a, b| a.position < b.position));
    // The lease went on, wherever it was.
    let (mut heard, mut doubts) = (None, 0);
    while heard != Some(tip) {
        match gateway.events.next().await {
            Some(GatewayEvent::Notice(announced)) => heard = Some(announced.place),
            Some(GatewayEvent::Doubt) => doubts += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(doubts > 0, "its channel was interrupted");
}

/// A server that the addresses do not name, and one that is not there.
#[tokio::test]
async fn one_server_that_answers_is_enough_to_find_a_cluster() {
    let mut fixture = Fixture::cluster();
    let url = fixture.options.url.replace("redis-cluster://", "redis-cluster://127.0.0.1:1,");
    fixture.options.url = url.rsplit_once(',').unwrap().0.to_owned();
    let dispatched = fixture.notifier().await.dispatch(&user("alice"), &sent("1")).await.unwrap();
    assert!(dispatched.targets.is_empty());
}

#[tokio::test]
async fn a_server_without_a_cluster_is_said_to_be_none() {
    let mut fixture = Fixture::redis();
    fixture.options.url = fixture.options.url.replace("redis://", "redis-cluster://");
    let backplane = herald_backplane::Backplane::open(&fixture.options).unwrap();
    let mut health = backplane.health();
    let told = health.wait_for(|health| match health {
        Health::Away(why) => why.contains("cluster support disabled"),
        Health::Ready => false,
    });
    tokio::time::timeout(FAILOVER, told).await.unwrap().unwrap();
}
