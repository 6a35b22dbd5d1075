//! Everything that can go wrong goes wrong, overlapping, under load; and nothing that was accepted
//! is lost, doubled or out of order, nobody is told what is not so, and in the end all is well.
//!
//! A [plan](plan) of faults is made from a seed and printed. [Backends](senders) send to users whose
//! [clients](clients) come back with their cursor, while the plan is played on real
//! [processes](stage); then all has to come to rest, and [what must hold](verdict) is looked at.
//!
//! `make chaos` plays a plan of any length from any seed; a failure says how to play it again.

mod clients;
mod journal;
mod plan;
mod presence;
mod receipts;
mod senders;
mod stage;
mod store;
mod verdict;

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use herald_e2e::eventually;
use herald_loadgen::{Checker, Sender, Transport, checker::Start};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use self::{
    clients::{Client, Figures, Seat, Trouble},
    journal::Journal,
    plan::{Kind, Plan, ROADS},
    receipts::Receipts,
    senders::{Backend, Fates},
    stage::Stage,
};
use crate::support::{PATIENCE, api};

/// How long one call of a backend may take.
const CALL: Duration = Duration::from_secs(3);

/// Sessions of the first, second, … user, and again from the start.
const SESSIONS: [usize; 4] = [1, 2, 1, 3];

/// One user in so many gets large notices, at this pace: more than an inbox keeps for who stays
/// away for more than two seconds.
const HEAVY: usize = 25;
const HEAVY_PACE: Duration = Duration::from_millis(200);

/// One client in so many never acknowledges.
const MUTE: usize = 5;

/// How much goes on while the plan is played.
#[derive(Debug, Clone, Copy)]
struct Scale {
    clients: usize,
    /// Notices a second, to all users together; what heavy ones get is in it.
    rate: usize,
}

/// Everybody who is connected or sends.
struct Crowd {
    users: Vec<String>,
    seats: Vec<Seat>,
    troubles: Vec<mpsc::Sender<Trouble>>,
    living: JoinSet<Figures>,
    backends: Vec<Backend>,
    fates: Arc<Fates>,
    receipts: Receipts,
    over: CancellationToken,
}

impl Crowd {
    /// Clients that begin to connect, and backends that do not send yet.
    fn gather(
        stage: &Stage,
        scale: Scale,
        seed: u64,
        checker: &Checker,
        journal: &Journal,
    ) -> Self {
        let mut crowd = Self {
            users: Vec::new(),
            seats: Vec::new(),
            troubles: Vec::new(),
            living: JoinSet::new(),
            backends: Vec::new(),
            fates: Arc::default(),
            receipts: Receipts::default(),
            over: CancellationToken::new(),
        };
        while crowd.seats.len() < scale.clients {
            let nth = crowd.users.len();
            let user = format!("user-{nth}");
            let left = scale.clients - crowd.seats.len();
            for device in 0..SESSIONS[nth % SESSIONS.len()].min(left) {
                crowd.connect(stage, &user, device, seed, checker, journal);
            }
            crowd.users.push(user);
        }
        let producers: Vec<_> = stage
            .sandbox
            .notifiers
            .iter()
            .flat_map(|notifier| {
                [
                    Sender::grpc(notifier.grpc_address(), CALL),
                    Sender::http(notifier.http_address(), CALL),
                ]
            })
            .collect();
        let heavy = crowd.users.len().div_ceil(HEAVY);
        let rest = scale.rate as f64 - heavy as f64 / HEAVY_PACE.as_secs_f64();
        let pace = Duration::from_secs_f64((crowd.users.len() - heavy) as f64 / rest);
        for (nth, user) in crowd.users.iter().enumerate() {
            let heavy = nth % HEAVY == 0;
            crowd.backends.push(Backend {
                user: user.clone(),
                producers: producers.clone(),
                checker: checker.clone(),
                journal: journal.clone(),
                receipts: crowd.receipts.clone(),
                fates: Arc::clone(&crowd.fates),
                dice: clients::dice(seed, 1_000_000 + nth),
                pace: if heavy { HEAVY_PACE } else { pace },
                heavy,
                sent: 0,
            });
        }
        crowd
    }

    fn connect(
        &mut self,
        stage: &Stage,
        user: &str,
        device: usize,
        seed: u64,
        checker: &Checker,
        journal: &Journal,
    ) {
        let nth = self.seats.len();
        let name = format!("client-{nth}");
        let (trouble, troubles) = mpsc::channel(4);
        let seat = Seat::new(user, &name);
        let client = Client {
            seat: seat.clone(),
            // Half of them go straight.
            road: stage.road((nth % 4).saturating_sub(4 - ROADS)),
            transport: match (nth + device) % 5 {
                0 => Transport::Polling,
                1 => Transport::Upgrade,
                _ => Transport::WebSocket,
            },
            reader: checker.reader(user, &name, Start::Now),
            journal: journal.clone(),
            receipts: self.receipts.clone(),
            acknowledges: !nth.is_multiple_of(MUTE),
            troubles,
            dice: clients::dice(seed, nth),
            figures: Figures::default(),
            left: None,
        };
        self.living.spawn(client.live(self.over.clone()));
        self.seats.push(seat);
        self.troubles.push(trouble);
    }

