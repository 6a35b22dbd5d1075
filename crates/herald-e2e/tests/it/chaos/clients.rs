//! Clients that keep their cursor, and come back whatever ends their session.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use herald_loadgen::{
    CloseReason, ConnectError, Event, Notice, Session, SessionOptions, Transport, checker::Reader,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{journal::Journal, receipts::Receipts, senders::Payload};

/// How long a handshake may take, and `herald:ready` after it.
const HANDSHAKE: Duration = Duration::from_secs(5);
const READY: Duration = Duration::from_secs(15);

/// Before another try, at first and at most; half of it is chance.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What happens to a client.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// Its connection breaks.
    Vanish,
    /// It does not read for so long.
    StandStill(Duration),
}

/// What the others can see of a client.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) now: Arc<Mutex<Now>>,
}

/// What a client is at this moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Now {
    /// Its session, if it has been told `herald:ready`.
    pub(crate) session: Option<String>,
    pub(crate) cursor: Option<String>,
}

impl Seat {
    pub(crate) fn new(user: &str, name: &str) -> Self {
        Self { user: user.to_owned(), name: name.to_owned(), now: Arc::default() }
    }
}

/// What a client has seen of the system, besides notices.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Sessions after the first one.
    pub(crate) returns: usize,
    /// Tries to connect that failed as official clients would try again.
    pub(crate) failed: usize,
    pub(crate) gaps: usize,
    /// From just before a notice was first sent to its arrival.
    pub(crate) delays: Vec<Duration>,
    /// Of each return: from its first byte to the last notice accepted before it.
    pub(crate) replays: Vec<Duration>,
    /// From the end of a session to the next one's `herald:ready`.
    pub(crate) absences: Vec<Duration>,
}

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) seat: Seat,
    /// The gateways, by the way that this client takes.
    pub(crate) road: Vec<SocketAddr>,
    pub(crate) transport: Transport,
    pub(crate) reader: Reader,
    pub(crate) journal: Journal,
    pub(crate) receipts: Receipts,
    /// Whether it acknowledges what it is asked to.
    pub(crate) acknowledges: bool,
    pub(crate) troubles: mpsc::Receiver<Trouble>,
    pub(crate) dice: StdRng,
    pub(crate) figures: Figures,
    /// When its last session ended.
    pub(crate) left: Option<Instant>,
}

/// A session from its first byte on.
struct Life {
    session: Session,
    began: Instant,
    began_ms: i64,
    ready: bool,
    /// Since its first byte, the last notice that was accepted before it.
    missed: Option<Duration>,
}

pub(crate) fn dice(seed: u64, nth: usize) -> StdRng {
    StdRng::seed_from_u64(seed ^ (nth as u64) << 40)
}

impl Client {
    /// Connects, and connects again, until it is over.
    pub(crate) async fn live(mut self, over: CancellationToken) -> Figures {
        let mut pause = FIRST_PAUSE;
        while !over.is_cancelled() {
            let Some(Ok(life)) = over.run_until_cancelled(self.connect()).await else {
                let half = pause / 2;
                over.run_until_cancelled(sleep(half + half.mul_f64(self.dice.random()))).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            };
            if self.attend(life, &over).await {
                pause = FIRST_PAUSE;
            }
        }
        self.figures
    }

    async fn connect(&mut self) -> Result<Life, ()> {
        let address = self.road[self.dice.random_range(0..self.road.len())];
        let mut options = SessionOptions::new(address, &self.seat.user).transport(self.transport);
        options.device = Some(self.seat.name.clone());
        options.cursor = self.now().cursor.clone();
        options.timeout = HANDSHAKE;
        let after = options.cursor.clone();
        let (began, now) = (Instant::now(), SystemTime::now());
        let error = match Session::connect(options).await {
            Ok(session) => {
                self.note(format!("{} connected to {address} after {after:?}", self.seat.name));
                let since_1970 = now.duration_since(UNIX_EPOCH).unwrap().as_millis();
                let began_ms = i64::try_from(since_1970).unwrap();
                return Ok(Life { session, began, began_ms, ready: false, missed: None });
            }
            Err(error) => error,
        };
        self.figures.failed += 1;
        self.note(format!("{} not connected to {address}: {error}", self.seat.name));
        // Neither is a reason for an official client to come back.
        if matches!(error, ConnectError::Rejected { .. } | ConnectError::Protocol(_)) {
            self.wrong(&error.to_string());
        }
        Err(())
    }

