//! The backplane inside one process, for `herald dev` and for tests. It keeps
//! every promise of [`crate::port`]; it only does not outlive the process.
//!
//! Everything stands behind one lock that is never held across an await: that
//! makes each operation the one atomic step that the contract asks for.

mod audit;
mod channel;
mod clock;
mod ending;
mod inbox;
mod keys;
mod leases;
mod places;
mod receipts;
mod registry;
mod resolve;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use herald_core::{
    Cursor, GatewayId, GatewayName, InboxLimits, Notice, Place, SessionId, SessionRecord, UserId,
    VolatileId,
};
use tokio::sync::watch;

use self::{
    channel::Channel,
    clock::Now,
    inbox::{Incoming, millis},
    leases::{Lease, Leases},
    receipts::Notifiers,
    registry::Registry,
};
use crate::{
    Announced, Audit, BackplaneError, BackplaneOptions, Believed, Dispatched, GatewayEvent,
    GatewayEvents, Health, LeaseError, Mark, Page, Presence, Reaped, ReceiptsWanted, Sent, Since,
    Terms, VolatileNotice,
    events::Queued,
    wire::{self, Stored},
};

/// Records that one round of reaping looks at to free their memory.
const SWEEP: usize = 1_000;

/// Registry, inboxes and channels in this process. Clones share everything.
#[derive(Clone)]
pub struct Memory {
    inner: Arc<Inner>,
}

