//! The seam between the services and what they share.
//!
//! [`Backplane`] is opened from an address and hands out two narrow handles:
//! [`NotifierPort`] for who sends, [`GatewayPort`] for who delivers. Both are
//! concrete enums over the implementations, so that services carry no type
//! parameters; what they guarantee is written here and held by the conformance
//! suite, which every implementation passes.

use std::time::Duration;

use herald_core::{
    Cursor, Epoch, GapReason, GatewayId, GatewayName, IdempotencyKey, InboxLimits, Notice,
    NotifierId, Place, Position, SessionId, SessionRecord, UserId, VolatileId,
};
use tokio::sync::watch;

use crate::{
    Admission, BackplaneError, Clock, Ending, Found, GatewayEvents, Kept, LeaseError, Mark,
    OpenError, Outgoing, Places, ReceiptEvents, ReceiptsWanted, Reported, Standing, memory, redis,
};

/// How a backplane is opened.
#[derive(Debug, Clone)]
pub struct BackplaneOptions {
    /// `memory:`, or one of
    ///
    /// | URL | |
    /// |---|---|
    /// | `redis://[user:password@]host[:port][/db]` | one server |
    /// | `redis-sentinel://[user:password@]host[:port],…/master[/db]` | the master that Sentinel names |
    /// | `redis-cluster://[user:password@]host[:port],…` | a cluster, by some of its servers |
    ///
    /// with `rediss` in place of `redis` for TLS.
    pub url: String,
    /// First part of every key and channel name, so that several Heralds can
    /// share one Redis.
    pub key_prefix: String,
    /// What an inbox keeps.
    pub inbox: InboxLimits,
    /// How long an idempotency key is kept; the newest `inbox.notices` of a user are.
    pub key_age: Duration,
    /// How long a lease is good for without renewal; at least three renewals fit.
    pub lease: Duration,
    /// How often a lease is renewed.
    pub renew_every: Duration,
    /// How long any one call may take.
    pub call_deadline: Duration,
    /// How long a channel may be silent although something is published to it every second;
    /// then it counts as lost.
    pub channel_silence: Duration,
    /// Shared connections that carry the hot path (Redis).
    pub connections: usize,
    /// Replicas of Redis that have to have a notice before it counts as accepted; 0 for none.
    pub wait_replicas: u32,
    /// Largest stored notice that travels on a channel whole, in bytes; a larger
    /// one is announced there and read from the inbox.
    pub inline_bytes: usize,
    /// Messages of one gateway's channel that may wait for it; beyond that they
    /// are dropped, counted, and the channel counts as lost.
    pub channel_capacity: usize,
}

/// The address of a backplane inside this process.
const MEMORY: &str = "memory:";

impl BackplaneOptions {
    /// Whether a backplane can be opened from this URL, as far as that is known without
    /// connecting.
    ///
    /// # Errors
    /// [`OpenError`], which never shows what may be a secret.
    pub fn check_url(url: &str) -> Result<(), OpenError> {
        if url == MEMORY { Ok(()) } else { redis::check_url(url) }
    }
}

impl Default for BackplaneOptions {
    fn default() -> Self {
        Self {
            url: "memory:".into(),
            key_prefix: "herald".into(),
            inbox: InboxLimits::default(),
            key_age: Duration::from_hours(24),
            lease: Duration::from_secs(10),
            renew_every: Duration::from_secs(3),
            call_deadline: Duration::from_secs(2),
            channel_silence: Duration::from_secs(2),
            connections: 4,
            wait_replicas: 0,
            inline_bytes: 4 << 10,
            channel_capacity: 16_384,
        }
    }
}

/// Whether the backplane can be used right now, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answers.
    Ready,
    /// It does not; the text is for operators.
    Away(String),
}

/// Registry, inboxes and channels. A cheap handle; clones share everything.
#[derive(Debug, Clone)]
pub enum Backplane {
    /// Everything inside this process.
    Memory(memory::Memory),
    /// Redis, shared by any number of processes.
    Redis(redis::Redis),
}