    /// Reads a session to its end; whether it ever was ready.
    async fn attend(&mut self, mut life: Life, over: &CancellationToken) -> bool {
        let mut thaw: Option<Instant> = None;
        let deadline = life.began + HANDSHAKE + READY;
        let reason = loop {
            let until = thaw.unwrap_or(deadline);
            tokio::select! {
                biased;
                () = over.cancelled() => break "it is over".to_owned(),
                trouble = self.troubles.recv() => match trouble {
                    Some(Trouble::StandStill(time)) => {
                        self.note(format!("{} reads nothing", self.seat.name));
                        life.session.freeze().await;
                        thaw = Some(Instant::now() + time);
                    }
                    Some(Trouble::Vanish) | None => break "it vanishes".to_owned(),
                },
                () = tokio::time::sleep_until(until.into()), if thaw.is_some() || !life.ready => {
                    if thaw.take().is_none() {
                        break format!("not ready within {READY:?}");
                    }
                    self.note(format!("{} reads again", self.seat.name));
                    life.session.thaw().await;
                }
                event = life.session.next() => match event {
                    Some(Event::Closed(reason)) => {
                        // Packet 41: official clients stay away. And what no server should say.
                        if matches!(reason, CloseReason::ServerDisconnect | CloseReason::Protocol(_)) {
                            self.wrong(&reason.to_string());
                        }
                        break reason.to_string();
                    }
                    Some(event) => self.take(event, &mut life).await,
                    None => break "its task has ended".to_owned(),
                },
            }
        };
        self.note(format!("{} left: {reason}", self.seat.name));
        self.figures.replays.extend(life.missed);
        self.now().session = None;
        if life.ready {
            self.left = Some(Instant::now());
        }
        life.ready
    }

    async fn take(&mut self, event: Event, life: &mut Life) {
        match event {
            Event::Ready(ready) => {
                if life.ready {
                    self.wrong("told herald:ready again");
                }
                life.ready = true;
                self.note(format!(
                    "{} ready as {} at {}",
                    self.seat.name, ready.session, ready.cursor
                ));
                self.reader.begin(&ready.session);
                if let Some(left) = self.left {
                    self.figures.returns += 1;
                    self.figures.absences.push(left.elapsed());
                }
                let mut now = self.now();
                now.session = Some(ready.session);
                // One that has a cursor keeps its own.
                now.cursor.get_or_insert(ready.cursor);
            }
            Event::Notice(notice) => {
                if !life.ready {
                    self.wrong("given a notice before herald:ready");
                }
                self.receive(&notice, life);
                self.acknowledge(&notice, life).await;
            }
            Event::Gap(gap) => {
                let Some(floor) = gap.floor.clone() else {
                    return self.wrong(&format!("told of a gap without a floor: {gap:?}"));
                };
                self.note(format!("{} told of a gap: {gap:?}", self.seat.name));
                self.figures.gaps += 1;
                self.reader.gap(gap);
                self.now().cursor = Some(floor);
            }
            Event::Other { event, args } => {
                self.note(format!("{}: {event} {args:?}", self.seat.name));
            }
            Event::Closed(_) => unreachable!("taken before"),
        }
    }

    fn receive(&mut self, notice: &Notice, life: &mut Life) {
        let payload = Payload::read(&notice.payload);
        let (name, id) = (&self.seat.name, &notice.id);
        let replayed = if notice.replayed { " replayed" } else { "" };
        let number = payload.as_ref().map(|payload| payload.n);
        self.journal.note(&self.seat.user, number, format!("{name} got {id}{replayed}"));
        self.reader.received(notice);
        if !notice.cursor.is_empty() {
            self.now().cursor = Some(notice.cursor.clone());
        }
        if notice.sent_at < life.began_ms {
            life.missed = Some(notice.received - life.began);
        }
        if let Some(payload) = payload {
            let sent = self.journal.epoch + Duration::from_micros(payload.at);
            self.figures.delays.push(notice.received.saturating_duration_since(sent));
        }
    }

    async fn acknowledge(&mut self, notice: &Notice, life: &Life) {
        let session = self.now().session.clone();
        if let Some(session) = session.filter(|_| self.acknowledges && notice.ack.is_some()) {
            self.receipts.acknowledging(&session, &notice.id);
            life.session.acknowledge(notice).await;
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.seat.now.lock().unwrap()
    }

    fn note(&self, text: String) {
        self.journal.note(&self.seat.user, None, text);
    }

    fn wrong(&self, what: &str) {
        self.journal.wrong_of(&self.seat.user, None, format!("{}: {what}", self.seat.name));
    }
}
