//! A master that Sentinel replaces.

use std::time::Duration;

use herald_e2e::{Sentinel, eventually};

use super::{CALM, FAILOVER, Load, sandbox};

const DOWN_AFTER: Duration = Duration::from_secs(1);

/// Each time the master is killed, and comes back as a replica once another one took its place.
async fn failovers(times: u32) {
    let mut redis = Sentinel::start(DOWN_AFTER).await.unwrap();
    let builder = sandbox().backplane(redis.url()).env("HERALD_REDIS_WAIT_REPLICAS", "1");
    let sandbox = builder.start().await.unwrap();
    let load = Load::start(&sandbox).await;
    for _ in 0..times {
        let old = redis.master().await.unwrap();
        redis.servers[old].kill().await.unwrap();
        load.is_served().await;
        let new = redis.master().await.unwrap();
        assert_ne!(new, old);
        redis.servers[old].start().await.unwrap();
        eventually("it is a replica", FAILOVER, async || {
            match redis.servers[old].info("master_link_status").await {
                Ok(link) if link == "up" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        tokio::time::sleep(CALM).await;
    }
    let tally = load.finish(sandbox.notifier()).await;
    println!("failovers by sentinel: {times}; {tally}");
    assert!(tally.accepted > 100, "{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_whose_replica_confirmed_loses_nothing() {
    failovers(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make servers"]
async fn full_masters_that_are_killed_one_after_the_other() {
    failovers(8).await;
}
