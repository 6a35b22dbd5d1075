//! All keys spread over the masters of a Redis Cluster.
//!
//! Each master has lanes of its own. Who has which slots is asked for every second,
//! of all of them: the view that most share counts, so that one that was cut off
//! and sees an old cluster leads nobody astray. What a server says about one slot
//! (`MOVED`) counts at once.
//!
//! A call that a server refused happened nowhere: it is tried again, at the server
//! that was named or a little later, until its deadline. One whose connection broke
//! may have happened, and is never sent a second time; the client library's own
//! cluster connection would do that.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use redis::{
    Cmd, ErrorKind, RedisError, RedisResult, Script, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{Notify, watch},
    time::timeout_at,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    clock::RedisClock,
    error::is_read_only,
    lanes::{Attempt, Failed, Guide, Lanes, Traffic},
    node::{Node, Settings},
    slots::{HostPort, SLOTS, View, most_shared, slot_of},
};
use crate::Health;

const ASK_EVERY: Duration = Duration::from_secs(1);

/// However often somebody stumbles, the servers are asked no more often.
const ASK_AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// How long a server stays connected to that has no slot.
const GUEST: Duration = Duration::from_secs(60);

/// Servers that are asked at a time.
const ASKED: usize = 5;

/// The first pause before a refused call is tried again; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The masters.
pub(super) struct Cluster {
    shared: Arc<Shared>,
    /// Ends whoever follows the masters.
    _stop: DropGuard,
}

struct Shared {
    seeds: Vec<HostPort>,
    settings: Settings,
    connections: usize,
    hiccup: Duration,
    owners: RwLock<Owners>,
    /// Counts how often a slot was with another master than before.
    moves: watch::Sender<u64>,
    ask: Notify,
    look: Arc<Notify>,
    health: watch::Sender<Health>,
    /// The slowest of the masters' clocks: nothing expires before its time.
    clock: Arc<RedisClock>,
}

/// Who has which slot.
struct Owners {
    slots: Vec<Option<Arc<Server>>>,
    /// Every master that has some.
    masters: Vec<Arc<Server>>,
    /// Who was named and has none, as far as is known here.
    guests: Vec<Arc<Server>>,
}

/// One master.
struct Server {
    host: String,
    node: Node,
    lanes: Lanes,
    opened: Instant,
    _target: watch::Sender<super::lanes::Target>,
    /// Ends whoever follows its health.
    _stop: DropGuard,
}

/// What may help a call that failed.
enum Remedy {
    /// Nothing.
    None,
    /// Another try at once, where the slot is now.
    Again,
    /// Another try at once, with leave to ask a server that does not have the slot yet.
    Ask(Arc<Server>),
    /// Another try after a while.
    Later,
    /// To wait until the server is connected to for the first time.
    Connect,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("seeds", &self.shared.seeds).finish_non_exhaustive()
    }
}

