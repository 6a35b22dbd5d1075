//! Masters that others take the place of.

use std::time::{Duration, Instant};

use herald_backplane::{BackplaneError, GatewayEvent, Health, Since};
use herald_e2e::Sentinel;

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
    let page = gateway.port.read(&alice, Since::Start).await.unwrap();
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
