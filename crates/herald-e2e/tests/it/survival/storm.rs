//! Everybody comes back at once.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use herald_e2e::{Sandbox, Script};
use herald_loadgen::{Checker, Follower, Outgoing, Session, checker::Start};
use serde_json::json;
use tokio::{sync::watch, task::JoinHandle, time::interval};

use super::handshakes::Handshakes;
use crate::support::{PATIENCE, all_arrives, quantile};

/// How long a storm may take.
const STORM: Duration = Duration::from_secs(300);

/// Users who are connected all the time, and get notices.
const LIVE: usize = 10;

/// Time between two notices to them.
const PACE: Duration = Duration::from_millis(10);

/// Notices to sessions that are there all the time, and how long they take.
struct Live {
    took: Arc<Mutex<Vec<Duration>>>,
    end: watch::Sender<bool>,
    sender: JoinHandle<()>,
    sessions: Vec<Follower>,
}

impl Live {
    async fn start(sandbox: &Sandbox, checker: &Checker) -> Self {
        let (epoch, took) = (Instant::now(), Arc::<Mutex<Vec<Duration>>>::default());
        let mut sessions = Vec::new();
        for nth in 0..LIVE {
            let user = format!("live-{nth}");
            let gateway = &sandbox.gateways[nth % sandbox.gateways.len()];
            let session = Session::connect_patiently(gateway.session(&user), PATIENCE).await;
            let reader = Arc::new(checker.reader(&user, "live", Start::Now));
            let took = Arc::clone(&took);
            let look = move |notice: &herald_loadgen::Notice| {
                let sent = Duration::from_micros(notice.payload.parse().unwrap());
                took.lock().unwrap().push(notice.received - epoch - sent);
            };
            sessions.push(Follower::start(session.unwrap(), reader, look).await.unwrap());
        }
        let (end, mut over) = watch::channel(false);
        let (producer, checker) = (sandbox.notifier().grpc(), checker.clone());
        let sender = tokio::spawn(async move {
            let mut pace = interval(PACE);
            for nth in 0.. {
                tokio::select! {
                    _ = pace.tick() => {}
                    _ = over.changed() => return,
                }
                let user = format!("live-{}", nth % LIVE);
                let notice = Outgoing::new(&user, epoch.elapsed().as_micros().to_string());
                let accepted = producer.send(&notice).await.unwrap();
                checker.accepted(&user, &accepted.notice_id, &notice.payload);
            }
        });
        Self { took, end, sender, sessions }
    }

    /// Median, 99th percentile and number of what arrived since this was last asked.
    fn latency(&self) -> String {
        let mut took = std::mem::take(&mut *self.took.lock().unwrap());
        let count = took.len();
        let (p50, p99) = (quantile(&mut took, 0.5), quantile(&mut took, 0.99));
        format!("p50 {p50:.1?}, p99 {p99:.1?} of {count}")
    }

    async fn stop(self) -> Vec<Follower> {
        self.end.send_replace(true);
        self.sender.await.unwrap();
        self.sessions
    }
}

/// `alone`: nothing else runs on this machine.
async fn all_are_back(processes: usize, clients: usize, rate: u32, alone: bool) {
    let rate_option = rate.to_string();
    let builder = Sandbox::builder().env("HERALD_HANDSHAKE_RATE", &rate_option);
    let mut sandbox = builder.gateways(3).notifier().start().await.unwrap();
    let gateways: Vec<_> =
        sandbox.gateways.iter().map(|gateway| gateway.address().to_string()).collect();
    let handshakes = Handshakes::watch(&sandbox);
    let mut swarms: Vec<Script> = Vec::new();
    for nth in 0..processes {
        let (each, prefix) = ((clients / processes).to_string(), format!("swarm-{nth}-"));
        let sources: Vec<_> = (1..=4).map(|host| format!("127.0.{}.{host}", nth + 1)).collect();
        let args = [
            "stay",
            "--gateway",
            &gateways.join(","),
            "--users",
            &each,
            "--user-prefix",
            &prefix,
            "--source",
            &sources.join(","),
        ];
        // A crowd takes no processor from the services: these are looked at. Beside other tests it might
        // get none at all.
        let swarm = if alone { sandbox.loadgen_giving_way(args) } else { sandbox.loadgen(args) };
        swarms.push(swarm.unwrap());
    }
    for swarm in &mut swarms {
        swarm.expect("there", STORM).await.unwrap();
    }
    let checker = Checker::new();
    let live = Live::start(&sandbox, &checker).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let calm = live.latency();

    let begin = Instant::now();
    for swarm in &mut swarms {
        swarm.command(&json!({"do": "cut"})).await.unwrap();
    }
    for swarm in &mut swarms {
        swarm.expect("there", STORM).await.unwrap();
    }
    let took = begin.elapsed();
    let storm = live.latency();
    let sessions = live.stop().await;
    all_arrives(&checker, PATIENCE).await;
    assert!(sessions.iter().all(|session| !session.has_ended()));
    let (fastest, all) = handshakes.stop(rate).await;
    let mut returns = 0;
    for swarm in &mut swarms {
        swarm.command(&json!({"do": "status"})).await.unwrap();
        let status = swarm.expect("status", PATIENCE).await.unwrap();
        println!("{status}");
        assert_eq!(status["stayAway"], 0, "{status}");
        returns += status["returns"].as_u64().unwrap();
    }
    println!(
        "{clients} clients in {processes} processes were cut off, and all back after {took:.1?}; \
         at most {fastest:.0} handshakes/s at a gateway ({rate} allowed, {all:.0} in all); live \
         notices: {calm} before, {storm} meanwhile; {}",
        checker.report()
    );
    assert!(returns >= clients as u64, "only {returns} returns");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_clients_that_return_at_once_are_let_in_at_the_rate_and_all_come_back() {
    all_are_back(2, 300, 40, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten thousand clients: make survival"]
async fn full_ten_thousand_clients_that_return_at_once_are_let_in_at_the_rate_and_all_come_back() {
    all_are_back(4, 10_000, 500, true).await;
}
