//! Removing sessions: those of a gateway that left, and what lapsed leases left behind.

use std::{collections::HashMap, time::Duration};

use herald_core::{GatewayId, SessionId, UserId};
use redis::Cmd;

use super::{Redis, error::unexpected, eval, hiccup, millis};
use crate::{BackplaneError, Reaped};

/// How long a reaper has a lease to itself.
pub(super) const CLAIM: Duration = Duration::from_secs(10);

/// Leases taken on in one round.
const LEASES_AT_ONCE: usize = 16;

/// Sessions removed in one step.
const SESSIONS_AT_ONCE: usize = 256;

impl Redis {
    pub(crate) async fn reap(&self) -> Result<Reaped, BackplaneError> {
        // In an outage nobody could renew: give everybody a whole lease after it.
        let healthy_for = self.inner.servers.healthy_for(&self.inner.keys.leases());
        if healthy_for < self.inner.options.lease {
            return Ok(Reaped::default());
        }
        let mut reaped = Reaped::default();
        for gateway in self.claim(None).await? {
            reaped.sessions += self.remove_lease(gateway).await?;
            reaped.leases += 1;
        }
        Ok(reaped)
    }

    /// Gives a lease back with everything that is registered under it.
    pub(super) async fn release(&self, gateway: GatewayId) -> Result<(), BackplaneError> {
        self.claim(Some(gateway)).await?;
        self.remove_lease(gateway).await?;
        Ok(())
    }

    async fn claim(&self, only: Option<GatewayId>) -> Result<Vec<GatewayId>, BackplaneError> {
        let inner = &*self.inner;
        // A question that Redis takes up late finds leases lapsed that nobody could renew.
        let early = match only {
            Some(_) => Duration::ZERO,
            None => inner.options.call_deadline.saturating_sub(hiccup(inner.options.lease)),
        };
        let key = inner.keys.leases();
        let call = |deadline: i64| {
            let mut call = eval(&inner.scripts.lease_claim, &[&key]);
            call.arg(deadline.saturating_sub_unsigned(millis(early)))
                .arg(millis(CLAIM))
                .arg(LEASES_AT_ONCE)
                .arg(only.map(|gateway| gateway.to_string()).unwrap_or_default());
            call
        };
        let claimed: Vec<String> =
            inner.servers.script(&key, &inner.scripts.lease_claim, call).await?;
        claimed
            .iter()
            .map(|gateway| gateway.parse().map_err(|error| unexpected("claiming a lease", error)))
            .collect()
    }

    /// Removes the sessions of a fenced lease, then the lease. Safe to repeat
    /// from wherever it failed. Gives the number of sessions.
    pub(super) async fn remove_lease(&self, gateway: GatewayId) -> Result<usize, BackplaneError> {
        let index = self.inner.keys.lease_sessions(gateway);
        let mut removed = 0;
        loop {
            let mut some = Cmd::new();
            some.arg("HRANDFIELD").arg(&index).arg(SESSIONS_AT_ONCE).arg("WITHVALUES");
            let some: Vec<(String, String)> = self.inner.servers.rare_command(&index, some).await?;
            if some.is_empty() {
                break;
            }
            let sessions = some.iter().map(indexed).collect::<Result<Vec<_>, _>>()?;
            removed += self.forget(gateway, &sessions).await?;
        }
        let leases = self.inner.keys.leases();
        let mut drop_lease = Cmd::new();
        drop_lease.arg("HDEL").arg(&leases).arg(gateway.to_string());
        self.inner.servers.rare_command::<()>(&leases, drop_lease).await?;
        Ok(removed)
    }

    /// Removes sessions of one lease from their users' registries, then from the
    /// lease's index: what fails in between is found again by the index. Gives how many
    /// still stood under the lease.
    pub(super) async fn forget(
        &self,
        gateway: GatewayId,
        sessions: &[(UserId, SessionId)],
    ) -> Result<usize, BackplaneError> {
        let mut removed = 0;
        for sessions in sessions.chunks(SESSIONS_AT_ONCE) {
            let mut by_user: HashMap<&UserId, Vec<SessionId>> = HashMap::new();
            for (user, session) in sessions {
                by_user.entry(user).or_default().push(*session);
            }
            let removals =
                by_user.into_iter().map(|(user, sessions)| self.forget_of(gateway, user, sessions));
            removed += futures_util::future::try_join_all(removals).await?.iter().sum::<usize>();
            let index = self.inner.keys.lease_sessions(gateway);
            let mut unindex = Cmd::new();
            unindex
                .arg("HDEL")
                .arg(&index)
                .arg(sessions.iter().map(|(_, session)| session.to_string()).collect::<Vec<_>>());
            self.inner.servers.command::<()>(&index, unindex).await?;
        }
        Ok(removed)
    }

    async fn forget_of(
        &self,
        gateway: GatewayId,
        user: &UserId,
        sessions: Vec<SessionId>,
    ) -> Result<usize, BackplaneError> {
        let inner = &*self.inner;
        let key = inner.keys.sessions(user);
        let call = |_| {
            let mut call = eval(&inner.scripts.forget, &[&key]);
            call.arg(gateway.to_string());
            for session in &sessions {
                call.arg(session.to_string());
            }
            call
        };
        inner.servers.script(&key, &inner.scripts.forget, call).await
    }
}

/// An entry of a lease's index.
pub(super) fn indexed(
    (session, user): &(String, String),
) -> Result<(UserId, SessionId), BackplaneError> {
    let user = UserId::new(user).map_err(|error| unexpected("a lease's sessions", error))?;
    let session = session.parse().map_err(|error| unexpected("a lease's sessions", error))?;
    Ok((user, session))
}
