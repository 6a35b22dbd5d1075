//! A gateway's lease: taken, renewed in the background, given back.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use herald_core::{Cursor, GatewayId, GatewayName, SessionId, SessionRecord, UserId};
use redis::{Cmd, FromRedisValue, Value};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Redis, channel::Channel, error::unexpected, eval, index::Index, millis, reap::CLAIM,
    subscription::Subscription,
};
use crate::{
    Audit, BackplaneError, Believed, GatewayEvent, GatewayEvents, LeaseError, Mark, Outgoing, Page,
    Reported, Since, events::Queued, figures, wire,
};

/// How long the index of a lease's sessions outlives its last renewal: a reaper
/// removes it within seconds; this is for when there was none for a day.
const INDEX_LIFE: Duration = Duration::from_hours(24);

/// A failed renewal is tried again this soon, as most of a lease is left.
const RENEW_AGAIN: Duration = Duration::from_millis(250);

/// A lease and what is done under it.
#[derive(Clone)]
pub struct RedisGateway {
    redis: Redis,
    id: GatewayId,
    index: Index,
    lost: Arc<AtomicBool>,
    stop: CancellationToken,
    /// Ends renewal, index and subscription when the last clone goes.
    _guard: Arc<DropGuard>,
}

impl fmt::Debug for RedisGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisGateway").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Redis {
    pub(crate) async fn gateway(
        &self,
        name: &GatewayName,
    ) -> Result<(RedisGateway, GatewayEvents), LeaseError> {
        let id = GatewayId::random();
        let stop = CancellationToken::new();
        let guard = Arc::new(stop.clone().drop_guard());
        let (events, receiver) = mpsc::channel(self.inner.options.channel_capacity);
        let channel = self.inner.keys.gateway_channel(id);
        let subscription =
            Subscription::new(self.clone(), "gateway", channel, Channel::new(events.clone()));
        let health = subscription.health();
        let connection = subscription.connect().await?;
        let keep = subscription.keep(Some(connection));
        tokio::spawn(stop.clone().run_until_cancelled_owned(keep));
        for left_behind in self.take_lease(id, name).await? {
            self.remove_in_background(left_behind);
        }
        let lost = Arc::new(AtomicBool::new(false));
        let renewal = renew(self.clone(), id, Arc::clone(&lost), events, stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(renewal));
        let index = Index::open(self.clone(), id, stop.clone());
        let gateway = RedisGateway { redis: self.clone(), id, index, lost, stop, _guard: guard };
        Ok((gateway, GatewayEvents::new(receiver, self.clock(), health)))
    }

    /// What fails of it is found by the next reaper once its claim ends.
    fn remove_in_background(&self, left_behind: GatewayId) {
        let redis = self.clone();
        tokio::spawn(async move {
            if let Err(error) = redis.remove_lease(left_behind).await {
                tracing::warn!(gateway_id = %left_behind, %error, "sessions left behind are not removed yet");
            }
        });
    }

    /// Gives the leases that `name` left behind.
    async fn take_lease(
        &self,
        id: GatewayId,
        name: &GatewayName,
    ) -> Result<Vec<GatewayId>, LeaseError> {
        // Who holds the name and has no listener any more; one after the other, should there be more.
        let mut deaf = None;
        loop {
            match self.try_lease(id, name, deaf).await {
                Err(LeaseError::NameTaken { holder, .. })
                    if deaf != Some(holder) && !self.is_heard(holder).await? =>
                {
                    deaf = Some(holder);
                }
                outcome => return outcome,
            }
        }
    }

    /// Whether anybody listens on the channel of that lease.
    async fn is_heard(&self, gateway: GatewayId) -> Result<bool, BackplaneError> {
        let channel = self.inner.keys.gateway_channel(gateway);
        Ok(self.inner.servers.listeners(&channel).await? > 0)
    }

    /// Takes the lease unless the name is held by another one than `deaf`.
    async fn try_lease(
        &self,
        id: GatewayId,
        name: &GatewayName,
        deaf: Option<GatewayId>,
    ) -> Result<Vec<GatewayId>, LeaseError> {
        let inner = &*self.inner;
        let key = inner.keys.leases();
        let call = |deadline: i64| {
            let mut call = eval(&inner.scripts.lease_open, &[&key]);
            call.arg(deadline)
                .arg(id.to_string())
                .arg(name.as_str())
                .arg(millis(inner.options.lease))
                .arg(deaf.map(|gateway| gateway.to_string()).unwrap_or_default())
                .arg(millis(CLAIM));
            call
        };
        let answer: Vec<Value> =
            inner.servers.script(&key, &inner.scripts.lease_open, call).await?;
        let text = |value: &Value| {
            String::from_redis_value_ref(value).map_err(|error| unexpected("taking a lease", error))
        };
        let gateway = |value: &Value| {
            text(value)?.parse::<GatewayId>().map_err(|error| unexpected("taking a lease", error))
        };
        match &answer[..] {
            [verdict, left_behind @ ..] if text(verdict)? == "held" => {
                Ok(left_behind.iter().map(gateway).collect::<Result<_, _>>()?)
            }
            [verdict, holder, remaining] if text(verdict)? == "taken" => {
                let remaining = u64::from_redis_value_ref(remaining)
                    .map_err(|error| unexpected("taking a lease", error))?;
                Err(LeaseError::NameTaken {
                    name: name.clone(),
                    holder: gateway(holder)?,
                    remaining: Duration::from_millis(remaining),
                })
            }
            _ => Err(unexpected("taking a lease", "neither held nor taken").into()),
        }
    }

    async fn renew_lease(&self, id: GatewayId) -> Result<bool, BackplaneError> {
        let inner = &*self.inner;
        let key = inner.keys.leases();
        let call = |deadline: i64| {
            let mut call = eval(&inner.scripts.lease_renew, &[&key]);
            call.arg(deadline).arg(id.to_string()).arg(millis(inner.options.lease));
            call
        };
        let index = inner.keys.lease_sessions(id);
        let mut prolong = Cmd::new();
        prolong.arg("EXPIRE").arg(&index).arg(INDEX_LIFE.as_secs());
        // The index lives so long that it does not matter whether this one time succeeds.
        let (renewed, _) = tokio::join!(
            inner.servers.script(&key, &inner.scripts.lease_renew, call),
            inner.servers.command::<bool>(&index, prolong),
        );
        renewed
    }
}

