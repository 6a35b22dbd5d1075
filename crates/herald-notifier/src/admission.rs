//! How many calls may be under way.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    accept::Peer,
    call::Protocol,
    callers::{Caller, Callers},
    error::Error,
    metrics::Metrics,
};

/// Bounds the calls under way, over both protocols together. Asked before a call's message is
/// read, so that it bounds memory too. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    limit: usize,
    metrics: Metrics,
}

/// Who may call, and its place.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) permit: Permit,
}

/// One call's place, free again when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Permit(Arc<Place>);

#[derive(Debug)]
struct Place {
    _permit: OwnedSemaphorePermit,
    protocol: Protocol,
    since: Instant,
    metrics: Metrics,
}

impl Admission {
    /// At most `limit` calls.
    pub(crate) fn new(limit: usize, metrics: Metrics) -> Self {
        Self { places: Arc::new(Semaphore::new(limit)), limit, metrics }
    }

    /// Lets a call in of which only the head is there.
    pub(crate) fn let_in(
        &self,
        protocol: Protocol,
        callers: &Callers,
        authorization: Option<&[u8]>,
        peer: Option<&Peer>,
    ) -> Result<Admitted, Error> {
        let caller = callers.identify(protocol, authorization, peer)?;
        Ok(Admitted { caller, permit: self.admit(protocol)? })
    }

    /// A place for one call; never waits, since a queue would only make everybody late.
    pub(crate) fn admit(&self, protocol: Protocol) -> Result<Permit, Error> {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => {
                self.metrics.calls_in_flight(protocol).increment(1.0);
                let (since, metrics) = (Instant::now(), self.metrics.clone());
                Ok(Permit(Arc::new(Place { _permit: permit, protocol, since, metrics })))
            }
            Err(_) => {
                self.metrics.busy(protocol);
                Err(Error::Busy { limit: self.limit })
            }
        }
    }

    /// Calls under way now.
    pub(crate) fn in_flight(&self) -> usize {
        self.limit - self.places.available_permits()
    }
}

impl Permit {
    /// When the call was admitted: its head was there, its message perhaps not yet.
    pub(crate) fn since(&self) -> Instant {
        self.0.since
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.calls_in_flight(self.protocol).decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_calls_are_refused_and_a_place_comes_back() {
        let admission = Admission::new(1, Metrics::new());
        let first = admission.admit(Protocol::Grpc).unwrap();
        let clone = first.clone();
        drop(first);
        assert!(matches!(admission.admit(Protocol::Http), Err(Error::Busy { limit: 1 })));
        assert_eq!(admission.in_flight(), 1);
        drop(clone);
        assert_eq!(admission.in_flight(), 0);
        assert!(admission.admit(Protocol::Http).is_ok());
    }
}
