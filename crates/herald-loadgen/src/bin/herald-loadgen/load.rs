//! A run: open the sessions, send, wait, judge.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use herald_loadgen::{Checker, Outgoing, Sender};
use rand::RngExt as _;
use tokio::{task::JoinSet, time};

use crate::{
    args::Args,
    sessions,
    summary::{Latency, Summary},
};

/// How often the checker is asked whether all has arrived.
const SETTLE_STEP: Duration = Duration::from_millis(50);

pub(crate) async fn run(args: &Args) -> anyhow::Result<Summary> {
    if args.polling + args.upgrade > 100 {
        bail!("--polling and --upgrade are more than 100 percent together");
    }
    let checker = Checker::new();
    let latency = Latency::new(Instant::now());

    let population = sessions::open(args, &checker, &latency).await?;
    eprintln!("{} sessions of {} users are open", population.len(), args.users);

    let (sent, failed, took) = send(args, &checker, &latency).await?;
    eprintln!("{sent} notices sent in {:.1} s, {failed} of them not accepted", took.as_secs_f64());

    let settled = settle(args.settle, &checker).await;
    let ended_early = population.ended_early();
    population.close().await;
    Ok(Summary {
        report: checker.report(),
        latency: latency.histogram(),
        sent,
        failed,
        took,
        settled,
        ended_early,
    })
}

/// Sends all notices; returns how many, how many of them were not accepted, and the time.
async fn send(
    args: &Args,
    checker: &Checker,
    latency: &Latency,
) -> anyhow::Result<(u64, u64, Duration)> {
    let sender = match args.http {
        Some(address) => Sender::http(address, args.deadline),
        None => Sender::grpc(args.grpc, args.deadline),
    };
    let senders = args.senders.min(args.users);
    let next = Arc::new(AtomicU64::new(0));
    let failures = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for number in 0..senders {
        let worker = Worker {
            sender: sender.clone(),
            checker: checker.clone(),
            latency: latency.clone(),
            next: Arc::clone(&next),
            failures: Arc::clone(&failures),
            users: (number..args.users)
                .step_by(senders as usize)
                .map(|user| sessions::user(args, user))
                .collect(),
            notices: args.notices,
            pace: (args.rate > 0).then(|| Duration::from_secs_f64(1.0 / f64::from(args.rate))),
            payload: args.payload,
            begin,
        };
        tasks.spawn(worker.run());
    }
    let mut progress = time::interval(Duration::from_secs(1));
    progress.tick().await;
    loop {
        tokio::select! {
            done = tasks.join_next() => match done {
                Some(done) => done.context("a sender failed")?,
                None => break,
            },
            _ = progress.tick() => show(&format!(
                "{} of {} notices sent",
                next.load(Ordering::Relaxed).min(args.notices),
                args.notices
            )),
        }
    }
    Ok((args.notices, failures.load(Ordering::Relaxed), begin.elapsed()))
}

struct Worker {
    sender: Sender,
    checker: Checker,
    latency: Latency,
    next: Arc<AtomicU64>,
    failures: Arc<AtomicU64>,
    users: Vec<String>,
    notices: u64,
    pace: Option<Duration>,
    payload: usize,
    begin: Instant,
}

impl Worker {
    async fn run(self) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.notices {
                return;
            }
            if let Some(pace) = self.pace {
                // Each number has its own time, so that a slow answer does not lower the rate.
                let due = self.begin + pace.mul_f64(number as f64);
                time::sleep_until(due.into()).await;
            }
            let user = &self.users[rand::rng().random_range(0..self.users.len())];
            let notice = Outgoing::new(user, self.latency.payload(number, self.payload));
            match self.sender.send(&notice).await {
                Ok(answer) => self.checker.accepted(user, &answer.notice_id, &notice.payload),
                Err(error) => {
                    if error.is_unknown() {
                        self.checker.unknown(user, &notice.payload);
                    }
                    if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
                        eprintln!("first failure: {error}");
                    }
                }
            }
        }
    }
}

/// Waits until nothing is missing; `None` if something still is.
async fn settle(patience: Duration, checker: &Checker) -> Option<Duration> {
    let begin = Instant::now();
    loop {
        if checker.missing() == 0 {
            return Some(begin.elapsed());
        }
        if begin.elapsed() > patience {
            return None;
        }
        time::sleep(SETTLE_STEP).await;
    }
}

/// One line that overwrites itself on a terminal.
pub(crate) fn show(line: &str) {
    let mut stderr = std::io::stderr();
    let (before, after) = if stderr.is_terminal() { ("\r\x1b[K", "") } else { ("", "\n") };
    // Progress is worth no failure.
    let _ = write!(stderr, "{before}{line}{after}");
}