impl Backplane {
    /// Opens the backplane that `options.url` names. Nothing is awaited: a
    /// backplane that is away is connected to in the background, for ever, and
    /// [`Backplane::health`] tells. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`] if the address or an option can never work.
    pub fn open(options: &BackplaneOptions) -> Result<Self, OpenError> {
        if options.url == MEMORY {
            return Ok(Self::Memory(memory::Memory::new(options)));
        }
        redis::Redis::open(options).map(Self::Redis)
    }

    /// Follows whether the backplane answers.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        match self {
            Self::Memory(memory) => memory.health(),
            Self::Redis(redis) => redis.health(),
        }
    }

    /// The backplane's clock, as far as it is known here.
    #[must_use]
    pub fn clock(&self) -> Clock {
        match self {
            Self::Memory(_) => Clock::System,
            Self::Redis(redis) => redis.clock(),
        }
    }

    /// What an operator should know of this backplane: settings that put notices
    /// at risk. Empty when there is nothing to say.
    ///
    /// # Errors
    /// [`BackplaneError::Unusable`] when it can never work (too old, missing
    /// permission); retryable errors while it is away.
    pub async fn risks(&self) -> Result<Vec<String>, BackplaneError> {
        match self {
            Self::Memory(_) => Ok(Vec::new()),
            Self::Redis(redis) => redis.risks().await,
        }
    }

    /// The handle of those who send.
    #[must_use]
    pub fn notifier(&self) -> NotifierPort {
        match self {
            Self::Memory(memory) => NotifierPort::Memory(memory.clone()),
            Self::Redis(redis) => NotifierPort::Redis(redis.clone()),
        }
    }

    /// Takes a lease for the gateway `name` and opens its channel: subscribed
    /// and confirmed before the lease is taken, renewed in the background until
    /// the port is released or dropped.
    ///
    /// A lease that `name` left behind is taken over (fenced, its sessions
    /// removed) if it lapsed or nobody listens on its channel any more.
    ///
    /// # Errors
    /// [`LeaseError::NameTaken`] while another one of that name is alive.
    pub async fn gateway(
        &self,
        name: &GatewayName,
    ) -> Result<(GatewayPort, GatewayEvents), LeaseError> {
        match self {
            Self::Memory(memory) => {
                let (port, events) = memory.gateway(name)?;
                Ok((GatewayPort::Memory(port), events))
            }
            Self::Redis(redis) => {
                let (port, events) = redis.gateway(name).await?;
                Ok((GatewayPort::Redis(port), events))
            }
        }
    }
}

/// What goes for one dispatch besides its notice. The default: the notice lives as
/// long as the inbox keeps it, and a second dispatch is a second notice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long the notice is of use, in whole milliseconds from its acceptance by
    /// the backplane's clock. After that no page holds it, though its place stays
    /// taken and readers' places move over it.
    pub ttl: Option<Duration>,
    /// Makes a second dispatch of the same notice a retry of the first.
    pub key: Option<Key>,
    /// Who wants to hear what becomes of it. A retry wants to hear for itself.
    pub receipts: Option<ReceiptsWanted>,
}

/// An idempotency key. It is kept beside the user's inbox, for
/// [`BackplaneOptions::key_age`] and as long as it is among the newest of that user,
/// whether its notice is still kept or not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose: the same key of two callers is two keys. Without control characters;
    /// empty where callers are not told apart.
    pub caller: String,
    /// The caller's key, for this one user.
    pub key: IdempotencyKey,
}

/// What the backplane says about a dispatched notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispatched {
    /// Where it stands; with it the notice has its id.
    pub place: Place,
    /// The life of the inbox it was appended to.
    pub epoch: Epoch,
    /// The key had been used for this very notice, which stands at `place` (or did,
    /// if a limit removed it meanwhile). Nothing was appended.
    pub duplicate: bool,
    /// When the sessions were looked up, in milliseconds since 1970 by the
    /// backplane's clock.
    pub at_ms: u64,
    /// Every session that the user had at that very moment.
    pub targets: Vec<Target>,
}

