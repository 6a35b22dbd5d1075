//! Comparing what a gateway believes with what stands here.

use herald_core::{Cursor, Epoch, GatewayId, Place};

use super::{State, clock::Now};
use crate::{Audit, BackplaneError, Believed, Finding};

impl State {
    /// A record with a session is never forgotten, so nothing has to be refreshed.
    pub(super) fn audit(
        &self,
        gateway: GatewayId,
        sessions: &[Believed],
        now: Now,
    ) -> Result<Audit, BackplaneError> {
        let lease = self.leases.get(gateway).ok_or(BackplaneError::LeaseLost(gateway))?;
        let compare = |(nth, believed): (usize, &Believed)| {
            let Believed { user, session, cursor } = believed;
            let record = self.registry.get(user, now);
            let registered = record
                .and_then(|record| record.sessions.get(session))
                .is_some_and(|session| session.gateway == gateway)
                && lease.sessions.contains(&(user.clone(), *session));
            let nobody = Cursor { epoch: Epoch(0), place: Place::ZERO };
            let tip = record.map_or(nobody, |record| record.inbox.tip());
            (!registered || tip != *cursor).then_some(Finding { nth, registered, tip })
        };
        let findings = sessions.iter().enumerate().filter_map(compare).collect();
        Ok(Audit { findings, ..Audit::default() })
    }
}
