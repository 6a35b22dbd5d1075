//! Where a notice stands in its inbox, and where sessions do.

use herald_core::{Place, UserId};

use super::{Memory, State, clock::Now};
use crate::{BackplaneError, Found, GatewayEvent, Places, ReceiptsWanted, Target};

impl Memory {
    /// See [`crate::NotifierPort::find`].
    ///
    /// # Errors
    /// None here.
    pub fn find(&self, user: &UserId, place: Place) -> Result<Found, BackplaneError> {
        let now = Now::read();
        let mut state = self.state();
        let record = state.registry.trimmed(user, now);
        Ok(Found {
            at_ms: now.ms,
            inbox: record.map(|record| record.inbox.state()),
            notice: record.and_then(|record| record.inbox.find(place)),
            ended_at_ms: record.map_or(0, |record| record.endings.mark().0),
        })
    }

    /// See [`crate::NotifierPort::ask_places`].
    #[must_use]
    pub fn ask_places(&self, user: &UserId, to: ReceiptsWanted) -> Vec<Target> {
        let mut state = self.state();
        let State { registry, leases, .. } = &mut *state;
        registry.get(user, Now::read()).map_or_else(Vec::new, |record| {
            leases.tell_owners(record, || GatewayEvent::AskPlaces(user.clone(), to).into())
        })
    }

    pub(crate) fn tell_places(&self, to: ReceiptsWanted, places: &Places) -> bool {
        self.state().notifiers.tell_places(to, places)
    }
}
