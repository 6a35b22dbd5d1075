//! The masters of a Redis Cluster, and which slots each has.
//!
//! Each master has lanes of its own. Who has which slots is asked for every second,
//! of several of them: the view that most share counts, so that one that was cut off
//! and sees an old cluster leads nobody astray. What a server says about one slot
//! (`MOVED`) counts at once.

use std::{
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use redis::{Cmd, RedisError, RedisResult, Value};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    clock::RedisClock,
    lane::{Guide, Target},
    lanes::Lanes,
    node::{Node, Settings},
    slots::{HostPort, SLOTS, View, most_shared},
};
use crate::{Health, figures};

const ASK_EVERY: Duration = Duration::from_secs(1);

/// However often somebody stumbles, the servers are asked no more often.
const ASK_AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// How long a server stays connected to that has no slot.
const GUEST: Duration = Duration::from_secs(60);

/// Servers that are asked at a time.
const ASKED: usize = 5;

/// The masters.
pub(super) struct Masters {
    pub(super) seeds: Vec<HostPort>,
    pub(super) settings: Settings,
    connections: usize,
    hiccup: Duration,
    owners: RwLock<Owners>,
    /// Changes whenever a slot is with another master than before.
    pub(super) moves: watch::Sender<u64>,
    pub(super) ask: Notify,
    look: Arc<Notify>,
    pub(super) health: watch::Sender<Health>,
    /// The slowest of the masters' clocks: nothing expires before its time.
    pub(super) clock: Arc<RedisClock>,
}

/// Who has which slot.
struct Owners {
    slots: Vec<Option<Arc<Master>>>,
    /// Every master that has some.
    masters: Vec<Arc<Master>>,
    /// Who was named and has none, as far as is known here.
    guests: Vec<Arc<Master>>,
}

/// One master.
pub(super) struct Master {
    host: String,
    pub(super) node: Node,
    pub(super) lanes: Lanes,
    pub(super) opened: Instant,
    _target: watch::Sender<Target>,
    /// Ends whoever follows its health.
    _stop: DropGuard,
}

impl Masters {
    pub(super) fn new(
        seeds: Vec<HostPort>,
        settings: Settings,
        connections: usize,
        hiccup: Duration,
    ) -> Self {
        Self {
            seeds,
            settings,
            connections,
            hiccup,
            owners: RwLock::new(Owners::none()),
            moves: watch::Sender::new(0),
            ask: Notify::new(),
            look: Arc::new(Notify::new()),
            health: watch::Sender::new(Health::Away("not connected yet".into())),
            clock: Arc::new(RedisClock::new()),
        }
    }

    pub(super) fn owner(&self, slot: u16) -> Option<Arc<Master>> {
        self.read().slots[usize::from(slot)].clone()
    }

