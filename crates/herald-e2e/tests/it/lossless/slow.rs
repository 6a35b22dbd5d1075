//! A socket that stops reading.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use herald_e2e::{Sandbox, eventually};
use herald_loadgen::{Checker, Event, Follower, Gap, Outgoing, Sender, Session, checker::Start};
use rand::RngExt as _;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{interval, timeout},
};

use crate::{
    probe::{assert_idle, figure, resident},
    support::{PATIENCE, all_arrives, follow, quantile, send, sessions_of, whole_inbox},
};

/// Who has the socket that stops reading, and another one that does not.
const SLOW: &str = "slow";

/// Users beside it, on the same gateway, and notices a second to them.
const OTHERS: usize = 50;
const OTHERS_RATE: u32 = 500;

/// Notices to the slow user are sent so many in one call.
const BATCH: usize = 50;

/// What an inbox keeps unless told otherwise.
const KEPT: usize = 1_000;

/// How many more it may keep until those that are too many go together: a 64th.
const SLACK: usize = KEPT / 64;

/// How far the gateway's memory may grow over what it was with everybody reading: the socket's
/// queue is 128 packets, and what the kernel takes is not the process'.
const GROWTH: u64 = 24 << 20;

/// How much is sent.
#[derive(Clone, Copy)]
struct Plan {
    /// To the slow user.
    notices: usize,
    /// To the slow user, a second.
    rate: usize,
    /// Bytes that each payload is filled up with. The kernel takes some 2.6 MB from the gateway
    /// before a loopback connection is full, and so much has to be sent at least.
    fill: usize,
}

impl Plan {
    fn time(self) -> Duration {
        Duration::from_secs_f64(self.notices as f64 / self.rate as f64)
    }
}

/// A gateway with the slow user's two sessions and those of others.
struct Scene {
    sandbox: Sandbox,
    checker: Checker,
    others: Vec<Follower>,
    steady: Follower,
    slow: Session,
    /// Of the others, from just before a notice was sent to its arrival.
    latencies: Arc<Mutex<Vec<Duration>>>,
    epoch: Instant,
}

impl Scene {
    async fn start(env: &[(&str, &str)]) -> Self {
        // Neither a ping nor anything else ends the session while it stands still.
        let builder = Sandbox::builder()
            .env("HERALD_PING_INTERVAL", "600s")
            // The first ping comes with the connection, and may be the first thing that is not read.
            .env("HERALD_PING_TIMEOUT", "600s")
            .env("HERALD_SLOW_SOCKET_TIMEOUT", "600s");
        let builder = env.iter().fold(builder, |builder, (name, value)| builder.env(*name, *value));
        let sandbox = builder.gateways(2).notifier().notifier().start().await.unwrap();
        let (checker, epoch) = (Checker::new(), Instant::now());
        let latencies = Arc::new(Mutex::new(Vec::new()));
        let mut others = Vec::new();
        for nth in 0..OTHERS {
            let user = format!("user-{nth}");
            let session = Session::connect(sandbox.gateways[0].session(&user)).await.unwrap();
            let reader = Arc::new(checker.reader(&user, "other", Start::Now));
            let latencies = Arc::clone(&latencies);
            let follower = Follower::start(session, reader, move |notice| {
                let sent = Duration::from_micros(notice.payload.parse().unwrap());
                latencies.lock().unwrap().push(notice.received - epoch - sent);
            });
            others.push(follower.await.unwrap());
        }
        let steady = follow(&checker, sandbox.gateways[1].session(SLOW), Start::Now).await;
        let mut options = sandbox.gateways[0].session(SLOW).device("slow");
        options.receive_buffer = Some(4096);
        let mut slow = Session::connect(options).await.unwrap();
        slow.ready(PATIENCE).await.unwrap();
        Self { sandbox, checker, others, steady, slow, latencies, epoch }
    }

