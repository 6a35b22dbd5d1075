//! Leases of gateways.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use herald_core::{GatewayId, GatewayName, SessionId, UserId};

use super::{channel::Channel, registry::UserState};
use crate::{LeaseError, Target, events::Queued};

/// One lease. Its holder lives in this process, so that it needs no renewing:
/// it is good while the holder exists, and for `Leases::length` after that.
#[derive(Debug)]
pub(super) struct Lease {
    name: GatewayName,
    /// Gone with its holder.
    channel: Option<Channel>,
    /// When the holder went away without giving the lease back.
    left_at: Option<Instant>,
    pub(super) sessions: HashSet<(UserId, SessionId)>,
}

impl Lease {
    fn is_heard(&self) -> bool {
        self.channel.as_ref().is_some_and(Channel::is_heard)
    }

    /// Says to its holder, if it still is there, that it was taken away.
    pub(super) fn lose(&mut self) {
        if let Some(channel) = self.channel.take() {
            channel.lose();
        }
    }
}

/// All leases that were neither given back nor taken away.
#[derive(Debug)]
pub(super) struct Leases {
    length: Duration,
    held: HashMap<GatewayId, Lease>,
    names: HashMap<GatewayName, GatewayId>,
}

impl Leases {
    pub(super) fn new(length: Duration) -> Self {
        Self { length, held: HashMap::new(), names: HashMap::new() }
    }

    /// The lease that `name` left behind and that its successor has to fence.
    ///
    /// # Errors
    /// [`LeaseError::NameTaken`] if its holder is there and listens.
    pub(super) fn left_by(&self, name: &GatewayName) -> Result<Option<GatewayId>, LeaseError> {
        let Some(&holder) = self.names.get(name) else { return Ok(None) };
        if self.held.get(&holder).is_some_and(Lease::is_heard) {
            return Err(LeaseError::NameTaken {
                name: name.clone(),
                holder,
                remaining: self.length,
            });
        }
        Ok(Some(holder))
    }

    /// Adds one under a name that nothing is left under.
    pub(super) fn add(&mut self, id: GatewayId, name: &GatewayName, channel: Channel) {
        let lease = Lease {
            name: name.clone(),
            channel: Some(channel),
            left_at: None,
            sessions: HashSet::new(),
        };
        self.held.insert(id, lease);
        self.names.insert(name.clone(), id);
    }

    pub(super) fn get(&self, id: GatewayId) -> Option<&Lease> {
        self.held.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: GatewayId) -> Option<&mut Lease> {
        self.held.get_mut(&id)
    }

    /// Takes the lease out; its sessions are the caller's to remove.
    pub(super) fn remove(&mut self, id: GatewayId) -> Option<Lease> {
        let lease = self.held.remove(&id)?;
        self.names.remove(&lease.name);
        Some(lease)
    }

    /// The holder is gone: nobody listens any more, and the lease starts to lapse.
    pub(super) fn leave(&mut self, id: GatewayId, now: Instant) {
        if let Some(lease) = self.held.get_mut(&id) {
            lease.channel = None;
            lease.left_at = Some(now);
        }
    }

    /// Whether the lease is good.
    pub(super) fn is_alive(&self, id: GatewayId, now: Instant) -> bool {
        self.held.get(&id).is_some_and(|lease| !self.is_lapsed(lease, now))
    }

    /// The leases that are to be reaped.
    pub(super) fn lapsed(&self, now: Instant) -> Vec<GatewayId> {
        self.held
            .iter()
            .filter(|(_, lease)| self.is_lapsed(lease, now))
            .map(|(&id, _)| id)
            .collect()
    }

    fn is_lapsed(&self, lease: &Lease, now: Instant) -> bool {
        lease.left_at.is_some_and(|left_at| now.saturating_duration_since(left_at) >= self.length)
    }

    /// Tells each gateway that owns a session of the user, once; gives the sessions.
    pub(super) fn tell_owners(
        &mut self,
        user: &UserState,
        event: impl Fn() -> Queued,
    ) -> Vec<Target> {
        let mut told: Vec<(GatewayId, bool)> = Vec::new();
        let targets = user.sessions.values().map(|session| {
            let known = told.iter().find(|(gateway, _)| *gateway == session.gateway);
            let heard = known.map(|(_, heard)| *heard).unwrap_or_else(|| {
                let heard = self.tell(session.gateway, event());
                told.push((session.gateway, heard));
                heard
            });
            Target { session: session.clone(), heard }
        });
        targets.collect()
    }

    /// Tells every gateway whose lease is good; gives how many of them listen.
    pub(super) fn tell_all(&mut self, now: Instant, event: impl Fn() -> Queued) -> usize {
        let alive: Vec<_> =
            self.held.keys().copied().filter(|id| self.is_alive(*id, now)).collect();
        alive.into_iter().filter(|id| self.tell(*id, event())).count()
    }

    /// Tells one gateway and returns whether it listens.
    pub(super) fn tell(&mut self, id: GatewayId, event: Queued) -> bool {
        let channel = self.held.get_mut(&id).and_then(|lease| lease.channel.as_mut());
        channel.is_some_and(|channel| channel.tell(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(10);
    const ID: GatewayId = GatewayId(1);

    fn held() -> (Leases, crate::GatewayEvents, GatewayName) {
        let mut leases = Leases::new(LENGTH);
        let name = GatewayName::new("gw:1").unwrap();
        let (channel, events) = Channel::open(ID, 1);
        leases.add(ID, &name, channel);
        (leases, events, name)
    }

    #[test]
    fn a_lease_lapses_one_length_after_its_holder_went_and_not_before() {
        let (mut leases, _events, _) = held();
        let now = Instant::now();
        assert!(leases.is_alive(ID, now + 100 * LENGTH));
        leases.leave(ID, now);
        let last = now + LENGTH - Duration::from_millis(1);
        assert!(leases.is_alive(ID, last));
        assert_eq!(leases.lapsed(last), []);
        assert!(!leases.is_alive(ID, now + LENGTH));
        assert_eq!(leases.lapsed(now + LENGTH), [ID]);
    }

    #[test]
    fn a_name_is_taken_only_while_somebody_listens() {
        let (mut leases, events, name) = held();
        assert!(
            matches!(leases.left_by(&name), Err(LeaseError::NameTaken { holder, .. }) if holder == ID)
        );
        drop(events);
        assert_eq!(leases.left_by(&name).unwrap(), Some(ID));
        leases.remove(ID);
        assert_eq!(leases.left_by(&name).unwrap(), None);
    }
}
