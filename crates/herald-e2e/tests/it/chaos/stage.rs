//! The running system that faults happen to, and how they do.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures_util::future::join_all;
use herald_e2e::{Gateway, GatewayOptions, NotifierOptions, Relay, Sandbox, Service, Signal};
use http::StatusCode;
use tokio::{
    sync::mpsc,
    time::{sleep, sleep_until},
};

use super::{
    clients::Trouble,
    journal::Journal,
    plan::{Fault, GATEWAYS, Kind, LEASE, NOTIFIERS, Plan, ROADS, STRUCK, Target, What},
    store::Store,
};

/// How often a service is looked after, and pause before one that ended is started again.
const RESTART: Duration = Duration::from_millis(300);

/// Why a gateway may end by itself: Redis has not noticed yet that the one before it is gone.
const NAME_TAKEN: &str = "is already running";

/// How long a service may take to become ready once nothing happens to it any more; others' faults
/// may go on for a while.
const RECOVERY: Duration = Duration::from_secs(30);

/// All processes, and the relays between them.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    store: Store,
    /// Between gateways and Redis, and notifiers and Redis, if that is a single server.
    gateways: Vec<Option<Relay>>,
    notifiers: Vec<Option<Relay>>,
    /// Between clients and gateways, by road.
    roads: Vec<Vec<Relay>>,
}

impl Stage {
    pub(crate) async fn start(kind: Kind) -> anyhow::Result<Self> {
        let store = Store::start(kind).await?;
        let lease = format!("{}ms", LEASE.as_millis());
        let mut sandbox = store
            .sandbox()
            .env("HERALD_LEASE", lease)
            .env("HERALD_LEASE_RENEWAL", "1s")
            .env("HERALD_AUDIT_INTERVAL", "5s")
            .env("HERALD_SLOW_SOCKET_TIMEOUT", "5s")
            // Of large notices it keeps those of some two seconds.
            .env("HERALD_INBOX_BYTES", "256KiB")
            // A peer that is gone unseen is found out within their sum.
            .env("HERALD_PING_INTERVAL", "4s")
            .env("HERALD_PING_TIMEOUT", "4s")
            .prepare()?;
        if kind == Kind::Single {
            sandbox.redis.start().await?;
        }
        let (mut gateways, mut notifiers, mut roads) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..GATEWAYS {
            let relay = relay(kind, &sandbox).await?;
            let options = GatewayOptions { env: through(relay.as_ref()), ..Default::default() };
            sandbox.add_gateway(options)?.start().await?;
            gateways.push(relay);
        }
        for _ in 0..NOTIFIERS {
            let relay = relay(kind, &sandbox).await?;
            sandbox.add_notifier(NotifierOptions { env: through(relay.as_ref()) })?.start().await?;
            notifiers.push(relay);
        }
        for _ in 1..ROADS {
            let mut road = Vec::new();
            for gateway in &sandbox.gateways {
                road.push(Relay::start(gateway.address()).await?);
            }
            roads.push(road);
        }
        Ok(Self { sandbox, store, gateways, notifiers, roads })
    }

    /// The gateways as clients of this road see them.
    pub(crate) fn road(&self, road: usize) -> Vec<SocketAddr> {
        match road.checked_sub(1) {
            None => self.sandbox.gateways.iter().map(Gateway::address).collect(),
            Some(relayed) => self.roads[relayed].iter().map(Relay::address).collect(),
        }
    }

    /// Plays a plan to its end, and waits for all services to be ready again. `clients` are in the
    /// order of their number.
    pub(crate) async fn play(
        &mut self,
        plan: &Plan,
        begin: Instant,
        journal: &Journal,
        clients: &[mpsc::Sender<Trouble>],
    ) {
        let of = |target| plan.of_target(|other| other == target);
        let gateways = self.sandbox.gateways.iter_mut().zip(&self.gateways).enumerate();
        let gateways = gateways.map(async |(nth, (service, redis))| {
            let mut actor = Actor { target: Target::Gateway(nth), service, redis };
            actor.play(&of(actor.target), begin, journal).await;
        });
        let notifiers = self.sandbox.notifiers.iter_mut().zip(&self.notifiers).enumerate();
        let notifiers = notifiers.map(async |(nth, (service, redis))| {
            let mut actor = Actor { target: Target::Notifier(nth), service, redis };
            actor.play(&of(actor.target), begin, journal).await;
        });
        let roads = (1..ROADS).zip(&self.roads).map(async |(nth, relays)| {
            play_road(relays, &of(Target::Road(nth)), begin, journal).await;
        });
        let of_redis = plan.of_target(|target| matches!(target, Target::Redis | Target::Shard(_)));
        let troubles = plan.of_target(|target| matches!(target, Target::Clients(_)));
        tokio::join!(
            join_all(gateways),
            join_all(notifiers),
            self.store.play(&mut self.sandbox.redis, &of_redis, begin, journal),
            join_all(roads),
            play_clients(clients, &troubles, begin, journal),
        );
    }
}

async fn relay(kind: Kind, sandbox: &Sandbox) -> anyhow::Result<Option<Relay>> {
    match kind {
        Kind::Single => Ok(Some(Relay::start(sandbox.redis.address()).await?)),
        // Their servers say themselves where they are.
        Kind::Sentinel | Kind::Cluster => Ok(None),
    }
}