/// Renews until the lease turns out to be lost; says so.
async fn renew(
    redis: Redis,
    id: GatewayId,
    lost: Arc<AtomicBool>,
    events: mpsc::Sender<Queued>,
    stop: CancellationToken,
) {
    let every = redis.inner.options.renew_every;
    let mut pause = every;
    loop {
        tokio::time::sleep(pause).await;
        pause = match redis.renew_lease(id).await {
            Ok(true) => every,
            Ok(false) => break,
            Err(error) => {
                tracing::debug!(gateway_id = %id, %error, "lease not renewed");
                every.min(RENEW_AGAIN)
            }
        };
    }
    if lost.swap(true, Ordering::AcqRel) {
        return; // released meanwhile
    }
    metrics::counter!(figures::LEASES_LOST).increment(1);
    tracing::warn!(gateway_id = %id, "lease lost");
    // What was registered before we knew, and after the reaper had passed.
    redis.remove_in_background(id);
    // Fails only if nobody listens any more.
    let _ = events.send(GatewayEvent::LeaseLost.into()).await;
    drop(events);
    stop.cancel();
}

impl RedisGateway {
    pub(crate) fn id(&self) -> GatewayId {
        self.id
    }

    pub(crate) async fn tip(&self, user: &UserId) -> Result<Option<Cursor>, BackplaneError> {
        self.redis.tip(user).await
    }

    pub(crate) async fn read(&self, user: &UserId, since: Since) -> Result<Page, BackplaneError> {
        self.redis.read(user, since, u32::MAX).await
    }

    pub(crate) async fn connect(
        &self,
        user: &UserId,
        session: &SessionRecord,
        since: Since,
        mark: Mark,
    ) -> Result<Page, BackplaneError> {
        if self.lost.load(Ordering::Acquire) {
            return Err(BackplaneError::LeaseLost(self.id));
        }
        let value = wire::encode_session(self.id, session);
        // Both at once. Should only one succeed, the caller hears of the failure and
        // tries again or disconnects; an index entry too many is harmless.
        let (indexed, page) = tokio::join!(
            self.index.enter(user, session.id),
            self.redis.read_and_register(user, since, u32::MAX, Some((session.id, &value, mark))),
        );
        if self.lost.load(Ordering::Acquire) {
            // Nobody else will look for it: the reaper may have passed already, and with the lease
            // ends its index, which may not name the session.
            self.disconnect(&[(user.clone(), session.id)]).await?;
            return Err(BackplaneError::LeaseLost(self.id));
        }
        indexed?;
        page
    }

    pub(crate) async fn disconnect(
        &self,
        sessions: &[(UserId, SessionId)],
    ) -> Result<(), BackplaneError> {
        self.redis.forget(self.id, sessions).await.map(drop)
    }

    pub(crate) async fn audit(&self, sessions: &[Believed]) -> Result<Audit, BackplaneError> {
        let audit = self.redis.audit(self.id, sessions).await;
        if self.lost.load(Ordering::Acquire) {
            return Err(BackplaneError::LeaseLost(self.id));
        }
        audit
    }

    pub(crate) fn redis(&self) -> &Redis {
        &self.redis
    }

    pub(crate) async fn registered(
        &self,
        known: usize,
    ) -> Result<Vec<(UserId, SessionId)>, BackplaneError> {
        self.redis.registered(self.id, known).await
    }

    pub(crate) async fn report(&self, reports: &[Outgoing]) -> Result<Reported, BackplaneError> {
        self.redis.report(reports).await
    }

    pub(crate) async fn release(&self) -> Result<(), BackplaneError> {
        self.lost.store(true, Ordering::Release);
        let released = self.redis.release(self.id).await;
        self.stop.cancel();
        released
    }
}
