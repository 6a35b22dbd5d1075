//! Clients on a restless network.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use herald_e2e::Sandbox;
use herald_loadgen::{
    Checker, Follower, Outgoing, Session, SessionOptions,
    checker::{Reader, Start},
};
use rand::RngExt as _;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{interval_at, sleep, timeout},
};

use crate::support::{PATIENCE, all_arrives, quantile};

/// How long a client stays away.
const OFFLINE: Duration = Duration::from_secs(2);

/// How long it is there in between, on average: it leaves every 15 s.
const ONLINE: f64 = 13.0;

/// Time between two notices to one client.
const PACE: Duration = Duration::from_secs(1);

/// One in so many leaves before its first notice.
const EARLY: usize = 10;

/// Connections to the notifiers, shared by all senders.
const PRODUCERS: usize = 8;

/// Clients that connect at the same time at first.
const CONNECTING: usize = 50;

/// What all clients have in common.
struct Network {
    gateways: Vec<SocketAddr>,
    checker: Checker,
    /// Of each return: from its first byte to the last notice that was accepted before it.
    replays: Mutex<Vec<Duration>>,
    returns: AtomicUsize,
    /// Attempts to return that failed as official clients would try again.
    retries: AtomicUsize,
}

/// One client: connected, or about to be again.
struct Client {
    nth: usize,
    user: String,
    reader: Arc<Reader>,
    network: Arc<Network>,
}

/// A connection of a client's, and how long what it had missed took to arrive.
struct Life {
    follower: Follower,
    missed: Arc<Mutex<Option<Duration>>>,
}

impl Client {
    async fn connect(&self, cursor: Option<String>) -> Life {
        let gateways = &self.network.gateways;
        let gateway = match cursor {
            None => self.nth % gateways.len(),
            Some(_) => rand::rng().random_range(0..gateways.len()),
        };
        let mut options = SessionOptions::new(gateways[gateway], &self.user);
        options.cursor = cursor;
        let began = Instant::now();
        let began_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let session = loop {
            match Session::connect(options.clone()).await {
                Ok(session) => break session,
                Err(error) if error.is_retryable() => {
                    self.network.retries.fetch_add(1, Relaxed);
                    sleep(Duration::from_millis(100)).await;
                }
                Err(error) => panic!("{} is refused: {error}", self.user),
            }
        };
        let missed = Arc::new(Mutex::new(None));
        let seen = Arc::clone(&missed);
        let follower = Follower::start(session, Arc::clone(&self.reader), move |notice| {
            if u128::try_from(notice.sent_at).unwrap() < began_ms {
                *seen.lock().unwrap() = Some(notice.received - began);
            }
        });
        Life { follower: follower.await.unwrap(), missed }
    }

    fn note(&self, life: &Life) {
        self.network.replays.lock().unwrap().extend(life.missed.lock().unwrap().take());
    }

    /// Comes and goes until it is over, and is connected then.
    async fn live(self, first: Life, mut over: watch::Receiver<bool>) -> Life {
        let mut life = first;
        let mut stay = match self.nth % EARLY {
            0 => Duration::ZERO,
            _ => online(),
        };
        while timeout(stay, over.wait_for(|over| *over)).await.is_err() {
            let cursor = life.follower.cursor();
            self.note(&life);
            // Some take leave, others just vanish.
            if rand::random() {
                life.follower.close().await;
            } else {
                drop(life.follower);
            }
            sleep(OFFLINE).await;
            life = self.connect(Some(cursor)).await;
            self.network.returns.fetch_add(1, Relaxed);
            stay = online();
        }
        assert!(!life.follower.has_ended(), "{} was cut off", self.user);
        self.note(&life);
        life
    }
}

/// Exponentially distributed, as if each moment were as bad as any other.
fn online() -> Duration {
    let share: f64 = rand::rng().random_range(f64::EPSILON..1.0);
    Duration::from_secs_f64(-share.ln() * ONLINE)
}