    /// Every master once.
    pub(super) fn all(&self) -> Vec<Arc<Master>> {
        self.read().masters.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Owners> {
        self.owners.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Owners> {
        self.owners.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server that an error names.
    pub(super) fn named(&self, error: &RedisError, asked: &Master) -> Option<HostPort> {
        let (address, _) = error.redirect_node()?;
        let (host, port) = address.rsplit_once(':')?;
        // A server that does not know its own name leaves the host out.
        let host = if host.is_empty() || host == "?" { &asked.host } else { host };
        Some((host.to_owned(), port.parse().ok()?))
    }

    /// Takes note of a slot that is elsewhere; false if the error does not say where.
    pub(super) fn note_move(
        &self,
        error: &RedisError,
        slot: u16,
        asked: Option<&Arc<Master>>,
    ) -> bool {
        self.ask.notify_one();
        let asked = asked.cloned().or_else(|| self.owner(slot));
        let Some(named) = asked.and_then(|asked| self.named(error, &asked)) else { return false };
        let Ok(server) = self.server(&named) else { return false };
        let mut owners = self.write();
        let owner = &mut owners.slots[usize::from(slot)];
        if owner.as_ref().is_none_or(|owner| owner.node != server.node) {
            *owner = Some(Arc::clone(&server));
            if !owners.masters.iter().any(|master| Arc::ptr_eq(master, &server)) {
                owners.masters.push(server);
            }
            drop(owners);
            self.moved();
        }
        true
    }

    fn moved(&self) {
        metrics::counter!(figures::MOVES).increment(1);
        self.moves.send_modify(|moves| *moves += 1);
    }

    /// A known server, or one that is connected to from now on.
    pub(super) fn server(&self, (host, port): &HostPort) -> RedisResult<Arc<Master>> {
        let node = self.settings.node(host, *port)?;
        if let Some(known) = self.read().find(&node) {
            return Ok(known);
        }
        let mut owners = self.write();
        // Somebody else may have been quicker.
        if let Some(known) = owners.find(&node) {
            return Ok(known);
        }
        let server = self.connect(host, node);
        owners.guests.push(Arc::clone(&server));
        Ok(server)
    }

    fn connect(&self, host: &str, node: Node) -> Arc<Master> {
        let (target, follow) = watch::channel(Ok(node.clone()));
        let guide = Guide { target: follow, ask: None };
        let lanes = Lanes::open(guide, self.connections, self.settings.deadline, self.hiccup);
        let (mut health, look) = (lanes.health(), Arc::clone(&self.look));
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while health.changed().await.is_ok() {
                look.notify_one();
            }
        }));
        Arc::new(Master {
            host: host.to_owned(),
            node,
            lanes,
            opened: Instant::now(),
            _target: target,
            _stop: stop.drop_guard(),
        })
    }

    /// Follows the masters for ever.
    pub(super) async fn follow(self: Arc<Self>) {
        loop {
            let asked = Instant::now();
            let down = match self.views().await {
                Ok(views) => self.take(&views),
                Err(why) => Some(why),
            };
            self.look(down.as_deref());
            let next = asked + ASK_EVERY;
            loop {
                tokio::select! {
                    () = tokio::time::sleep_until(next.into()) => break,
                    () = self.ask.notified() => break,
                    () = self.look.notified() => self.look(down.as_deref()),
                }
            }
            tokio::time::sleep_until((asked + ASK_AT_MOST_EVERY).into()).await;
        }
    }

    /// How those who can be asked see the cluster, each with whether it is up.
    async fn views(&self) -> Result<Vec<(View, bool)>, String> {
        // Who takes longer than that has nothing to say.
        let until = Instant::now() + self.settings.deadline.min(ASK_EVERY);
        let mut servers = self.all();
        // Others each time, where there are many.
        let first = rand::random_range(0..servers.len().max(1));
        servers.rotate_left(first);
        servers.truncate(ASKED);
        let asked = servers.iter().map(async |server| {
            let answers = server.lanes.pipeline(until, questions()).await.ok()?;
            view_of(answers, &server.host).ok()
        });
        let views: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        if !views.is_empty() {
            return Ok(views);
        }
        let mut failures = Vec::new();
        for (host, port) in &self.seeds {
            let asked = async {
                let node = self.settings.node(host, *port).map_err(|error| error.to_string())?;
                let mut connection =
                    node.connect(|config| config).await.map_err(|error| error.to_string())?;
                let mut answers = Vec::new();
                for question in questions() {
                    answers.push(question.query_async(&mut connection).await);
                }
                view_of(answers, host)
            };
            match asked.await {
                Ok(view) => return Ok(vec![view]),
                Err(why) => failures.push(format!("{host}:{port}: {why}")),
            }
        }
        Err(format!("no server of the cluster answers: {}", failures.join("; ")))
    }

