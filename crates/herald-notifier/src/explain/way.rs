//! One notice's way to each session, from all that is known: pure.

use std::collections::{HashMap, HashSet};

use herald_backplane::{GoneReason, KeptReport, Receipt, ReceiptState};
use herald_core::{Device, GatewayId, GatewayName, Namespace, SessionId, SessionRecord};
use herald_proto::api::{self, GatewayHearing, SessionPlace, SessionState};

use super::{
    Facts,
    now::{Now, Presence},
};

/// A notice's way to one session.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) session: SessionId,
    pub(super) gateway_name: GatewayName,
    pub(super) namespace: Namespace,
    pub(super) device: Option<Device>,
    pub(super) connected_at_ms: u64,
    /// There if the notice was meant for it.
    pub(super) target: Option<Target>,
    pub(super) lagging_at_ms: Option<u64>,
    pub(super) accepted_at_ms: Option<u64>,
    pub(super) emitted: Option<Emitted>,
    pub(super) acked_at_ms: Option<u64>,
    pub(super) gone: Option<Gone>,
    /// There if it is registered.
    pub(super) now: Option<Presence>,
}

/// What was noted of a target when the notice was accepted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Whether its gateway was listening.
    pub(super) heard: Option<bool>,
    /// When its gateway told of all sessions that it had, by the backplane's clock, and whether this
    /// was one of them.
    pub(super) called: Option<(u64, bool)>,
}

/// That it was handed to the socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Emitted {
    pub(super) at_ms: u64,
    pub(super) replayed: bool,
}

/// That the session ended first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone {
    pub(super) at_ms: u64,
    pub(super) why: Option<GoneReason>,
}

/// The ways to all sessions that are to be told of, in the order they connected.
pub(super) fn all(facts: &Facts) -> Vec<Way> {
    let mut ways: HashMap<SessionId, Way> = HashMap::new();
    let called = roll_calls(&facts.kept.reports);
    let retried = facts.kept.retries.first().map_or(u64::MAX, |retry| retry.at_ms);
    for target in facts.kept.targets.iter().flat_map(|targets| &targets.sessions) {
        let id = target.session.id;
        let called = called.get(&target.session.gateway);
        let called = called.map(|(at_ms, present)| (*at_ms, present.contains(&id)));
        // Who answered before anybody asked again must have heard the first time.
        let answered = called.is_some_and(|(at_ms, _)| at_ms < retried).then_some(true);
        let way = ways.entry(id).or_insert_with(|| Way::of(&target.session));
        way.target = Some(Target { heard: target.heard.or(answered), called });
    }
    for KeptReport { report, .. } in &facts.kept.reports {
        for receipt in &report.receipts {
            ways.entry(receipt.session)
                .or_insert_with(|| Way::of_receipt(&report.gateway_name, receipt))
                .receipt(receipt);
        }
    }
    for (id, Now { session, presence }) in &facts.now {
        ways.entry(*id).or_insert_with(|| Way::of(session)).now = Some(*presence);
    }
    let mut ways: Vec<_> = ways.into_values().collect();
    // Who was only told of it by a retry, is no target, got nothing and is not there any more.
    ways.retain(|way| way.target.is_some() || way.emitted.is_some() || way.now.is_some());
    ways.sort_by_key(|way| (way.connected_at_ms, way.session));
    ways
}

/// The first roll call of each lease: when it was recorded, and who was there.
fn roll_calls(reports: &[KeptReport]) -> HashMap<GatewayId, (u64, HashSet<SessionId>)> {
    let mut called: HashMap<GatewayId, (u64, HashSet<SessionId>)> = HashMap::new();
    for KeptReport { at_ms, report } in reports {
        if let Some(lease) = report.roll_call {
            let present = || report.receipts.iter().map(|receipt| receipt.session).collect();
            called.entry(lease).or_insert_with(|| (*at_ms, present()));
        }
    }
    called
}

impl Way {
    fn of(session: &SessionRecord) -> Self {
        Self {
            session: session.id,
            gateway_name: session.gateway_name.clone(),
            namespace: session.namespace.clone(),
            device: session.device.clone(),
            connected_at_ms: session.connected_at_ms,
            target: None,
            lagging_at_ms: None,
            accepted_at_ms: None,
            emitted: None,
            acked_at_ms: None,
            gone: None,
            now: None,
        }
    }