/// What the backplane says about a volatile notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What it is called: random, since it has no place.
    pub id: VolatileId,
    /// When it was sent, in milliseconds since 1970 by the backplane's clock.
    pub at_ms: u64,
    /// Every session that the user had at that very moment.
    pub targets: Vec<Target>,
}

/// One session that a notice was meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The session.
    pub session: SessionRecord,
    /// Whether its gateway was listening. If not, it may be resubscribing: the
    /// notice stays in the inbox, where the gateway will look; a volatile one is lost.
    pub heard: bool,
}

/// From where an inbox is read.
///
/// A cursor is continued exactly where it stands if it is of the inbox's epoch and names
/// a notice that is (or, at the floor or the tip, was) there. Otherwise there is a gap,
/// and all that is kept follows:
///
/// | the cursor | |
/// |---|---|
/// | epoch 0 at zero: of a user who had no inbox yet | as if of this epoch |
/// | of another epoch, or above the tip | [`GapReason::Reset`] |
/// | at the tip, with another random part (0 will do if the tip is the floor) | [`GapReason::Reset`] |
/// | below the floor | [`GapReason::Expired`] |
/// | at the floor | continued |
/// | between, naming no notice that stands there | [`GapReason::Reset`] |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Everything that is kept, and no gap reported.
    Start,
    /// After this place.
    After(Cursor),
}

/// A stretch of one inbox, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The life of the inbox.
    pub epoch: Epoch,
    /// Where the stretch really starts: the place asked for or, after a gap, the floor
    /// with a random part of 0.
    pub start: Place,
    /// Why it could not start at the place asked for.
    pub gap: Option<GapReason>,
    /// What is kept after `start`. Expired notices are left out.
    pub notices: Vec<InboxNotice>,
    /// The place that this page reaches, left-out notices included: go on from
    /// here. Equal to `tip` once everything was read.
    pub reached: Place,
    /// The last place of the inbox.
    pub tip: Place,
    /// The highest position removed by any limit.
    pub floor: Position,
}

impl Page {
    /// The cursor to read the next page from.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, place: self.reached }
    }

    /// Whether there is more to read now.
    #[must_use]
    pub fn more(&self) -> bool {
        self.reached != self.tip
    }

    /// The page of a user who has no inbox.
    pub(crate) fn of_nobody(since: Since) -> Self {
        let gap = match since {
            Since::After(cursor) if cursor.place.position != Position::ZERO => {
                Some(GapReason::Reset)
            }
            _ => None,
        };
        Self {
            epoch: Epoch(0),
            start: Place::ZERO,
            gap,
            notices: Vec::new(),
            reached: Place::ZERO,
            tip: Place::ZERO,
            floor: Position::ZERO,
        }
    }
}

/// A notice with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxNotice {
    /// Where it stands.
    pub place: Place,
    /// The notice.
    pub notice: Notice,
    /// When it stops being delivered, in milliseconds since 1970; 0 for never.
    pub expires_at_ms: u64,
    /// Who wanted to hear of it when it was accepted.
    pub receipts: Option<ReceiptsWanted>,
}

/// Who of the users asked for is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// The user.
    pub user: UserId,
    /// Its sessions, those of lapsed gateways left out, oldest first (by session id
    /// where they connected in the same millisecond).
    pub sessions: Vec<SessionRecord>,
}

/// What became of a round of reaping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reaped {
    /// Lapsed leases that were removed.
    pub leases: usize,
    /// Sessions that went with them.
    pub sessions: usize,
}

/// The handle of those who send. Cheap to clone.
#[derive(Debug, Clone)]
pub enum NotifierPort {
    #[doc(hidden)]
    Memory(memory::Memory),
    #[doc(hidden)]
    Redis(redis::Redis),
}

impl NotifierPort {
    /// [`NotifierPort::dispatch_with`] the default [`Terms`].
    ///
    /// # Errors
    /// As there.
    pub async fn dispatch(
        &self,
        user: &UserId,
        notice: &Notice,
    ) -> Result<Dispatched, BackplaneError> {
        self.dispatch_with(user, notice, &Terms::default()).await
    }