    /// Sends to the others for so long, from senders who do not wait for each other.
    fn send_to_others(&self, time: Duration) -> JoinHandle<()> {
        const SENDERS: usize = 10;
        let (checker, epoch) = (self.checker.clone(), self.epoch);
        let producers: Vec<_> = self.sandbox.notifiers.iter().map(|n| n.grpc()).collect();
        tokio::spawn(async move {
            let (begin, mut senders) = (Instant::now(), JoinSet::new());
            for nth in 0..SENDERS {
                let (producer, checker) = (producers[nth % 2].clone(), checker.clone());
                senders.spawn(async move {
                    let pace = Duration::from_secs(1) * u32::try_from(SENDERS).unwrap();
                    let mut pace = interval(pace / OTHERS_RATE);
                    while begin.elapsed() < time {
                        pace.tick().await;
                        // One sender a user, so that the order of acceptance is known.
                        let user = nth + SENDERS * rand::rng().random_range(0..OTHERS / SENDERS);
                        let payload = epoch.elapsed().as_micros().to_string();
                        let notice = Outgoing::new(format!("user-{user}"), payload);
                        send(&producer, &checker, &notice).await;
                    }
                });
            }
            senders.join_all().await;
        })
    }

    /// The others' latencies of one such time: its p99. Meanwhile the slow user gets what `load`
    /// sends.
    async fn others_p99<T>(&self, time: Duration, load: impl Future<Output = T>) -> (Duration, T) {
        self.latencies.lock().unwrap().clear();
        let others = self.send_to_others(time);
        let done = load.await;
        others.await.unwrap();
        all_arrives(&self.checker, PATIENCE).await;
        let mut latencies = self.latencies.lock().unwrap();
        (quantile(&mut latencies, 0.99), done)
    }
}

