//! Redis servers that die, freeze, cut lines and hand over to others, under load: nothing accepted
//! is lost, doubled or out of order, and clients keep their sessions.
//!
//! The long versions are left out of `make test`: `make servers` runs them.

mod alone;
mod cluster;
mod sentinel;
mod tls;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use herald_e2e::{Notifier, Sandbox, SandboxBuilder, eventually};
use herald_loadgen::{Checker, Follower, Outgoing, checker::Start};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, sleep},
};
use tonic::Code;

use crate::support::{all_arrives, follow, inbox_and_floor};

/// Users, each with a session on every gateway.
const USERS: usize = 24;

/// Time between two notices to one user.
const PACE: Duration = Duration::from_millis(50);

/// How long notices flow before something happens, and after all is well again.
const CALM: Duration = Duration::from_secs(2);

/// How long it may take on a busy machine until others have taken over.
const FAILOVER: Duration = Duration::from_secs(90);

/// Notices that flow until they are told to stop.
struct Load {
    checker: Checker,
    sessions: Vec<Follower>,
    /// Of each user, how many were accepted so far.
    accepted: Arc<[AtomicU32; USERS]>,
    stop: watch::Sender<bool>,
    senders: JoinSet<Tally>,
}

/// How senders fared.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    accepted: u32,
    /// Neither accepted nor surely refused.
    unknown: u32,
    /// The longest that one user's sender was without an accepted notice.
    longest: Duration,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { accepted, unknown, longest } = self;
        write!(
            f,
            "{accepted} accepted, {unknown} not known to be, none accepted for {longest:.1?} at most"
        )
    }
}

/// Two gateways and a notifier whose inboxes keep all that is sent here.
fn sandbox() -> SandboxBuilder {
    Sandbox::builder()
        .gateways(2)
        .notifier()
        .env("HERALD_INBOX_NOTICES", "100000")
        .env("HERALD_INBOX_BYTES", "64MiB")
}

fn user(nth: usize) -> String {
    format!("user-{nth}")
}

impl Load {
    async fn start(sandbox: &Sandbox) -> Self {
        let checker = Checker::new();
        let mut sessions = Vec::new();
        for nth in 0..USERS {
            for gateway in &sandbox.gateways {
                let options = gateway.session(&user(nth));
                sessions.push(follow(&checker, options, Start::Beginning).await);
            }
        }
        let (stop, stopped) = watch::channel(false);
        let mut senders = JoinSet::new();
        let counts: Arc<[AtomicU32; USERS]> = Arc::default();
        for nth in 0..USERS {
            let counts = Arc::clone(&counts);
            let producer = sandbox.notifiers[nth % sandbox.notifiers.len()].grpc();
            let (checker, stopped) = (checker.clone(), stopped.clone());
            senders.spawn(async move {
                let user = user(nth);
                let (mut tally, mut last) = (Tally::default(), Instant::now());
                let mut pace = interval(PACE);
                while !*stopped.borrow() {
                    pace.tick().await;
                    let number = tally.accepted + tally.unknown;
                    let notice = Outgoing::new(&user, format!("[{nth},{number}]"));
                    match producer.send(&notice).await {
                        Ok(answer) => {
                            checker.accepted(&user, &answer.notice_id, &notice.payload);
                            tally.longest = tally.longest.max(last.elapsed());
                            last = Instant::now();
                            tally.accepted += 1;
                            counts[nth].store(tally.accepted, Relaxed);
                        }
                        Err(error) => {
                            assert_eq!(error.code, Code::Unavailable, "{error}");
                            checker.unknown(&user, &notice.payload);
                            tally.unknown += 1;
                        }
                    }
                }
                tally
            });
        }
        sleep(CALM).await;
        Self { checker, sessions, accepted: counts, stop, senders }
    }

    /// Waits until every user was sent to again.
    async fn is_served(&self) {
        let before = self.accepted.each_ref().map(|count| count.load(Relaxed));
        eventually("everybody is served again", FAILOVER, async || {
            let now = self.accepted.iter().map(|count| count.load(Relaxed));
            match now.zip(before).filter(|(now, before)| now <= before).count() {
                0 => Ok(()),
                left => Err(format!("{left} are not")),
            }
        })
        .await;
    }

    /// Waits until every user is served, and a while longer, then for all to arrive.
    async fn finish(self, notifier: &Notifier) -> Tally {
        self.is_served().await;
        let Self { checker, sessions, stop, senders, .. } = self;
        sleep(CALM).await;
        stop.send_replace(true);
        let mut tally = Tally::default();
        for sent in senders.join_all().await {
            tally.accepted += sent.accepted;
            tally.unknown += sent.unknown;
            tally.longest = tally.longest.max(sent.longest);
        }
        for nth in 0..USERS {
            let user = user(nth);
            let text = |json: &[u8]| String::from_utf8_lossy(json).into_owned();
            let (kept, floor) = inbox_and_floor(notifier, &user).await;
            let kept: Vec<_> =
                kept.into_iter().map(|notice| (notice.id, text(&notice.json))).collect();
            checker.kept(&user, &kept, &floor);
        }
        all_arrives(&checker, FAILOVER).await;
        assert!(sessions.iter().all(|session| !session.has_ended()), "clients keep their sessions");
        tally
    }
}