fn through(relay: Option<&Relay>) -> Vec<(String, String)> {
    let url = relay.map(|relay| format!("redis://{}/0", relay.address()));
    url.map(|url| ("HERALD_BACKPLANE".to_owned(), url)).into_iter().collect()
}

/// A service, and the relay between it and Redis.
struct Actor<'s, Kind> {
    target: Target,
    service: &'s mut Service<Kind>,
    redis: &'s Option<Relay>,
}

/// Waits for a fault's time; `false` if what came before has taken so long that it is over by now.
pub(crate) async fn comes(fault: &Fault, begin: Instant, journal: &Journal) -> bool {
    sleep_until((begin + fault.at).into()).await;
    let late = begin.elapsed() > fault.at + fault.lasts + Duration::from_secs(1);
    journal.common(if late { format!("passed over: {fault}") } else { fault.to_string() });
    !late
}

pub(crate) fn failed(journal: &Journal, fault: &Fault, error: &anyhow::Error) {
    journal.wrong(format!("{fault}: {error:#}"));
}

impl<Kind> Actor<'_, Kind> {
    async fn play(&mut self, faults: &[Fault], begin: Instant, journal: &Journal) {
        for fault in faults {
            self.supervise(begin + fault.at, journal).await;
            if !comes(fault, begin, journal).await {
                continue;
            }
            if let Err(error) = self.suffer(fault).await {
                failed(journal, fault, &error);
            }
            journal.common(format!("{} is over it", self.target));
        }
        self.recover(journal).await;
    }

    /// Starts it again whenever it has ended by itself, until then. A name may still be taken by
    /// what was killed before; there is no other reason to end.
    async fn supervise(&mut self, until: Instant, journal: &Journal) {
        while Instant::now() < until {
            self.revive_if_ended(journal).await;
            sleep(RESTART.min(until.saturating_duration_since(Instant::now()))).await;
        }
    }

    async fn revive_if_ended(&mut self, journal: &Journal) {
        let ended = self.service.process().and_then(|process| process.ended());
        let Ok(Some(status)) = ended else { return };
        let log = self.service.log();
        let last = log.lines().rev().take(3).find(|line| line.contains(NAME_TAKEN));
        if last.is_none() {
            journal.wrong(format!("{} has ended by itself with {status}", self.target));
        }
        journal.common(format!("{} has ended: {last:?}", self.target));
        let again = async {
            self.service.kill().await?;
            self.service.start_unready().await
        };
        if let Err(error) = again.await {
            journal.common(format!("{} has not started again: {error:#}", self.target));
        }
    }

    async fn suffer(&mut self, fault: &Fault) -> anyhow::Result<()> {
        match fault.what {
            What::Kill => {
                self.service.kill().await?;
                sleep(fault.lasts).await;
                self.service.start_unready().await?;
            }
            What::Terminate => {
                let status = self.service.terminate().await?;
                anyhow::ensure!(status.success(), "{status}");
                sleep(fault.lasts).await;
                self.service.start_unready().await?;
            }
            What::Freeze => {
                self.service.process()?.signal(Signal::STOP)?;
                sleep(fault.lasts).await;
                self.service.process()?.signal(Signal::CONT)?;
            }
            What::Silence | What::SilenceChannel => {
                let relay = self.redis.as_ref().context("there is no relay")?;
                match fault.what {
                    What::Silence => relay.silence(),
                    _ => relay.silence_subscribers(),
                }
                sleep(fault.lasts).await;
                relay.mend();
            }
            other => anyhow::bail!("{other} is nothing that happens to a service"),
        }
        Ok(())
    }

    /// Waits until it is ready, now that nothing happens to it any more.
    async fn recover(&mut self, journal: &Journal) {
        let begin = Instant::now();
        loop {
            self.revive_if_ended(journal).await;
            match self.service.admin("/ready").await {
                Ok((StatusCode::OK, _)) => break,
                other if begin.elapsed() > RECOVERY => {
                    return journal.wrong(format!("{} is not ready: {other:?}", self.target));
                }
                _ => sleep(RESTART).await,
            }
        }
        journal.common(format!("{} is ready", self.target));
    }
}

async fn play_road(relays: &[Relay], faults: &[Fault], begin: Instant, journal: &Journal) {
    for fault in faults {
        if !comes(fault, begin, journal).await {
            continue;
        }
        for relay in relays {
            match fault.what {
                What::Cut => relay.cut(),
                _ => relay.silence(),
            }
        }
        sleep(fault.lasts).await;
        relays.iter().for_each(Relay::mend);
    }
}

async fn play_clients(
    clients: &[mpsc::Sender<Trouble>],
    faults: &[Fault],
    begin: Instant,
    journal: &Journal,
) {
    for fault in faults {
        let Target::Clients(first) = fault.target else { continue };
        if !comes(fault, begin, journal).await {
            continue;
        }
        let trouble = match fault.what {
            What::StandStill => Trouble::StandStill(fault.lasts),
            _ => Trouble::Vanish,
        };
        for client in clients.iter().skip(first).step_by(STRUCK) {
            // One that is connecting has trouble enough.
            let _ = client.try_send(trouble);
        }
    }
}
