//! Gateways whose subscription is cut.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use herald_e2e::{Sandbox, Signal, eventually};
use herald_loadgen::{Checker, Outgoing, checker::Start};
use rand::RngExt as _;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{interval, interval_at, sleep},
};

use crate::{
    probe::{figure, keys, leases},
    support::{PATIENCE, all_arrives, follow, presence, send, sessions_of},
};

const USERS: usize = 50;
const SENDERS: usize = 10;

/// Notices a second, all senders together.
const RATE: u32 = 500;
const TIME: Duration = Duration::from_secs(10);

/// Time between two cuts.
const CUT: Duration = Duration::from_secs(1);

/// How long a gateway takes at least to subscribe again; a quick one would miss nothing.
const DEAF: Duration = Duration::from_millis(50);

/// Cuts all subscriptions while these gateways stand still, and does something before they can
/// subscribe again. How many were cut.
async fn cut(sandbox: &mut Sandbox, gateways: &[usize], meanwhile: impl Future) -> u32 {
    for gateway in gateways {
        sandbox.gateways[*gateway].process().unwrap().signal(Signal::STOP).unwrap();
    }
    let cut = sandbox.redis.cli(&["client", "kill", "type", "pubsub"]).await.unwrap();
    meanwhile.await;
    for gateway in gateways {
        sandbox.gateways[*gateway].process().unwrap().signal(Signal::CONT).unwrap();
    }
    cut.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_cut_every_second_loses_nothing_and_takes_no_session_away() {
    let mut sandbox = Sandbox::builder().gateways(2).notifier().notifier().start().await.unwrap();
    let checker = Checker::new();
    let users: Vec<_> = (0..USERS).map(|nth| format!("user-{nth}")).collect();
    let mut sessions = Vec::new();
    for user in &users {
        for gateway in &sandbox.gateways {
            sessions.push(follow(&checker, gateway.session(user), Start::Beginning).await);
        }
    }
    let registered = presence(sandbox.notifier(), &users).await;
    let held = leases(&sandbox.redis, sandbox.key_prefix()).await.unwrap();
    assert_eq!((registered.iter().flat_map(|user| &user.sessions).count(), held.len()), (100, 2));

    let begin = Instant::now();
    let mut senders = JoinSet::new();
    for nth in 0..SENDERS {
        let producer = sandbox.notifiers[nth % 2].grpc();
        let checker = checker.clone();
        // One sender a user, so that the order of acceptance is known.
        let users: Vec<_> = users.iter().skip(nth).step_by(SENDERS).cloned().collect();
        senders.spawn(async move {
            let mut pace =
                interval(Duration::from_secs(1) * u32::try_from(SENDERS).unwrap() / RATE);
            while begin.elapsed() < TIME {
                pace.tick().await;
                let user = &users[rand::rng().random_range(0..users.len())];
                send(&producer, &checker, &Outgoing::new(user, "1")).await;
            }
        });
    }
    let mut cuts = 0;
    let mut turn = interval_at((begin + CUT / 2).into(), CUT);
    for round in 0.. {
        if begin.elapsed() + CUT > TIME {
            break;
        }
        turn.tick().await;
        // One is as quick as it can be, the other is not.
        cuts += cut(&mut sandbox, &[round % 2], sleep(DEAF)).await;
        assert_eq!(presence(sandbox.notifier(), &users).await, registered);
    }
    senders.join_all().await;
    all_arrives(&checker, PATIENCE).await;

    // The last ones before silence: nothing that comes later says that they were missed.
    let producer = sandbox.notifier().grpc();
    let last_ones = async {
        for user in &users {
            send(&producer, &checker, &Outgoing::new(user, "\"last\"")).await;
        }
    };
    cuts += cut(&mut sandbox, &[0, 1], last_ones).await;
    assert!(checker.missing() >= 2 * USERS, "somebody heard of the last ones");
    let heard_again = Instant::now();
    all_arrives(&checker, PATIENCE).await;
    let settled = heard_again.elapsed();

    assert_eq!(presence(sandbox.notifier(), &users).await, registered);
    assert_eq!(leases(&sandbox.redis, sandbox.key_prefix()).await.unwrap(), held);
    assert!(sessions.iter().all(|session| !session.has_ended()));
    let (mut repaired, mut doubts) = (0.0, 0.0);
    for gateway in &sandbox.gateways {
        let of = async |name: &str, label: &str| figure(gateway, name, label).await.unwrap();
        assert!(of("herald_gateway_leases_total", "lost").await < 1.0);
        repaired += of("herald_gateway_emitted_total", "repaired").await;
        doubts += of("herald_gateway_doubts_total", "").await;
    }
    println!(
        "{cuts} subscriptions cut; {}; {doubts} doubts, {repaired} notices read from inboxes; the \
         last ones that nobody heard of were there in {settled:.1?}",
        checker.report()
    );
    // Two gateways and two notifiers, cut nine times and once more.
    assert!(cuts >= 36, "only {cuts} subscriptions were there to be cut");
    assert!(repaired > 0.0, "nothing was missed: the cuts did not matter");
}

/// Of the first gateway: sessions audited, round trips of audits, pages read from inboxes.
async fn figures(sandbox: &Sandbox) -> [f64; 3] {
    let of = async |name: &str| figure(&sandbox.gateways[0], name, "").await.unwrap();
    [
        of("herald_gateway_audited_sessions_total").await,
        of("herald_gateway_audit_round_trips_total").await,
        of("herald_gateway_reads_total").await,
    ]
}

/// What a lost message and a lost registration have in common: nobody says that there was one.
#[tokio::test]
async fn a_last_notice_that_no_gateway_was_told_of_arrives_within_the_audits_interval() {
    const INTERVAL: Duration = Duration::from_secs(2);
    let builder = Sandbox::builder().env("HERALD_AUDIT_INTERVAL", "2s");
    let sandbox = builder.gateways(2).notifier().start().await.unwrap();
    let checker = Checker::new();
    let mut sessions = Vec::new();
    for gateway in &sandbox.gateways {
        sessions.push(follow(&checker, gateway.session("alice"), Start::Now).await);
    }
    let registered = sessions_of(sandbox.notifier(), "alice").await;
    let registry = format!("{}:v1:*}}:sessions", sandbox.key_prefix());
    let registry = keys(&sandbox.redis, &registry).await.unwrap().pop_first().unwrap();
    let mut slowest = Duration::ZERO;
    for round in 0..3 {
        sandbox.redis.cli(&["del", &registry]).await.unwrap();
        let sent = Instant::now();
        let notice = Outgoing::new("alice", round.to_string());
        let accepted = send(&sandbox.notifier().grpc(), &checker, &notice).await;
        assert_eq!(accepted.sessions.len(), 0, "somebody was told");
        all_arrives(&checker, PATIENCE).await;
        slowest = slowest.max(sent.elapsed());
        assert_eq!(sessions_of(sandbox.notifier(), "alice").await, registered);
    }
    println!("a notice that nobody was told of arrived {slowest:.1?} later at the latest");
    assert!(slowest < INTERVAL + Duration::from_secs(2), "{slowest:?}");
    assert!(sessions.iter().all(|session| !session.has_ended()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "opens ten thousand sessions: make soak"]
async fn full_ten_thousand_sessions_cost_a_few_round_trips_when_the_channel_is_regained() {
    const SESSIONS: usize = 10_000;
    const MISSED: usize = 10;
    /// 500 sessions in one, and as much again for what may have to be written.
    const ROUND_TRIPS: f64 = 40.0;
    // Only the cut is a reason to audit.
    let builder = Sandbox::builder().env("HERALD_AUDIT_INTERVAL", "1h");
    let mut sandbox = builder.gateways(1).notifier().start().await.unwrap();
    let checker = Checker::new();
    let room = Arc::new(Semaphore::new(100));
    let mut connecting = JoinSet::new();
    for nth in 0..SESSIONS {
        let (options, checker) =
            (sandbox.gateways[0].session(&format!("user-{nth}")), checker.clone());
        let room = Arc::clone(&room);
        connecting.spawn(async move {
            let _permit = room.acquire().await.unwrap();
            follow(&checker, options, Start::Now).await
        });
    }
    let sessions = connecting.join_all().await;
    let before = figures(&sandbox).await;

    let monitor = sandbox.redis.monitor().await.unwrap();
    let producer = sandbox.notifier().grpc();
    let unheard = async {
        for nth in 0..MISSED {
            let user = format!("user-{}", nth * SESSIONS / MISSED);
            send(&producer, &checker, &Outgoing::new(user, "1")).await;
        }
    };
    cut(&mut sandbox, &[0], unheard).await;
    let begin = Instant::now();
    all_arrives(&checker, PATIENCE).await;
    let [round_trips, reads] = eventually("all sessions are audited", PATIENCE, async || {
        let now = figures(&sandbox).await;
        let [audited, round_trips, reads] = [0, 1, 2].map(|nth| now[nth] - before[nth]);
        if audited >= SESSIONS as f64 { Ok([round_trips, reads]) } else { Err(audited) }
    })
    .await;
    let took = begin.elapsed();
    let scripts = monitor.stop().await.unwrap();
    let scripts = scripts.iter().filter(|line| line.contains(r#""EVALSHA""#)).count();
    println!(
        "{} sessions audited in {round_trips} round trips, {reads} inboxes read, {scripts} scripts \
         run in all, {took:.1?} after the channel could be regained",
        sessions.len()
    );
    assert!(sessions.iter().all(|session| !session.has_ended()));
    assert!(round_trips <= ROUND_TRIPS, "{round_trips} round trips");
    assert_eq!(reads as usize, MISSED, "inboxes read for {MISSED} who missed something");
}