struct Inner {
    limits: InboxLimits,
    key_age_ms: u64,
    inline_bytes: usize,
    channel_capacity: usize,
    health: watch::Sender<Health>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    registry: Registry,
    leases: Leases,
    notifiers: Notifiers,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Memory {
    /// An empty one. Of the options, those about addresses, renewal and
    /// deadlines mean nothing here.
    #[must_use]
    pub fn new(options: &BackplaneOptions) -> Self {
        let state = State {
            registry: Registry::new(options.inbox),
            leases: Leases::new(options.lease),
            notifiers: Notifiers::default(),
        };
        let inner = Inner {
            limits: options.inbox,
            key_age_ms: millis(options.key_age),
            inline_bytes: options.inline_bytes,
            channel_capacity: options.channel_capacity,
            health: watch::Sender::new(Health::Ready),
            state: Mutex::new(state),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Always [`Health::Ready`].
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.inner.health.subscribe()
    }

    /// See [`crate::Backplane::gateway`].
    ///
    /// # Errors
    /// [`LeaseError::NameTaken`] only.
    pub fn gateway(
        &self,
        name: &GatewayName,
    ) -> Result<(MemoryGateway, GatewayEvents), LeaseError> {
        let mut state = self.state();
        if let Some(left) = state.leases.left_by(name)? {
            state.fence(left, Now::read());
        }
        let id = GatewayId::random();
        let (channel, events) = Channel::open(id, self.inner.channel_capacity);
        state.leases.add(id, name, channel);
        Ok((MemoryGateway { held: Arc::new(Held { memory: self.clone(), id }) }, events))
    }

    /// Takes a lease away as a reaper would that found it lapsed: its sessions
    /// go, its holder hears [`crate::GatewayEvent::LeaseLost`]. Here no lease can lapse
    /// while its holder exists, so this is how a service is tried against it.
    /// Returns whether there was such a lease.
    pub fn fence(&self, gateway: GatewayId) -> bool {
        self.state().fence(gateway, Now::read()).is_some()
    }

    /// See [`crate::NotifierPort::dispatch`].
    ///
    /// # Errors
    /// [`BackplaneError::Unusable`] for a notice that cannot be stored, and
    /// [`BackplaneError::KeyUsed`].
    pub fn dispatch(
        &self,
        user: &UserId,
        notice: &Notice,
        terms: &Terms,
    ) -> Result<Dispatched, BackplaneError> {
        let now = Now::read();
        let key = terms.key.as_ref().map(|key| (key, wire::digest(notice, terms.ttl)));
        let receipts = terms.receipts;
        let mut stored = wire::encode_notice(notice, receipts);
        if let Some(ttl) = terms.ttl {
            wire::append_expiry(&mut stored, now.ms.saturating_add(millis(ttl)));
        }
        let size = stored.len();
        // A copy of its own: the sender's may be a slice of a much larger request.
        let Stored { notice, expires_at_ms, .. } = wire::decode_notice(stored.into())?;
        let announced = (size <= self.inner.inline_bytes).then(|| notice.clone());
        let (size, random) = (size as u64, rand::random());
        let incoming = Incoming { notice, expires_at_ms, size, random, receipts };

        let mut state = self.state();
        let State { registry, leases, .. } = &mut *state;
        let record = registry.active(user, now);
        let before = record.inbox.tip();
        let (epoch, at_ms) = (before.epoch, now.ms);
        if let Some((key, digest)) = &key
            && let Some(used) = record.keys.find(key, now.ms, self.inner.key_age_ms)
        {
            if used.digest != *digest {
                return Err(BackplaneError::KeyUsed);
            }
            // Whoever lacks it does not stand at its own position, and reads.
            let (place, user) = (used.place, user.clone());
            let again = announcement(user, place, place, None, receipts);
            let targets = leases.tell_owners(record, || Queued::notice(again.clone(), 0));
            if receipts.is_some_and(|receipts| receipts.acks) {
                record.receipts.keep_retry(place, &targets, at_ms, &self.inner.limits);
            }
            return Ok(Dispatched { place, epoch, duplicate: true, at_ms, targets });
        }
        let place = record.inbox.append(incoming, now.ms, &self.inner.limits);
        if let Some((key, digest)) = key {
            let times = (now.ms, self.inner.key_age_ms);
            let most = self.inner.limits.notices as usize;
            record.keys.keep(key.clone(), (place, digest), times, most);
        }

        let announced = announcement(user.clone(), place, before.place, announced, receipts);
        let targets =
            leases.tell_owners(record, || Queued::notice(announced.clone(), expires_at_ms));
        if receipts.is_some_and(|receipts| receipts.acks) {
            record.receipts.keep_targets(place, &targets, now.ms, &self.inner.limits);
        }
        Ok(Dispatched { place, epoch, duplicate: false, at_ms, targets })
    }

    /// See [`crate::NotifierPort::send_volatile`].
    ///
    /// # Errors
    /// [`BackplaneError::Unusable`] for a notice that cannot be sent.
    pub fn send_volatile(&self, user: &UserId, notice: &Notice) -> Result<Sent, BackplaneError> {
        let now = Now::read();
        let volatile = volatile(notice, now)?;
        let mut state = self.state();
        let State { registry, leases, .. } = &mut *state;
        let targets = registry.get(user, now).map(|record| {
            let event = || GatewayEvent::Volatile(user.clone(), volatile.clone()).into();
            leases.tell_owners(record, event)
        });
        Ok(Sent { id: volatile.id, at_ms: now.ms, targets: targets.unwrap_or_default() })
    }

    /// See [`crate::NotifierPort::broadcast`].
    ///
    /// # Errors
    /// [`BackplaneError::Unusable`] for a notice that cannot be sent.
    pub fn broadcast(&self, notice: &Notice) -> Result<usize, BackplaneError> {
        let now = Now::read();
        let volatile = volatile(notice, now)?;
        let event = || GatewayEvent::Broadcast(volatile.clone()).into();
        Ok(self.state().leases.tell_all(now.instant, event))
    }

    /// See [`crate::NotifierPort::read`].
    ///
    /// # Errors
    /// None here.
    pub fn read(
        &self,
        user: &UserId,
        since: Since,
        max_notices: u32,
    ) -> Result<Page, BackplaneError> {
        let now = Now::read();
        let mut state = self.state();
        Ok(match state.registry.trimmed(user, now) {
            Some(record) => record.inbox.page(since, max_notices, now.ms, &self.inner.limits),
            None => Page::of_nobody(since),
        })
    }

    /// Removes a session from its user's registry behind its gateway's back, as
    /// lost data would. This is how a service is tried against it. Returns
    /// whether there was such a session.
    pub fn lose_registration(&self, user: &UserId, session: SessionId) -> bool {
        let now = Now::read();
        let mut state = self.state();
        let registered = state.registry.get(user, now).and_then(|user| user.sessions.get(&session));
        let Some(gateway) = registered.map(|session| session.gateway) else { return false };
        state.registry.remove_session(user, session, gateway, now)
    }

    /// See [`crate::NotifierPort::presence`].
    #[must_use]
    pub fn presence(&self, users: &[UserId]) -> Vec<Presence> {
        let now = Now::read();
        let state = self.state();
        let of = |user: &UserId| {
            let sessions = state
                .registry
                .get(user, now)
                .into_iter()
                .flat_map(|record| record.sessions.values());
            let alive =
                sessions.filter(|session| state.leases.is_alive(session.gateway, now.instant));
            let mut sessions: Vec<_> = alive.cloned().collect();
            sessions.sort_by_key(|session| (session.connected_at_ms, session.id));
            Presence { user: user.clone(), sessions }
        };
        users.iter().map(of).collect()
    }

    /// See [`crate::NotifierPort::reap`]. A lease begins to lapse in this very
    /// process, so that whoever sees it lapsed has been healthy for as long.
    #[must_use]
    pub fn reap(&self) -> Reaped {
        let now = Now::read();
        let mut state = self.state();
        state.registry.sweep(now, SWEEP);
        let mut reaped = Reaped::default();
        for id in state.leases.lapsed(now.instant) {
            reaped.leases += 1;
            reaped.sessions += state.fence(id, now).unwrap_or_default();
        }
        reaped
    }

    /// A panic elsewhere under the lock does not make the state unusable: no
    /// operation leaves it half-changed where it could panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn announcement(
    user: UserId,
    place: Place,
    previous: Place,
    notice: Option<Notice>,
    receipts: Option<ReceiptsWanted>,
) -> Announced {
    Announced {
        user,
        place,
        previous: previous.position,
        previous_random: Some(previous.random),
        notice,
        receipts,
    }
}

/// With a copy of its own: the sender's may be a slice of a much larger request.
fn volatile(notice: &Notice, now: Now) -> Result<VolatileNotice, BackplaneError> {
    let Stored { notice, .. } = wire::decode_notice(wire::encode_notice(notice, None).into())?;
    Ok(VolatileNotice { id: VolatileId::random(), sent_at_ms: now.ms, notice })
}

impl State {
    /// Takes a lease away from its holder; returns how many sessions went with it.
    fn fence(&mut self, id: GatewayId, now: Now) -> Option<usize> {
        let mut lease = self.leases.remove(id)?;
        lease.lose();
        Some(self.remove_sessions(id, &lease, now))
    }

    fn remove_sessions(&mut self, id: GatewayId, lease: &Lease, now: Now) -> usize {
        let of_it = |(user, session): &&(UserId, SessionId)| {
            self.registry.remove_session(user, *session, id, now)
        };
        lease.sessions.iter().filter(of_it).count()
    }
}

/// A lease in memory and what can be done under it. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryGateway {
    held: Arc<Held>,
}

/// The hold on a lease; dropping it leaves the lease to lapse.
#[derive(Debug)]
struct Held {
    memory: Memory,
    id: GatewayId,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.state().leases.leave(self.id, Now::read().instant);
    }
}