async fn all_is_delivered(clients: usize, time: Duration) {
    let sandbox = Sandbox::builder().gateways(2).notifier().notifier().start().await.unwrap();
    let network = Arc::new(Network {
        gateways: sandbox.gateways.iter().map(|gateway| gateway.address()).collect(),
        checker: Checker::new(),
        replays: Mutex::default(),
        returns: AtomicUsize::new(0),
        retries: AtomicUsize::new(0),
    });

    let room = Arc::new(Semaphore::new(CONNECTING));
    let mut connecting = JoinSet::new();
    for nth in 0..clients {
        let (network, room) = (Arc::clone(&network), Arc::clone(&room));
        connecting.spawn(async move {
            let _permit = room.acquire().await.unwrap();
            let user = format!("user-{nth}");
            let reader = Arc::new(network.checker.reader(&user, "phone", Start::Now));
            let client = Client { nth, user, reader, network };
            let life = client.connect(None).await;
            (client, life)
        });
    }
    let connected = connecting.join_all().await;

    let (end, over) = watch::channel(false);
    let mut living = JoinSet::new();
    let mut leaving = Vec::new();
    for (client, life) in connected {
        if client.nth % EARLY == 0 {
            leaving.push(Arc::clone(&client.reader));
        }
        living.spawn(client.live(life, over.clone()));
    }
    let early = leaving.iter().filter(|reader| reader.count() == 0).count();
    let begin = Instant::now();
    let mut senders = JoinSet::new();
    let producers: Vec<_> = (0..PRODUCERS).map(|nth| sandbox.notifiers[nth % 2].grpc()).collect();
    for nth in 0..clients {
        let producer = producers[nth % PRODUCERS].clone();
        let checker = network.checker.clone();
        let first = begin + PACE.mul_f64(rand::random());
        senders.spawn(async move {
            let user = format!("user-{nth}");
            let mut pace = interval_at(first.into(), PACE);
            let mut number = 0;
            while begin.elapsed() < time {
                pace.tick().await;
                let notice = Outgoing::new(&user, format!("[{nth},{number}]"));
                match producer.send(&notice).await {
                    Ok(answer) => checker.accepted(&user, &answer.notice_id, &notice.payload),
                    // A machine that is busy with something else: it may come, and need not.
                    Err(error) if error.is_unknown() => checker.unknown(&user, &notice.payload),
                    Err(error) => panic!("{user}: {error}"),
                }
                number += 1;
            }
        });
    }
    senders.join_all().await;
    let sent = begin.elapsed();
    end.send_replace(true);
    let lives = living.join_all().await;
    all_arrives(&network.checker, PATIENCE).await;
    assert!(lives.iter().all(|life| !life.follower.has_ended()));

    let report = network.checker.report();
    let returns = network.returns.load(Relaxed);
    let mut replays = network.replays.lock().unwrap().clone();
    println!(
        "{clients} clients, {early} gone before their first notice, {returns} returns ({} attempts \
         failed) in {sent:.1?}\n{report}: 100 % delivered\nreplay, from the first byte of a return \
         to the last notice missed, {} times: p50 {:.1?}, p99 {:.1?}, max {:.1?}",
        network.retries.load(Relaxed),
        replays.len(),
        quantile(&mut replays, 0.5),
        quantile(&mut replays, 0.99),
        quantile(&mut replays, 1.0),
    );
    assert_eq!(report.readers, clients);
    assert!(report.unknown * 100 < report.accepted, "{} unknown", report.unknown);
    assert!(early >= clients / EARLY, "only {early} left before their first notice");
    assert!(returns * 2 > clients, "only {returns} returns: the network was not restless");
    assert!(!replays.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_clients_that_come_and_go_get_everything_once_and_in_order() {
    all_is_delivered(300, Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes more than a minute: make jitter"]
async fn full_two_thousand_clients_that_come_and_go_get_everything_once_and_in_order() {
    all_is_delivered(2_000, Duration::from_secs(60)).await;
}
