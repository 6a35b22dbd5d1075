//! Gateways leave, crash and hang under load; clients come back by themselves and lose nothing.
//!
//! The long versions are left out of `make test`: `make survival` runs them.

mod crash;
mod deaf;
mod drain;
mod handshakes;
mod rolling;
mod storm;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use herald_e2e::{Notifier, Sandbox, eventually};
use herald_loadgen::{
    Checker, Habits, Outgoing, Returning, SessionOptions, Turnout, checker::Start,
};
use rand::RngExt as _;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::support::{PATIENCE, quantile};

/// Clients that connect at the same time at first.
const CONNECTING: usize = 50;

/// Many clients that come back, `user-0` and so on.
struct Crowd {
    clients: Vec<Returning>,
    turnout: Arc<Turnout>,
}

impl Crowd {
    /// So many; all of them are there.
    async fn gather(count: usize, habits: Habits, checker: &Checker) -> Self {
        let (habits, turnout) = (Arc::new(habits), Arc::new(Turnout::default()));
        let mut crowd = Self { clients: Vec::new(), turnout };
        for nth in 0..count {
            let user = format!("user-{nth}");
            let reader = Arc::new(checker.reader(&user, "client", Start::Now));
            let options = SessionOptions::new(habits.gateways[0], &user);
            let turnout = Arc::clone(&crowd.turnout);
            let client = Returning::start(options, Arc::clone(&habits), reader, turnout, |_| {});
            crowd.clients.push(client);
            if nth % CONNECTING == 0 {
                crowd.all_there().await;
            }
        }
        crowd.all_there().await;
        crowd
    }

    async fn all_there(&self) {
        eventually("all clients are there", PATIENCE, async || {
            let present = self.turnout.present();
            if present == self.clients.len() { Ok(()) } else { Err(format!("{present} are there")) }
        })
        .await;
    }

    /// Nobody was told to stay away, and nobody is away.
    fn assert_all_there(&self) {
        assert_eq!(self.turnout.stay_away(), 0, "told to stay away");
        assert_eq!(self.turnout.present(), self.clients.len());
    }
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut away = self.turnout.absences();
        write!(
            f,
            "{} clients, {} returns ({} handshakes refused, {} attempts failed), {} never came \
             back; time without a connection: p50 {:.2?}, p99 {:.2?}, max {:.2?}",
            self.clients.len(),
            away.len(),
            self.turnout.refused(),
            self.turnout.failed(),
            self.clients.len() - self.turnout.present(),
            quantile(&mut away, 0.5),
            quantile(&mut away, 0.99),
            quantile(&mut away, 1.0),
        )
    }
}

/// Senders at work, each with users of its own, so that the order of acceptance is known.
struct Load {
    senders: JoinSet<u32>,
    end: watch::Sender<bool>,
    begin: Instant,
}

impl Load {
    const SENDERS: usize = 16;

    /// So many notices a second to the first `users` of a crowd.
    fn start(notifiers: &[Notifier], checker: &Checker, users: usize, rate: u32) -> Self {
        let (end, over) = watch::channel(false);
        let mut senders = JoinSet::new();
        let count = Self::SENDERS.min(users);
        let pace = Duration::from_secs(1) * u32::try_from(count).unwrap() / rate;
        for nth in 0..count {
            let (producer, checker) = (notifiers[nth % notifiers.len()].grpc(), checker.clone());
            let mut over = over.clone();
            senders.spawn(async move {
                let mine: Vec<_> =
                    (nth..users).step_by(count).map(|user| format!("user-{user}")).collect();
                let mut pace = interval(pace);
                pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut number = 0;
                loop {
                    tokio::select! {
                        _ = pace.tick() => {}
                        _ = over.changed() => return number,
                    }
                    let user = &mine[rand::rng().random_range(0..mine.len())];
                    let notice = Outgoing::new(user, format!("[{nth},{number}]"));
                    match producer.send(&notice).await {
                        Ok(answer) => checker.accepted(user, &answer.notice_id, &notice.payload),
                        Err(error) if error.is_unknown() => checker.unknown(user, &notice.payload),
                        Err(error) => panic!("{user}: {error}"),
                    }
                    number += 1;
                }
            });
        }
        Self { senders, end, begin: Instant::now() }
    }

    /// Ends it: how many notices a second were sent.
    async fn stop(self) -> f64 {
        self.end.send_replace(true);
        let sent: u32 = self.senders.join_all().await.iter().sum();
        f64::from(sent) / self.begin.elapsed().as_secs_f64()
    }
}

/// Where clients of all gateways of a sandbox connect, as if there were a proxy before them.
fn everywhere(sandbox: &Sandbox) -> Habits {
    Habits::new(sandbox.gateways.iter().map(|gateway| gateway.address()))
}
