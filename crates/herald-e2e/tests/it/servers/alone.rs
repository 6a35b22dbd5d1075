//! One server.

use std::time::{Duration, Instant};

use tokio::time::{interval, sleep};

use super::{Load, sandbox};
use crate::probe::leases;

/// Killed and started again, with what it had answered on disk.
async fn restarts(times: u32) {
    let mut sandbox = sandbox().persist().start().await.unwrap();
    let load = Load::start(&sandbox).await;
    for _ in 0..times {
        sandbox.redis.kill().await.unwrap();
        sandbox.redis.start().await.unwrap();
        load.is_served().await;
    }
    let tally = load.finish(sandbox.notifier()).await;
    println!("restarts of redis: {times}; {tally}");
    assert!(tally.accepted > tally.unknown, "{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_restarted_under_load_loses_nothing() {
    restarts(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make servers"]
async fn full_a_redis_that_is_restarted_again_and_again() {
    restarts(10).await;
}

/// Every connection is cut every second.
async fn cuts(time: Duration) {
    let sandbox = sandbox().start().await.unwrap();
    let load = Load::start(&sandbox).await;
    let (begin, mut cut) = (Instant::now(), 0);
    let mut every = interval(Duration::from_secs(1));
    while begin.elapsed() < time {
        every.tick().await;
        for kind in ["pubsub", "normal"] {
            let killed = sandbox.redis.cli(&["client", "kill", "type", kind]).await.unwrap();
            cut += killed.parse::<u32>().unwrap();
        }
    }
    let tally = load.finish(sandbox.notifier()).await;
    println!("{cut} connections cut in {time:?}: {tally}");
    assert!(cut > 10, "{cut}");
    assert!(tally.accepted > tally.unknown, "{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_cut_every_second_lose_nothing() {
    cuts(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make servers"]
async fn full_all_connections_cut_every_second() {
    cuts(Duration::from_secs(60)).await;
}

/// Longer than the lease of every gateway, so that all of them lapse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes half a minute: make servers"]
async fn full_a_redis_that_is_frozen_for_15_seconds_has_nobody_reaped() {
    let mut sandbox = sandbox().start().await.unwrap();
    let prefix = sandbox.key_prefix().to_owned();
    let before = leases(&sandbox.redis, &prefix).await.unwrap();
    let load = Load::start(&sandbox).await;
    sandbox.redis.freeze().unwrap();
    sleep(Duration::from_secs(15)).await;
    sandbox.redis.thaw().unwrap();
    let tally = load.finish(sandbox.notifier()).await;
    println!("redis frozen for 15 s: {tally}");
    // A lease of health and more: whoever was to be reaped would be by now.
    sleep(Duration::from_secs(12)).await;
    assert_eq!(leases(&sandbox.redis, &prefix).await.unwrap(), before);
}