impl MemoryGateway {
    /// See [`crate::GatewayPort::id`].
    #[must_use]
    pub fn id(&self) -> GatewayId {
        self.held.id
    }

    /// See [`crate::GatewayPort::tip`].
    #[must_use]
    pub fn tip(&self, user: &UserId) -> Option<Cursor> {
        self.state().registry.get(user, Now::read()).map(|record| record.inbox.tip())
    }

    /// See [`crate::GatewayPort::register`].
    ///
    /// # Errors
    /// [`BackplaneError::LeaseLost`] and [`BackplaneError::SessionEnded`] only.
    pub fn connect(
        &self,
        user: &UserId,
        session: &SessionRecord,
        since: Since,
        mark: Mark,
    ) -> Result<Page, BackplaneError> {
        let id = self.id();
        let limits = &self.held.memory.inner.limits;
        let now = Now::read();
        let mut state = self.state();
        let State { registry, leases, .. } = &mut *state;
        let lease = leases.get_mut(id).ok_or(BackplaneError::LeaseLost(id))?;
        let record = registry.active(user, now);
        if !record.endings.allow(session.id, mark) {
            return Err(BackplaneError::SessionEnded);
        }
        lease.sessions.insert((user.clone(), session.id));
        let registered = SessionRecord { gateway: id, ..session.clone() };
        let replaced = record.sessions.insert(session.id, registered);
        if let Some(other) = replaced.filter(|replaced| replaced.gateway != id)
            && let Some(lease) = leases.get_mut(other.gateway)
        {
            lease.sessions.remove(&(user.clone(), session.id));
        }
        Ok(record.inbox.page(since, limits.page_notices, now.ms, limits))
    }