    async fn are_connected(&self) {
        eventually("all clients are connected", PATIENCE, async || {
            let away = self.seats.iter().filter(|seat| seat.now.lock().unwrap().session.is_none());
            match away.count() {
                0 => Ok(()),
                away => Err(format!("{away} are not")),
            }
        })
        .await;
    }
}

/// Plays a plan, and fails with all that explains it if anything is wrong.
async fn survives(plan: Plan, scale: Scale, replay: &str) {
    let journal = Journal::new();
    let mut checker = Checker::new().allowing_gaps();
    if plan.kind != Kind::Single {
        // A replica may lack what was not told to be accepted.
        checker = checker.allowing_resets();
    }
    let mut stage = Stage::start(plan.kind).await.unwrap();
    println!(
        "{} clients, {} notices a second, logs in {}\n{plan}",
        scale.clients,
        scale.rate,
        stage.sandbox.directory().display()
    );
    let mut crowd = Crowd::gather(&stage, scale, plan.seed, &checker, &journal);
    crowd.are_connected().await;

    let begin = Instant::now();
    journal.common("begin");
    let end = begin + plan.time;
    let mut sending = JoinSet::new();
    for backend in std::mem::take(&mut crowd.backends) {
        sending.spawn(backend.send_until(end));
    }
    let notifiers = stage.sandbox.notifiers.iter().map(api).collect();
    let (users, seats, over) = (crowd.users.clone(), crowd.seats.clone(), crowd.over.clone());
    let ghosts = tokio::spawn(presence::watch(notifiers, users, seats, over));
    stage.play(&plan, begin, &journal, &crowd.troubles).await;
    crowd.backends = sending.join_all().await;
    journal.common("end");

    let rest = verdict::rest(&mut stage, &mut crowd, &checker, &journal).await;
    crowd.over.cancel();
    let (ghosts, living) = (ghosts.await.unwrap(), std::mem::take(&mut crowd.living));
    let figures = living.join_all().await;
    let summary = verdict::summary(&plan, &crowd, figures, &rest, ghosts, &checker);
    let report = checker.report();
    let (mut wrong, mut users) = journal.all_wrong();
    wrong.extend(rest.wrong.iter().cloned());
    if report.is_clean() && report.repeated == 0 && wrong.is_empty() {
        if env::var_os("HERALD_E2E_KEEP").is_some() {
            let all = crowd.users.iter().cloned().collect();
            journal.explain(&all, "", stage.sandbox.directory()).unwrap();
        }
        println!("{summary}");
        return;
    }
    stage.sandbox.keep();
    let told = format!("{report}\n{}", wrong.join("\n"));
    users.extend(report.users);
    let timelines = journal.explain(&users, &told, stage.sandbox.directory()).unwrap();
    println!("{timelines}\n{summary}");
    panic!(
        "{told}\nlogs and timelines are kept in {}\nagain with: {replay}",
        stage.sandbox.directory().display()
    );
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

async fn survives_whatever_the_seed_says(kind: Kind, seed: u64, time: Duration, scale: Scale) {
    let (name, seconds) = (kind.name(), time.as_secs());
    let replay = format!("make chaos REDIS={name} SEED={seed} SECONDS={seconds}");
    survives(Plan::random(kind, seed, time), scale, &replay).await;
}

const SHORT: Scale = Scale { clients: 120, rate: 150 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_goes_wrong_nothing_accepted_is_lost_and_all_is_well_in_the_end() {
    survives_whatever_the_seed_says(Kind::Single, 1, Duration::from_secs(20), SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_with_sentinel_when_masters_are_replaced() {
    // A master is killed, and another one comes.
    survives_whatever_the_seed_says(Kind::Sentinel, 18, Duration::from_secs(16), SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_with_a_cluster_whose_masters_are_replaced_and_slots_move() {
    // A slot moves, and a master is killed.
    survives_whatever_the_seed_says(Kind::Cluster, 59, Duration::from_secs(16), SHORT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as it is told to: make chaos"]
async fn full_whatever_goes_wrong_nothing_accepted_is_lost_and_all_is_well_in_the_end() {
    let scale = Scale { clients: 400, rate: 400 };
    let name = env::var("HERALD_CHAOS_REDIS").ok().filter(|name| !name.is_empty());
    let kind = name.map_or(Kind::Single, |name| {
        let named = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        named.unwrap_or_else(|| panic!("{name} is not single, sentinel or cluster"))
    });
    let seed = number("HERALD_CHAOS_SEED").unwrap_or_else(rand::random);
    let time = Duration::from_secs(number("HERALD_CHAOS_SECONDS").unwrap_or(60));
    survives_whatever_the_seed_says(kind, seed, time, scale).await;
}

const KILLS_AGAIN: &str = "make chaos KILLS=yes";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_killed_one_after_the_other_lose_nothing_and_leave_no_ghost() {
    let plan = Plan::kills(1, Duration::from_secs(12), Duration::from_secs(4));
    survives(plan, Scale { clients: 100, rate: 150 }, KILLS_AGAIN).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: make chaos KILLS=yes"]
async fn full_gateways_killed_every_five_seconds_lose_nothing_and_leave_no_ghost() {
    let plan = Plan::kills(1, Duration::from_secs(62), Duration::from_secs(5));
    survives(plan, Scale { clients: 500, rate: 500 }, KILLS_AGAIN).await;
}