    /// Appends `notice` to the user's inbox and looks up the user's sessions, as one
    /// atomic step: a session that connects at the same time either is among the
    /// targets or finds the notice in the inbox. Tells the gateways that own one, in
    /// the same step where their channels are on the same server. Success means
    /// accepted, whoever could be told.
    ///
    /// If `terms.key` was used before, for a notice of the same event, payload and
    /// ttl, nothing is appended: the answer has the first one's place and the
    /// targets as of now, and the gateways are told once more that there is
    /// something at that place. Of any number at once, one appends.
    ///
    /// With `terms.receipts` the gateways report what becomes of the notice to
    /// [`NotifierPort::receipts`] of that id, the first ones perhaps before this
    /// answers. If acknowledgements are wanted, the targets (a retry's too) are kept for
    /// [`NotifierPort::kept`].
    ///
    /// # Errors
    /// [`BackplaneError::Unavailable`]: not accepted. [`BackplaneError::Unknown`]:
    /// accepted or not, which includes that too few replicas have it yet; a retry with
    /// the same key waits for them again. [`BackplaneError::KeyUsed`]: for another notice.
    pub async fn dispatch_with(
        &self,
        user: &UserId,
        notice: &Notice,
        terms: &Terms,
    ) -> Result<Dispatched, BackplaneError> {
        match self {
            Self::Memory(memory) => memory.dispatch(user, notice, terms),
            Self::Redis(redis) => redis.dispatch(user, notice, terms).await,
        }
    }

    /// Looks up the user's sessions and sends `notice` to the gateways that own one,
    /// whole whatever its size, and without keeping it: at most once, to who is there
    /// now, unordered against what is dispatched.
    ///
    /// # Errors
    /// [`BackplaneError::Unavailable`]: not sent. [`BackplaneError::Unknown`]: sent or
    /// not.
    pub async fn send_volatile(
        &self,
        user: &UserId,
        notice: &Notice,
    ) -> Result<Sent, BackplaneError> {
        match self {
            Self::Memory(memory) => memory.send_volatile(user, notice),
            Self::Redis(redis) => redis.send_volatile(user, notice).await,
        }
    }

    /// Sends `notice` to every gateway whose lease is good, for all of its sessions,
    /// and without keeping it. Gives how many of them were listening.
    ///
    /// # Errors
    /// As of [`NotifierPort::send_volatile`].
    pub async fn broadcast(&self, notice: &Notice) -> Result<usize, BackplaneError> {
        match self {
            Self::Memory(memory) => memory.broadcast(notice),
            Self::Redis(redis) => redis.broadcast(notice).await,
        }
    }

    /// Listens to what gateways report to `id`, for ever: an interrupted channel is
    /// connected again, and said to be in doubt. Nothing is awaited; until
    /// [`ReceiptEvents::listening`] says so, reports are missed. Must be called inside
    /// a tokio runtime.
    #[must_use]
    pub fn receipts(&self, id: NotifierId) -> ReceiptEvents {
        match self {
            Self::Memory(memory) => memory.receipts(id),
            Self::Redis(redis) => redis.receipts(id),
        }
    }