    /// Makes the view that most share ours; says why the cluster is down if most say that it is.
    fn take(&self, views: &[(View, bool)]) -> Option<String> {
        let only: Vec<View> = views.iter().map(|(view, _)| view.clone()).collect();
        let view = most_shared(&only)?;
        let mut next: Vec<Option<Arc<Master>>> = vec![None; SLOTS.into()];
        let mut servers: Vec<(&HostPort, Arc<Master>)> = Vec::new();
        for (first, (last, master)) in &view.0 {
            let known = servers.iter().find(|(other, _)| *other == master);
            let server = match known.map(|(_, server)| Arc::clone(server)) {
                Some(server) => server,
                None => match self.server(master) {
                    Ok(server) => {
                        servers.push((master, Arc::clone(&server)));
                        server
                    }
                    Err(error) => {
                        tracing::warn!(host = master.0, port = master.1, %error, "unusable master");
                        continue;
                    }
                },
            };
            next[usize::from(*first)..=usize::from(*last)].fill(Some(server));
        }
        let masters: Vec<_> = servers.into_iter().map(|(_, server)| server).collect();
        let mut owners = self.write();
        let moved = owners.slots.iter().zip(&next).any(|(now, next)| match (now, next) {
            (Some(now), Some(next)) => now.node != next.node,
            _ => false,
        });
        let count = masters.len();
        let mut guests = std::mem::take(&mut owners.guests);
        guests.retain(|guest| {
            guest.opened.elapsed() < GUEST && !masters.iter().any(|m| Arc::ptr_eq(m, guest))
        });
        let before = std::mem::replace(&mut *owners, Owners { slots: next, masters, guests });
        drop(owners);
        if moved {
            tracing::info!(masters = count, "slots moved to other masters");
            self.moved();
        }
        // Whoever has no slot any more is let go here, outside of the lock.
        drop(before);
        let down = views.iter().filter(|(_, up)| !up).count();
        (2 * down > views.len()).then(|| match view.missing() {
            0 => "the cluster is down: a master, or most of them, cannot be reached".to_owned(),
            missing => format!("the cluster is down: nobody has {missing} of its slots"),
        })
    }

    /// Looks at all masters, and says whether they can be used. At first all have to be up; later
    /// those that are up serve their users, and one that is away is no reason to turn all away.
    fn look(&self, down: Option<&str>) {
        let servers = self.all();
        let all: Vec<Health> =
            servers.iter().map(|server| server.lanes.health().borrow().clone()).collect();
        let times = servers.iter().map(|server| server.lanes.clock().now_ms());
        if let Some(slowest) = times.filter(|now| *now != 0).min() {
            self.clock.observe(i64::try_from(slowest).unwrap_or(i64::MAX));
        }
        let away = all.iter().find(|health| **health != Health::Ready);
        let ready = all.iter().filter(|health| **health == Health::Ready).count();
        let was_ready = *self.health.borrow() == Health::Ready;
        metrics::gauge!(figures::MASTERS_AWAY).set((all.len() - ready) as f64);
        match (down, away) {
            (Some(why), _) => self.say(Health::Away(why.to_owned())),
            (None, None) if all.is_empty() => {}
            (None, None) => self.say(Health::Ready),
            (None, Some(_)) if was_ready && ready > 0 => {}
            (None, Some(why)) => self.say(why.clone()),
        }
    }

    fn say(&self, now: Health) {
        self.health.send_if_modified(|health| {
            let changed = *health != now;
            if changed {
                *health = now;
            }
            changed
        });
    }
}

impl Owners {
    fn none() -> Self {
        Self { slots: vec![None; SLOTS.into()], masters: Vec::new(), guests: Vec::new() }
    }

    fn find(&self, node: &Node) -> Option<Arc<Master>> {
        let mut all = self.masters.iter().chain(&self.guests);
        all.find(|server| server.node == *node).cloned()
    }
}

/// What a server is asked about the cluster.
fn questions() -> [Cmd; 2] {
    ["SLOTS", "INFO"].map(|about| {
        let mut ask = Cmd::new();
        ask.arg("CLUSTER").arg(about);
        ask
    })
}

fn view_of(answers: Vec<RedisResult<Value>>, asked: &str) -> Result<(View, bool), String> {
    let mut answers = answers
        .into_iter()
        .map(|answer| answer.and_then(Value::extract_error).map_err(|error| error.to_string()));
    let (Some(slots), Some(info)) = (answers.next(), answers.next()) else {
        return Err("too few answers".into());
    };
    let info: String = redis::from_redis_value(info?).map_err(|error| error.to_string())?;
    Ok((View::read(slots?, asked)?, info.contains("cluster_state:ok")))
}