    fn of_receipt(gateway_name: &GatewayName, receipt: &Receipt) -> Self {
        Self {
            session: receipt.session,
            gateway_name: gateway_name.clone(),
            namespace: receipt.namespace.clone(),
            device: receipt.device.clone(),
            connected_at_ms: receipt.connected_at_ms,
            target: None,
            lagging_at_ms: None,
            accepted_at_ms: None,
            emitted: None,
            acked_at_ms: None,
            gone: None,
            now: None,
        }
    }

    /// The first word on each is the one that was reported as it happened; later ones repeat it.
    fn receipt(&mut self, receipt: &Receipt) {
        let at_ms = receipt.at_ms;
        match receipt.state {
            ReceiptState::Accepted => _ = self.accepted_at_ms.get_or_insert(at_ms),
            ReceiptState::Lagging => _ = self.lagging_at_ms.get_or_insert(at_ms),
            ReceiptState::Emitted => {
                self.emitted.get_or_insert(Emitted { at_ms, replayed: receipt.replayed });
            }
            ReceiptState::Acked => _ = self.acked_at_ms.get_or_insert(at_ms),
            ReceiptState::Gone => _ = self.gone.get_or_insert(Gone { at_ms, why: receipt.gone }),
        }
    }

    /// Whether its gateway is known to have been listening when the notice was accepted.
    pub(super) fn hearing(&self) -> GatewayHearing {
        match self.target.and_then(|target| target.heard) {
            Some(false) => GatewayHearing::Deaf,
            Some(true) => GatewayHearing::Listened,
            None => GatewayHearing::Unknown,
        }
    }

    /// The furthest that the notice came, and when the gateway says it did. An acknowledgement is
    /// the last word, even if it overtook the session's end.
    pub(super) fn state(&self) -> (SessionState, Option<u64>) {
        if let Some(at_ms) = self.acked_at_ms {
            return (SessionState::Acked, Some(at_ms));
        }
        if let Some(gone) = self.gone {
            return (SessionState::Gone, Some(gone.at_ms));
        }
        if let Some(emitted) = self.emitted {
            return (SessionState::Emitted, Some(emitted.at_ms));
        }
        if let Some(at_ms) = self.lagging_at_ms {
            return (SessionState::Lagging, Some(at_ms));
        }
        if let Some(at_ms) = self.accepted_at_ms {
            return (SessionState::Accepted, Some(at_ms));
        }
        let state = match self.target {
            None => SessionState::Unspecified,
            Some(Target { called: Some((_, false)), .. }) => SessionState::Gone,
            Some(Target { heard: Some(false), .. }) => SessionState::Unheard,
            Some(_) => SessionState::Unknown,
        };
        (state, None)
    }

    /// Why it ended, if that is what its state says.
    pub(super) fn gone_reason(&self) -> api::GoneReason {
        let (SessionState::Gone, Some(Gone { why: Some(why), .. })) = (self.state().0, self.gone)
        else {
            return api::GoneReason::Unspecified;
        };
        match why {
            GoneReason::ClientLeft => api::GoneReason::ClientLeft,
            GoneReason::ConnectionLost => api::GoneReason::ConnectionLost,
            GoneReason::Silent => api::GoneReason::Silent,
            GoneReason::TokenExpired => api::GoneReason::TokenExpired,
            GoneReason::Kicked => api::GoneReason::Kicked,
            GoneReason::Evicted => api::GoneReason::Evicted,
            GoneReason::Purged => api::GoneReason::Purged,
            GoneReason::Lagging => api::GoneReason::Lagging,
            GoneReason::GatewayEnded => api::GoneReason::GatewayEnded,
            GoneReason::Unregistered => api::GoneReason::Unregistered,
        }
    }

    /// Where the session stands now, seen from the notice.
    pub(super) fn place(&self, facts: &Facts) -> SessionPlace {
        let stands = match self.now {
            None | Some(Presence::Left) => return SessionPlace::NotConnected,
            Some(Presence::Silent { .. }) => return SessionPlace::NoAnswer,
            Some(Presence::Stands(place)) => place,
        };
        let (Some(inbox), Some(began)) = (facts.found.inbox, stands.began) else {
            return SessionPlace::Before;
        };
        let notice = facts.place.position;
        let is_of_it = stands.at.epoch == inbox.epoch && began.epoch == inbox.epoch;
        if self.emitted.is_some() || self.acked_at_ms.is_some() {
            SessionPlace::Passed
        } else if is_of_it && began.place.position >= notice {
            SessionPlace::BeganAfter
        } else if is_of_it && stands.at.place.position >= notice {
            SessionPlace::Passed
        } else {
            SessionPlace::Before
        }
    }
}