    /// What is kept of the notice at `place` whose acknowledgements were wanted. Kept
    /// as long as an inbox keeps notices, and at most four records for each notice that
    /// an inbox may hold; the oldest go first.
    ///
    /// # Errors
    /// Retryable ones; nothing is changed.
    pub async fn kept(&self, user: &UserId, place: Place) -> Result<Kept, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.kept(user, place)),
            Self::Redis(redis) => redis.kept(user, place).await,
        }
    }

    /// Looks for the notice at `place`.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn find(&self, user: &UserId, place: Place) -> Result<Found, BackplaneError> {
        match self {
            Self::Memory(memory) => memory.find(user, place),
            Self::Redis(redis) => redis.find(user, place).await,
        }
    }

    /// Asks the gateways that own a session of the user where these stand. The answers come
    /// to [`NotifierPort::receipts`] of `to`, one of each gateway, as
    /// [`crate::ReceiptEvent::Places`]; of one that does not run, or whose answer is lost, none
    /// does. Gives the sessions asked for, each with whether its gateway was listening.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn ask_places(
        &self,
        user: &UserId,
        to: ReceiptsWanted,
    ) -> Result<Vec<Target>, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.ask_places(user, to)),
            Self::Redis(redis) => redis.ask_places(user, to).await,
        }
    }

    /// Reads one page of a user's inbox, at most `max_notices` long (and never
    /// beyond the page limits in force). A user without an inbox has an empty one
    /// with an epoch of 0.
    ///
    /// # Errors
    /// Retryable ones; nothing is changed.
    pub async fn read(
        &self,
        user: &UserId,
        since: Since,
        max_notices: u32,
    ) -> Result<Page, BackplaneError> {
        match self {
            Self::Memory(memory) => memory.read(user, since, max_notices),
            Self::Redis(redis) => redis.read(user, since, max_notices).await,
        }
    }

    /// Who of `users` is there now, in the order asked. A gateway that lapsed is
    /// gone from the answer within a second, though its sessions are not reaped yet.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn presence(&self, users: &[UserId]) -> Result<Vec<Presence>, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.presence(users)),
            Self::Redis(redis) => redis.presence(users).await,
        }
    }

    /// Ends sessions of the user for good and tells the gateways that own one. Gives those
    /// that are registered; what comes of them, [`NotifierPort::standing`] says. A session
    /// that is not registered now, and was let in before, is refused when it registers, for
    /// as long as the user's state is remembered. Of single sessions the last 100 that were
    /// ended are known.
    ///
    /// # Errors
    /// [`BackplaneError::Unavailable`]: nothing was ended. [`BackplaneError::Unknown`]:
    /// ended or not; repeating is harmless.
    pub async fn end_sessions(
        &self,
        user: &UserId,
        ending: &Ending,
    ) -> Result<Vec<Target>, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.end_sessions(user, ending)),
            Self::Redis(redis) => redis.end_sessions(user, ending).await,
        }
    }

    /// What is known of these sessions, each with the lease that it was found under, in
    /// the order asked.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn standing(
        &self,
        user: &UserId,
        sessions: &[(SessionId, GatewayId)],
    ) -> Result<Vec<Standing>, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.standing(user, sessions)),
            Self::Redis(redis) => redis.standing(user, sessions).await,
        }
    }

    /// Takes out of the registry what was ended and whose gateway has not taken it out. If
    /// that gateway lives after all, its audit finds the session missing, tries to register
    /// it, and is refused.
    ///
    /// # Errors
    /// Retryable ones; repeating is harmless.
    pub async fn forget_sessions(
        &self,
        user: &UserId,
        sessions: &[(SessionId, GatewayId)],
    ) -> Result<(), BackplaneError> {
        match self {
            Self::Memory(memory) => {
                memory.forget_sessions(user, sessions);
                Ok(())
            }
            Self::Redis(redis) => redis.forget_sessions(user, sessions).await,
        }
    }

    /// Removes everything that is kept of a user: inbox, places, idempotency keys, receipts.
    /// What keeps ended sessions out stays, and so does the registry.
    ///
    /// # Errors
    /// Retryable ones; repeating is harmless.
    pub async fn purge(&self, user: &UserId) -> Result<(), BackplaneError> {
        match self {
            Self::Memory(memory) => {
                memory.purge(user);
                Ok(())
            }
            Self::Redis(redis) => redis.purge(user).await,
        }
    }

    /// Removes what lapsed leases left behind, each by one reaper at a time, at
    /// the cost of that lease's sessions. Does nothing until the backplane was
    /// seen healthy for one whole lease without a break, so that an outage, in
    /// which nobody could renew, reaps nobody. To be called about every second.
    ///
    /// # Errors
    /// Retryable ones; what was not removed is found by the next round.
    pub async fn reap(&self) -> Result<Reaped, BackplaneError> {
        match self {
            Self::Memory(memory) => Ok(memory.reap()),
            Self::Redis(redis) => redis.reap().await,
        }
    }
}