    /// See [`crate::GatewayPort::disconnect`].
    pub fn disconnect(&self, sessions: &[(UserId, SessionId)]) {
        let id = self.id();
        let now = Now::read();
        let mut state = self.state();
        let State { registry, leases, .. } = &mut *state;
        let Some(lease) = leases.get_mut(id) else { return };
        for key in sessions {
            lease.sessions.remove(key);
            registry.remove_session(&key.0, key.1, id, now);
        }
    }

    /// See [`crate::GatewayPort::read`].
    ///
    /// # Errors
    /// None here.
    pub fn read(&self, user: &UserId, since: Since) -> Result<Page, BackplaneError> {
        self.held.memory.read(user, since, u32::MAX)
    }

    /// See [`crate::GatewayPort::audit`].
    ///
    /// # Errors
    /// [`BackplaneError::LeaseLost`] only.
    pub fn audit(&self, sessions: &[Believed]) -> Result<Audit, BackplaneError> {
        self.state().audit(self.id(), sessions, Now::read())
    }

    /// See [`crate::GatewayPort::registered`].
    #[must_use]
    pub fn registered(&self, known: usize) -> Vec<(UserId, SessionId)> {
        let state = self.state();
        let lease = state.leases.get(self.id()).filter(|lease| lease.sessions.len() > known);
        lease.map_or_else(Vec::new, |lease| lease.sessions.iter().cloned().collect())
    }

    /// See [`crate::GatewayPort::release`].
    pub fn release(&self) {
        let id = self.id();
        let mut state = self.state();
        if let Some(lease) = state.leases.remove(id) {
            state.remove_sessions(id, &lease, Now::read());
        }
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.held.memory
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.held.memory.state()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use herald_core::{EventName, Namespace, Payload, Transport};

    use super::*;

    pub(super) fn session(gateway: GatewayId) -> SessionRecord {
        SessionRecord {
            id: SessionId::random(),
            gateway,
            gateway_name: GatewayName::new("gw:1").unwrap(),
            namespace: Namespace::new("/notice").unwrap(),
            socket_id: "socket".into(),
            connected_at_ms: 1,
            transport: Transport::WebSocket,
            user_agent: None,
            device: None,
        }
    }

    #[test]
    fn a_panic_under_the_lock_does_not_stop_the_others() {
        let memory = Memory::new(&BackplaneOptions::default());
        let other = memory.clone();
        let panicked = std::thread::spawn(move || {
            let _state = other.state();
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        let name = GatewayName::new("gw:1").unwrap();
        assert!(memory.gateway(&name).is_ok());
    }

    #[test]
    fn a_kept_notice_does_not_hold_on_to_the_request_it_came_in() {
        let memory = Memory::new(&BackplaneOptions::default());
        let request = Bytes::from(format!("{}null", " ".repeat(1 << 20)));
        let notice = Notice {
            event: EventName::notice(),
            payload: Payload::from_trusted(request.slice(1 << 20..)),
            traceparent: None,
        };
        let user = UserId::new("alice").unwrap();
        memory.dispatch(&user, &notice, &Terms::default()).unwrap();
        drop(notice);
        assert!(request.try_into_mut().is_ok(), "nobody else refers to it");
        let page = memory.read(&user, Since::Start, 1).unwrap();
        assert_eq!(page.notices[0].notice.payload.bytes(), "null");
    }
}