impl Cluster {
    pub(super) fn open(
        seeds: Vec<HostPort>,
        settings: Settings,
        connections: usize,
        hiccup: Duration,
    ) -> Self {
        let shared = Arc::new(Shared {
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
        });
        let stop = CancellationToken::new();
        let follow = Arc::clone(&shared).follow();
        tokio::spawn(stop.clone().run_until_cancelled_owned(follow));
        Self { shared, _stop: stop.drop_guard() }
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    pub(super) fn healthy_for(&self, key: &str) -> Duration {
        let owner = self.shared.owner(slot_of(key));
        owner.map_or(Duration::ZERO, |server| server.lanes.healthy_for())
    }

    pub(super) fn clock(&self) -> Arc<RedisClock> {
        Arc::clone(&self.shared.clock)
    }

    pub(super) fn moves(&self) -> watch::Receiver<u64> {
        self.shared.moves.subscribe()
    }

    /// The server that has the slot of `key`.
    pub(super) fn home(&self, key: &str) -> Result<Node, String> {
        self.shared.owner(slot_of(key)).map(|server| server.node.clone()).ok_or_else(|| self.why())
    }

    /// Why there is nobody to ask.
    fn why(&self) -> String {
        match &*self.shared.health.borrow() {
            Health::Away(why) => why.clone(),
            Health::Ready => "no master of the cluster has that slot".into(),
        }
    }

    pub(super) async fn call(
        &self,
        traffic: Traffic,
        until: Instant,
        key: &str,
        script: Option<&Script>,
        make: impl Fn(i64) -> Cmd,
    ) -> Result<Value, Failed> {
        let slot = slot_of(key);
        let (mut granted, mut pause) = (None, PAUSE);
        loop {
            let asking = granted.is_some();
            let Some(server) = granted.take().or_else(|| self.shared.owner(slot)) else {
                self.shared.ask.notify_one();
                return Err(Failed::Away(self.why()));
            };
            let attempt = Attempt { traffic, until, script, asking };
            let failed = match server.lanes.call(attempt, &make).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match self.shared.remedy(&failed, &server, slot) {
                Remedy::None => return Err(failed),
                Remedy::Again => {}
                Remedy::Ask(server) => granted = Some(server),
                Remedy::Later => {
                    tokio::time::sleep_until((Instant::now() + pause).min(until).into()).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Remedy::Connect => {
                    let mut health = server.lanes.health();
                    let connected = health.wait_for(|health| *health == Health::Ready);
                    if timeout_at(until.into(), connected).await.is_err() {
                        return Err(failed);
                    }
                }
            }
            if Instant::now() >= until {
                return Err(failed);
            }
        }
    }

    /// One pipeline for each server; what was refused there is tried again, one by one.
    pub(super) async fn bulk(
        &self,
        until: Instant,
        commands: Vec<(String, Cmd)>,
    ) -> Result<Vec<RedisResult<Value>>, Failed> {
        let mut groups: Vec<(Arc<Server>, Vec<usize>)> = Vec::new();
        for (nth, (key, _)) in commands.iter().enumerate() {
            let Some(server) = self.shared.owner(slot_of(key)) else {
                self.shared.ask.notify_one();
                return Err(Failed::Away(self.why()));
            };
            match groups.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &server)) {
                Some((_, group)) => group.push(nth),
                None => groups.push((server, vec![nth])),
            }
        }
        let commands = &commands;
        let asked = groups.iter().map(async |(server, group)| {
            let of_group = group.iter().map(|nth| commands[*nth].1.clone());
            match server.lanes.pipeline(until, of_group).await {
                Ok(answers) => Ok((group, answers)),
                Err(failed) => {
                    self.shared.ask.notify_one();
                    Err(failed)
                }
            }
        });
        let mut answers: Vec<Option<RedisResult<Value>>> = vec![None; commands.len()];
        for answered in join_all(asked).await {
            let (group, answered) = answered?;
            for (nth, answer) in group.iter().zip(answered) {
                let (key, command) = &commands[*nth];
                answers[*nth] = Some(match answer {
                    Err(error) if is_refused(&error) => {
                        let again = self.call(Traffic::Bulk, until, key, None, |_| command.clone());
                        match again.await {
                            Ok(value) => Ok(value),
                            Err(Failed::Redis(error)) => Err(error),
                            Err(failed) => return Err(failed),
                        }
                    }
                    answer => answer,
                });
            }
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Asks every master the same; each answer stands beside who gave it.
    pub(super) async fn everywhere(
        &self,
        until: Instant,
        command: &Cmd,
    ) -> Result<Vec<(String, Result<Value, Failed>)>, Failed> {
        let servers = self.shared.masters();
        if servers.is_empty() {
            return Err(Failed::Away(self.why()));
        }
        let asked = servers.iter().map(async |server| {
            let attempt = Attempt { traffic: Traffic::Bulk, until, script: None, asking: false };
            let answer = server.lanes.call(attempt, |_| command.clone()).await;
            (server.node.shown().to_owned(), answer)
        });
        Ok(join_all(asked).await)
    }

    /// How many are subscribed to a sharded channel, wherever they are: all masters are asked,
    /// since one that does not have the channel's slot says 0.
    pub(super) async fn listeners(&self, until: Instant, channel: &str) -> Result<u64, Failed> {
        let mut ask = Cmd::new();
        ask.arg("PUBSUB").arg("SHARDNUMSUB").arg(channel);
        let mut sum = 0;
        for (_, answer) in self.everywhere(until, &ask).await? {
            let (_, count): (String, u64) = redis::from_redis_value(answer?)
                .map_err(|error| Failed::Redis(RedisError::from(error)))?;
            sum += count;
        }
        Ok(sum)
    }

    /// Subscribes `connection` to a channel whose home its server is thought to be.
    pub(super) async fn subscribe(
        &self,
        connection: &mut MultiplexedConnection,
        channel: &str,
    ) -> RedisResult<()> {
        let mut subscribe = Cmd::new();
        subscribe.arg("SSUBSCRIBE").arg(channel);
        let subscribed = subscribe.query_async::<Value>(connection).await;
        if let Err(error) = &subscribed {
            self.shared.note_move(error, slot_of(channel), None);
        }
        subscribed.map(drop)
    }
}

/// Whether the server did not do it, though another one, or the same a little later, might.
fn is_refused(error: &RedisError) -> bool {
    is_read_only(error)
        || matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::Moved
                    | ServerErrorKind::Ask
                    | ServerErrorKind::TryAgain
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
                    | ServerErrorKind::BusyLoading
            )
        )
}