/// A session as its gateway has it, to be compared with what the backplane has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Believed {
    /// Whose.
    pub user: UserId,
    /// The session.
    pub session: SessionId,
    /// How far it was served.
    pub cursor: Cursor,
}

/// What an audit found out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// The sessions that are not as their gateway believes, in the order asked.
    pub findings: Vec<Finding>,
    /// Sessions of which nothing could be found out, because what stands in the
    /// backplane is not what Herald wrote there.
    pub unreadable: usize,
    /// Times that the backplane was asked and awaited.
    pub round_trips: u32,
}

/// One session that is not registered, or whose place is not its inbox's tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// Which of the sessions asked about, counted from 0.
    pub nth: usize,
    /// Whether it is registered under this lease, and a reaper would find it.
    pub registered: bool,
    /// The last place of its inbox; of a user who has none, the place before
    /// everything in epoch 0.
    pub tip: Cursor,
}

/// A gateway's lease and what can be done under it. Cheap to clone. Dropping the
/// last clone without [`GatewayPort::release`] leaves the lease to lapse, as a
/// crash would.
#[derive(Debug, Clone)]
pub enum GatewayPort {
    #[doc(hidden)]
    Memory(memory::MemoryGateway),
    #[doc(hidden)]
    Redis(redis::RedisGateway),
}

impl GatewayPort {
    /// The id of this lease.
    #[must_use]
    pub fn id(&self) -> GatewayId {
        match self {
            Self::Memory(gateway) => gateway.id(),
            Self::Redis(gateway) => gateway.id(),
        }
    }

