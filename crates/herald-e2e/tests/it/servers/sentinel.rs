//! A master that Sentinel replaces.

use std::time::Duration;

use herald_e2e::{Sentinel, eventually};

use super::{CALM, FAILOVER, Load, sandbox};

/// Each time the master is killed, and comes back as a replica once another one took its place. A
/// master that is silent for `down_after` is replaced.
async fn failovers(times: u32, down_after: Duration) {
    let mut redis = Sentinel::start(down_after).await.unwrap();
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
        eventually("both others follow it", FAILOVER, async || {
            for (nth, server) in redis.servers.iter().enumerate().filter(|(nth, _)| *nth != new) {
                match server.info("master_link_status").await {
                    Ok(link) if link == "up" => {}
                    other => return Err(format!("{nth}: {other:?}")),
                }
            }
            Ok(())
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
    failovers(1, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make servers"]
async fn full_masters_that_are_killed_one_after_the_other() {
    // Long enough that a master which only waits for a busy machine is not replaced: a second
    // promotion before all follow the first may take a replica that confirmed nothing.
    failovers(8, Duration::from_secs(5)).await;
}
