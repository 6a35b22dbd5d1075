//! Gateways that are killed, again and again.

use std::time::{Duration, Instant};

use herald_e2e::{Sandbox, eventually};
use herald_loadgen::Checker;
use rand::RngExt as _;

use super::{Crowd, Load, everywhere};
use crate::{
    probe::leases,
    support::{PATIENCE, all_arrives, presence},
};

/// How often, for how long, and under what load.
struct Crashes {
    clients: usize,
    rate: u32,
    every: Duration,
    time: Duration,
    lease: Duration,
}

async fn nothing_is_lost(Crashes { clients, rate, every, time, lease }: Crashes) {
    let seconds = format!("{}s", lease.as_secs());
    let builder = Sandbox::builder().env("HERALD_LEASE", &seconds);
    let builder = builder.env("HERALD_LEASE_RENEWAL", "1s").gateways(3).notifier().notifier();
    let mut sandbox = builder.start().await.unwrap();
    let checker = Checker::new();
    let crowd = Crowd::gather(clients, everywhere(&sandbox), &checker).await;
    let load = Load::start(&sandbox.notifiers, &checker, clients, rate);
    let begin = Instant::now();
    let (mut kills, mut down): (u32, Option<usize>) = (0, None);
    while begin.elapsed() < time {
        tokio::time::sleep(every).await;
        if let Some(nth) = down.take() {
            sandbox.gateways[nth].start().await.unwrap();
        }
        let nth = rand::rng().random_range(0..sandbox.gateways.len());
        sandbox.gateways[nth].kill().await.unwrap();
        kills += 1;
        down = Some(nth);
    }
    let killed = Instant::now();
    let down = sandbox.gateways[down.unwrap()].name().to_owned();
    let sent = load.stop().await;

    // It stays down: nobody takes over what it left but the reapers.
    let users: Vec<_> = (0..clients).map(|nth| format!("user-{nth}")).collect();
    eventually("no ghosts", PATIENCE, async || {
        let present = presence(sandbox.notifier(), &users).await;
        let sessions: Vec<_> = present.iter().flat_map(|user| &user.sessions).collect();
        let ghosts = sessions.iter().filter(|session| session.gateway == down).count();
        let leases = leases(&sandbox.redis, sandbox.key_prefix()).await.unwrap().len();
        if (sessions.len(), ghosts, leases) == (clients, 0, 2) {
            return Ok(());
        }
        Err(format!("{} sessions, {ghosts} of {down}; {leases} leases", sessions.len()))
    })
    .await;
    let ghosts = killed.elapsed();
    all_arrives(&checker, PATIENCE).await;
    println!(
        "{kills} gateways killed in {:.0?} at {sent:.0} notices/s: {crowd}; no ghost {ghosts:.1?} \
         after the last (lease {lease:?})\n{}",
        begin.elapsed(),
        checker.report()
    );
    crowd.assert_all_there();
    assert!(crowd.turnout.absences().len() >= clients / 4, "hardly anybody was concerned");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_every_few_seconds_loses_nothing_and_leaves_no_ghosts() {
    let (every, time) = (Duration::from_secs(3), Duration::from_secs(9));
    let lease = Duration::from_secs(4);
    nothing_is_lost(Crashes { clients: 60, rate: 60, every, time, lease }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes more than a minute: make survival"]
async fn full_a_gateway_killed_every_five_seconds_for_a_minute_loses_nothing() {
    let (every, time) = (Duration::from_secs(5), Duration::from_secs(60));
    let lease = Duration::from_secs(10);
    nothing_is_lost(Crashes { clients: 500, rate: 500, every, time, lease }).await;
}