    /// The last place of the user's inbox, or `None` for a user who has none.
    /// Changes nothing.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn tip(&self, user: &UserId) -> Result<Option<Cursor>, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.tip(user)),
            Self::Redis(gateway) => gateway.tip(user).await,
        }
    }

    /// What is to be known before a client is let in; its tip is that of
    /// [`GatewayPort::tip`]. Changes nothing.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn admission(&self, user: &UserId) -> Result<Admission, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.memory().admission(user)),
            Self::Redis(gateway) => gateway.redis().admission(user).await,
        }
    }

    /// How many sessions the user has, those of lapsed gateways included.
    ///
    /// # Errors
    /// Retryable ones.
    pub async fn session_count(&self, user: &UserId) -> Result<usize, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.memory().session_count(user)),
            Self::Redis(gateway) => gateway.redis().session_count(user).await,
        }
    }

    /// What those who send can ask too: a gateway ends the sessions of a user who has too
    /// many.
    #[must_use]
    pub fn notifier(&self) -> NotifierPort {
        match self {
            Self::Memory(gateway) => NotifierPort::Memory(gateway.memory().clone()),
            Self::Redis(gateway) => NotifierPort::Redis(gateway.redis().clone()),
        }
    }

    /// [`GatewayPort::register`] of a session that nobody has ended.
    ///
    /// # Errors
    /// As there.
    pub async fn connect(
        &self,
        user: &UserId,
        session: &SessionRecord,
        since: Since,
    ) -> Result<Page, BackplaneError> {
        self.register(user, session, since, Mark(u64::MAX)).await
    }

    /// Registers a session and reads the first page after `since`, as one step,
    /// atomic with [`NotifierPort::dispatch`]: every later notice is announced.
    /// Registering the same session again (after a doubt, under a new lease)
    /// replaces its entry. The session counts for this lease whatever
    /// `session.gateway` says. `mark` is that of the [`GatewayPort::admission`] that the
    /// client was let in by.
    ///
    /// # Errors
    /// [`BackplaneError::SessionEnded`] if it was ended since.
    /// Retryable ones: it may be registered or not, so that who gives up calls
    /// [`GatewayPort::disconnect`]. [`BackplaneError::LeaseLost`].
    pub async fn register(
        &self,
        user: &UserId,
        session: &SessionRecord,
        since: Since,
        mark: Mark,
    ) -> Result<Page, BackplaneError> {
        match self {
            Self::Memory(gateway) => gateway.connect(user, session, since, mark),
            Self::Redis(gateway) => gateway.connect(user, session, since, mark).await,
        }
    }

    /// Removes sessions of this lease, and only of this one; unknown ones are
    /// passed over.
    ///
    /// # Errors
    /// Retryable ones; repeating is harmless.
    pub async fn disconnect(&self, sessions: &[(UserId, SessionId)]) -> Result<(), BackplaneError> {
        match self {
            Self::Memory(gateway) => {
                gateway.disconnect(sessions);
                Ok(())
            }
            Self::Redis(gateway) => gateway.disconnect(sessions).await,
        }
    }

    /// Reads one page of a user's inbox.
    ///
    /// # Errors
    /// Retryable ones; nothing is changed.
    pub async fn read(&self, user: &UserId, since: Since) -> Result<Page, BackplaneError> {
        match self {
            Self::Memory(gateway) => gateway.read(user, since),
            Self::Redis(gateway) => gateway.read(user, since).await,
        }
    }

    /// Compares sessions with the registry and with the tips of their inboxes, and
    /// tells those that differ: not registered under this lease (missing, or
    /// under another one), or at another place than the tip. What changes while
    /// it is asked may be told or not, so that a session that stands elsewhere by
    /// now is no finding of its own.
    ///
    /// Costs at most two round trips for every 500 sessions, and nothing that is
    /// on the hot path's connections; sessions of one user should stand next to
    /// each other. It changes nothing, except that it counts as a use of the
    /// users' inboxes: who is connected is not forgotten, however long it hears
    /// nothing.
    ///
    /// # Errors
    /// Retryable ones. [`BackplaneError::LeaseLost`].
    pub async fn audit(&self, sessions: &[Believed]) -> Result<Audit, BackplaneError> {
        match self {
            Self::Memory(gateway) => gateway.audit(sessions),
            Self::Redis(gateway) => gateway.audit(sessions).await,
        }
    }

    /// The sessions that stand under this lease, if they are more than `known`: what a
    /// gateway has taken out may be back after a failover, and nobody else removes it
    /// while the lease is good. Some may be told twice. Costs a round trip for each
    /// 500 sessions, on no connection of the hot path, and one if there is nothing to
    /// tell.
    ///
    /// # Errors
    /// Retryable ones; nothing is changed.
    pub async fn registered(
        &self,
        known: usize,
    ) -> Result<Vec<(UserId, SessionId)>, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.registered(known)),
            Self::Redis(gateway) => gateway.registered(known).await,
        }
    }

    /// Hands reports to the notifiers that want them, and keeps those that are to be
    /// kept; in order, and with one round trip for all. A report that its notifier does
    /// not hear is lost, and counted in the answer.
    ///
    /// # Errors
    /// Any: some may have been heard and kept. Repeating is harmless, but what is late is
    /// of little use.
    pub async fn report(&self, reports: &[Outgoing]) -> Result<Reported, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.report(reports)),
            Self::Redis(gateway) => gateway.report(reports).await,
        }
    }

    /// Answers [`crate::GatewayEvent::AskPlaces`]; whether anybody heard.
    ///
    /// # Errors
    /// Any; repeating is harmless, but what is late is of no use.
    pub async fn tell_places(
        &self,
        to: ReceiptsWanted,
        places: &Places,
    ) -> Result<bool, BackplaneError> {
        match self {
            Self::Memory(gateway) => Ok(gateway.memory().tell_places(to, places)),
            Self::Redis(gateway) => gateway.redis().tell_places(to, places).await,
        }
    }

    /// Gives the lease back with all that is registered under it. Its events end.
    ///
    /// # Errors
    /// Retryable ones; without success it lapses by itself.
    pub async fn release(&self) -> Result<(), BackplaneError> {
        match self {
            Self::Memory(gateway) => {
                gateway.release();
                Ok(())
            }
            Self::Redis(gateway) => gateway.release().await,
        }
    }
}
