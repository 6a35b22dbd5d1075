//! Masters of a cluster that are replaced, and slots that move.

use std::time::Duration;

use herald_e2e::{Cluster, eventually};

use super::{FAILOVER, Load, USERS, sandbox, user};

const NODE_TIMEOUT: Duration = Duration::from_secs(2);

/// So long that nobody is taken for dead.
const NEVER: Duration = Duration::from_secs(300);

/// Kills a master each time, and starts it again once its replica took over.
async fn failovers(times: usize) {
    let mut redis = Cluster::start(NODE_TIMEOUT).await.unwrap();
    let builder = sandbox().backplane(redis.url()).env("HERALD_REDIS_WAIT_REPLICAS", "1");
    let sandbox = builder.start().await.unwrap();
    let load = Load::start(&sandbox).await;
    for nth in 0..times {
        // Somewhere in each third of the slots.
        let slot = 2_000 + 5_500 * u16::try_from(nth % 3).unwrap();
        let old = redis.owner(slot).await.unwrap();
        redis.servers[old].kill().await.unwrap();
        // With WAIT nobody there is served before there is a replica again.
        eventually("its replica takes over", FAILOVER, async || match redis.owner(slot).await {
            Ok(now) if now != old => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await;
        redis.servers[old].start().await.unwrap();
        load.is_served().await;
    }
    let tally = load.finish(sandbox.notifier()).await;
    println!("failovers in a cluster: {times}; {tally}");
    assert!(tally.accepted > 100, "{tally}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_whose_replica_confirmed_loses_nothing() {
    failovers(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make servers"]
async fn full_masters_that_are_killed_one_after_the_other() {
    failovers(6).await;
}

/// Moves the slots of so many users to another master, and those of all channels and leases.
async fn moves(users: usize) {
    let redis = Cluster::start(NEVER).await.unwrap();
    let sandbox = sandbox().backplane(redis.url()).start().await.unwrap();
    let load = Load::start(&sandbox).await;
    let mut keys: Vec<_> = (0..users).map(|nth| format!("{{{}}}", encoded(&user(nth)))).collect();
    let pattern = format!("{}:v1:*", sandbox.key_prefix());
    for server in &redis.servers[..3] {
        let channels = server.cli(&["pubsub", "shardchannels", &pattern]).await.unwrap();
        keys.extend(channels.lines().map(str::to_owned));
    }
    assert!(keys.len() >= users + sandbox.gateways.len(), "every gateway has a channel");
    keys.push(format!("{}:v1:leases", sandbox.key_prefix()));
    for key in &keys {
        let slot = redis.servers[0].cli(&["cluster", "keyslot", key]).await.unwrap();
        let slot = slot.parse().unwrap();
        let to = (redis.owner(slot).await.unwrap() + 1) % 3;
        redis.move_slot(slot, to, Duration::from_millis(20)).await.unwrap();
    }
    let tally = load.finish(sandbox.notifier()).await;
    println!("{} slots moved under load: {tally}", keys.len());
    assert!(tally.accepted > tally.unknown, "{tally}");
}

/// As Herald writes users into keys.
fn encoded(user: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(user)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_under_load_lose_nothing() {
    moves(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make servers"]
async fn full_the_slots_of_all_users_move_under_load() {
    moves(USERS).await;
}