/// Sends the plan's notices to the slow user in one order; their ids.
async fn send_to_slow(producer: Sender, checker: Checker, plan: Plan) -> Vec<String> {
    let mut pace = interval(Duration::from_secs_f64(BATCH as f64 / plan.rate as f64));
    let (mut ids, fill) = (Vec::new(), "x".repeat(plan.fill));
    while ids.len() < plan.notices {
        pace.tick().await;
        let numbers = ids.len()..ids.len() + BATCH;
        let payload = |number| format!(r#"{{"number":{number},"fill":"{fill}"}}"#);
        let batch: Vec<_> = numbers.map(|number| Outgoing::new(SLOW, payload(number))).collect();
        for (notice, answer) in batch.iter().zip(producer.send_batch(&batch).await.unwrap()) {
            let id = answer.unwrap().notice_id;
            checker.accepted(SLOW, &id, &notice.payload);
            ids.push(id);
        }
    }
    ids
}

/// What the slow session reads up to this notice: ids, and gaps with the number of ids before.
async fn read_up_to(slow: &mut Session, last: &str) -> (Vec<String>, Vec<(usize, Gap)>) {
    let (mut ids, mut gaps) = (Vec::<String>::new(), Vec::new());
    while ids.last().is_none_or(|id| id != last) {
        match timeout(PATIENCE, slow.next()).await.expect("it goes on") {
            Some(Event::Notice(notice)) => ids.push(notice.id),
            Some(Event::Gap(gap)) => gaps.push((ids.len(), gap)),
            other => panic!("{other:?} after {} notices", ids.len()),
        }
    }
    (ids, gaps)
}

/// What it is like with one socket frozen: what was sent to it, and the others' p99.
struct Frozen {
    sent: Vec<String>,
    others: Duration,
    before: u64,
    peak: u64,
}

/// Freezes the slow socket and sends; the session is lagging after it, and nobody else is.
async fn freeze(scene: &mut Scene, plan: Plan) -> Frozen {
    let before = resident(&mut scene.sandbox.gateways[0]);
    scene.slow.freeze().await;
    let over = Arc::new(AtomicBool::new(false));
    let memory = {
        let (over, pid) = (Arc::clone(&over), scene.sandbox.gateways[0].process().unwrap().pid());
        tokio::spawn(async move {
            let (mut peak, mut look) = (0, interval(Duration::from_millis(50)));
            while !over.load(Relaxed) {
                look.tick().await;
                peak = peak.max(crate::probe::resident_of(pid));
            }
            peak
        })
    };
    let load = send_to_slow(scene.sandbox.notifier().grpc(), scene.checker.clone(), plan);
    let (others, sent) = scene.others_p99(plan.time(), load).await;
    over.store(true, Relaxed);
    let peak = memory.await.unwrap();
    let gateway = &scene.sandbox.gateways[0];
    let lagging = figure(gateway, "herald_gateway_lagging_sessions", "").await.unwrap();
    assert_eq!(lagging as usize, 1, "the socket is not full: send more, or larger ones");
    assert_eq!(sessions_of(scene.sandbox.notifier(), SLOW).await.len(), 2);
    assert!(scene.others.iter().all(|other| !other.has_ended()) && !scene.steady.has_ended());
    Frozen { sent, others, before, peak }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

async fn a_gap_and_what_is_kept(plan: Plan) -> (Duration, Duration) {
    let mut scene = Scene::start(&[]).await;
    // Caches and connections come about, and what is printed is not that of a start.
    scene.others_p99(Duration::from_millis(500), async {}).await;
    let (alone, ()) = scene.others_p99(plan.time(), async {}).await;
    let Frozen { sent, others, before, peak } = freeze(&mut scene, plan).await;

    let thawed = Instant::now();
    scene.slow.thaw().await;
    let (ids, gaps) = read_up_to(&mut scene.slow, sent.last().unwrap()).await;
    let took = thawed.elapsed();
    let [(taken, gap)] = &gaps[..] else { panic!("{gaps:?}") };
    assert_eq!(gap.reason, "expired");
    assert!(gap.after.is_some() && gap.floor.is_some(), "{gap:?}");
    assert_eq!(ids[..*taken], sent[..*taken], "what its buffers held");
    let kept = ids.len() - taken;
    assert!((KEPT..=KEPT + SLACK).contains(&kept), "{kept} are kept");
    assert!(*taken < plan.notices - kept, "nothing was missed");
    assert_eq!(ids[*taken..], sent[plan.notices - kept..], "what is kept, in order");
    let inbox = whole_inbox(scene.sandbox.notifier(), SLOW).await;
    assert!(inbox.iter().map(|notice| &notice.id).eq(&ids[*taken..]));

    // It is live again, like everybody else.
    let notice = Outgoing::new(SLOW, "\"after\"");
    send(&scene.sandbox.notifier().grpc(), &scene.checker, &notice).await;
    assert_eq!(&*scene.slow.notice(PATIENCE).await.unwrap().payload, "\"after\"");
    all_arrives(&scene.checker, PATIENCE).await;
    eventually("it does not lag any more", PATIENCE, async || {
        match figure(&scene.sandbox.gateways[0], "herald_gateway_lagging_sessions", "").await {
            Ok(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert_idle(&mut scene.slow);
    println!(
        "{} notices to a frozen socket, {} a second, {OTHERS_RATE} a second to others: others' p99 \
         {others:.1?}, {alone:.1?} without it: {:.2} times\ngateway {:.1} MiB before, at most {:.1} \
         MiB; {taken} in its buffers, then a gap, then {kept} in {took:.1?}",
        plan.notices,
        plan.rate,
        others.as_secs_f64() / alone.as_secs_f64(),
        mib(before),
        mib(peak),
    );
    assert!(peak < before + GROWTH, "the gateway grew from {before} to {peak} bytes");
    (alone, others)
}

async fn everything(plan: Plan) {
    let mut scene =
        Scene::start(&[("HERALD_INBOX_NOTICES", "100000"), ("HERALD_INBOX_BYTES", "64MiB")]).await;
    let Frozen { sent, before, peak, .. } = freeze(&mut scene, plan).await;
    let thawed = Instant::now();
    scene.slow.thaw().await;
    let (ids, gaps) = read_up_to(&mut scene.slow, sent.last().unwrap()).await;
    println!(
        "all {} notices in {:.1?} after a thaw, gateway {:.1} MiB before, at most {:.1} MiB",
        ids.len(),
        thawed.elapsed(),
        mib(before),
        mib(peak),
    );
    assert!(gaps.is_empty(), "{gaps:?}");
    assert_eq!(ids, sent);
    assert_idle(&mut scene.slow);
    assert!(peak < before + GROWTH, "the gateway grew from {before} to {peak} bytes");
}

const SHORT: Plan = Plan { notices: 5_000, rate: 2_000, fill: 850 };
const FULL: Plan = Plan { notices: 50_000, rate: 2_500, fill: 0 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_socket_gets_a_gap_and_what_is_kept_and_holds_nobody_up() {
    a_gap_and_what_is_kept(SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_socket_gets_everything_if_the_inbox_keeps_it() {
    everything(SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute, and a machine that does nothing else: make soak"]
async fn full_a_frozen_socket_gets_a_gap_and_what_is_kept_and_holds_nobody_up() {
    let (alone, others) = a_gap_and_what_is_kept(FULL).await;
    assert!(others <= alone * 2, "the others' p99 grew from {alone:?} to {others:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes half a minute: make soak"]
async fn full_a_frozen_socket_gets_everything_if_the_inbox_keeps_it() {
    everything(FULL).await;
}