impl Shared {
    fn owner(&self, slot: u16) -> Option<Arc<Server>> {
        self.read().slots[usize::from(slot)].clone()
    }

    fn masters(&self) -> Vec<Arc<Server>> {
        self.read().masters.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Owners> {
        self.owners.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Owners> {
        self.owners.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn remedy(&self, failed: &Failed, asked: &Arc<Server>, slot: u16) -> Remedy {
        let error = match failed {
            Failed::Redis(error) if is_refused(error) => error,
            Failed::Away(_) if asked.opened.elapsed() < self.settings.deadline => {
                return Remedy::Connect;
            }
            Failed::Away(_) | Failed::Late(_) => {
                self.ask.notify_one();
                return Remedy::None;
            }
            Failed::Redis(error) => {
                if error.is_io_error() {
                    self.ask.notify_one();
                }
                return Remedy::None;
            }
        };
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Ask) => {
                match self.named(error, asked).map(|named| self.server(&named)) {
                    Some(Ok(server)) => Remedy::Ask(server),
                    _ => Remedy::Later,
                }
            }
            ErrorKind::Server(ServerErrorKind::Moved)
                if self.note_move(error, slot, Some(asked)) =>
            {
                Remedy::Again
            }
            _ => {
                self.ask.notify_one();
                Remedy::Later
            }
        }
    }

    /// The server that an error names.
    fn named(&self, error: &RedisError, asked: &Server) -> Option<HostPort> {
        let (address, _) = error.redirect_node()?;
        let (host, port) = address.rsplit_once(':')?;
        // A server that does not know its own name leaves the host out.
        let host = if host.is_empty() || host == "?" { &asked.host } else { host };
        Some((host.to_owned(), port.parse().ok()?))
    }

    /// Takes note of a slot that is elsewhere; false if the error does not say where.
    fn note_move(&self, error: &RedisError, slot: u16, asked: Option<&Arc<Server>>) -> bool {
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
            self.moves.send_modify(|moves| *moves += 1);
        }
        true
    }

    /// A known server, or one that is connected to from now on.
    fn server(&self, (host, port): &HostPort) -> RedisResult<Arc<Server>> {
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

    fn connect(&self, host: &str, node: Node) -> Arc<Server> {
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
        Arc::new(Server {
            host: host.to_owned(),
            node,
            lanes,
            opened: Instant::now(),
            _target: target,
            _stop: stop.drop_guard(),
        })
    }

    /// Follows the masters for ever.
    async fn follow(self: Arc<Self>) {
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
        let mut servers = self.masters();
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
        let mut next: Vec<Option<Arc<Server>>> = vec![None; SLOTS.into()];
        let mut servers: Vec<(&HostPort, Arc<Server>)> = Vec::new();
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
            self.moves.send_modify(|moves| *moves += 1);
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
        let servers = self.masters();
        let all: Vec<Health> =
            servers.iter().map(|server| server.lanes.health().borrow().clone()).collect();
        let times = servers.iter().map(|server| server.lanes.clock().now_ms());
        if let Some(slowest) = times.filter(|now| *now != 0).min() {
            self.clock.observe(i64::try_from(slowest).unwrap_or(i64::MAX));
        }
        let away = all.iter().find(|health| **health != Health::Ready);
        let ready = all.iter().filter(|health| **health == Health::Ready).count();
        let was_ready = *self.health.borrow() == Health::Ready;
        metrics::gauge!("herald_backplane_masters_away").set((all.len() - ready) as f64);
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

    fn find(&self, node: &Node) -> Option<Arc<Server>> {
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
