//! What is known of one notice's way, and whether that is what its sender waits for: pure.
//!
//! Reports may come before the targets are known, from several gateways, and in any order between
//! them; what is known of a session only ever goes forward, so none of that matters.

use std::collections::{HashMap, HashSet};

use herald_backplane::{Kept, KeptReport, Receipt, ReceiptState, Report, Target};
use herald_core::{Device, GatewayId, GatewayName, Namespace, SessionId};
use herald_proto::api::{Outcome, SessionState};

/// Sessions looked at for one notice; what is reported of others is left out.
const SESSIONS: usize = 1_000;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// At least one session was handed the notice.
    Emitted,
    /// At least one acknowledged it.
    AckedAny,
    /// All targets acknowledged it.
    AckedAll,
}

impl Goal {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 3] = [Self::Emitted, Self::AckedAny, Self::AckedAll];

    /// Whether clients have to acknowledge.
    pub(crate) fn needs_acks(self) -> bool {
        self != Self::Emitted
    }

    /// Its name in figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Emitted => "emitted",
            Self::AckedAny => "acked_any",
            Self::AckedAll => "acked_all",
        }
    }
}

/// One session, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) session: SessionId,
    pub(crate) gateway_name: GatewayName,
    pub(crate) namespace: Namespace,
    pub(crate) device: Option<Device>,
    pub(crate) connected_at_ms: u64,
    /// Its lease, and whether that was listening; of who was looked up.
    target: Option<(GatewayId, bool)>,
    state: Option<ReceiptState>,
    /// Whether it was handed over, whatever came after.
    emitted: bool,
    /// When the state was seen; when it was looked up if there is none.
    pub(crate) at_ms: u64,
}

impl Seen {
    fn advance(&mut self, state: ReceiptState, at_ms: u64) {
        self.emitted |= matches!(state, ReceiptState::Emitted | ReceiptState::Acked);
        if self.state.is_none_or(|known| rank(known) < rank(state)) {
            (self.state, self.at_ms) = (Some(state), at_ms);
        }
    }

    fn is(&self, state: ReceiptState) -> bool {
        self.state == Some(state)
    }

    /// What to answer of it. At the end of a wait, who has said nothing is unknown.
    pub(crate) fn state(&self, at_the_end: bool) -> SessionState {
        match (self.state, self.target) {
            (Some(ReceiptState::Accepted), _) => SessionState::Accepted,
            (Some(ReceiptState::Lagging), _) => SessionState::Lagging,
            (Some(ReceiptState::Emitted), _) => SessionState::Emitted,
            (Some(ReceiptState::Acked), _) => SessionState::Acked,
            (Some(ReceiptState::Gone), _) => SessionState::Gone,
            (None, Some((_, false))) => SessionState::Unheard,
            (None, _) if at_the_end => SessionState::Unknown,
            (None, _) => SessionState::Accepted,
        }
    }
}

/// The order in which a session's states follow each other. An acknowledgement is the last word,
/// even if it overtakes the session's end.
fn rank(state: ReceiptState) -> u8 {
    match state {
        ReceiptState::Accepted => 0,
        ReceiptState::Lagging => 1,
        ReceiptState::Emitted => 2,
        ReceiptState::Gone => 3,
        ReceiptState::Acked => 4,
    }
}

/// One notice's way.
#[derive(Debug)]
pub(crate) struct Progress {
    goal: Goal,
    /// When the targets were looked up; none before the backplane has answered.
    looked_up_at_ms: Option<u64>,
    sessions: HashMap<SessionId, Seen>,
    /// Roll calls by lease: who was there.
    called: HashMap<GatewayId, HashSet<SessionId>>,
    /// Of a retry: the targets of the first call.
    first_targets: Vec<SessionId>,
}

impl Progress {
    pub(crate) fn new(goal: Goal) -> Self {
        Self {
            goal,
            looked_up_at_ms: None,
            sessions: HashMap::new(),
            called: HashMap::new(),
            first_targets: Vec::new(),
        }
    }

    /// The backplane has answered: these are the targets, from now on and for good.
    pub(crate) fn dispatched(&mut self, targets: Vec<Target>, at_ms: u64) {
        self.looked_up_at_ms = Some(at_ms);
        for Target { session, heard } in targets {
            let target = Some((session.gateway, heard));
            let new = Seen {
                session: session.id,
                gateway_name: session.gateway_name,
                namespace: session.namespace,
                device: session.device,
                connected_at_ms: session.connected_at_ms,
                target,
                state: None,
                emitted: false,
                at_ms,
            };
            self.sessions.entry(session.id).or_insert(new).target = target;
        }
        self.mark_absent();
    }

    /// A gateway has reported.
    pub(crate) fn report(&mut self, report: Report) {
        let Report { gateway_name, roll_call, receipts } = report;
        if let Some(lease) = roll_call {
            let present = receipts.iter().map(|receipt| receipt.session);
            self.called.entry(lease).or_default().extend(present);
        }
        for receipt in receipts {
            self.receipt(&gateway_name, receipt);
        }
        self.mark_absent();
    }

    fn receipt(&mut self, gateway_name: &GatewayName, receipt: Receipt) {
        let Receipt { session, namespace, device, connected_at_ms, state, at_ms, .. } = receipt;
        if self.sessions.len() >= SESSIONS && !self.sessions.contains_key(&session) {
            return;
        }
        let seen = self.sessions.entry(session).or_insert_with(|| Seen {
            session,
            gateway_name: gateway_name.clone(),
            namespace,
            device,
            connected_at_ms,
            target: None,
            state: None,
            emitted: false,
            at_ms,
        });
        seen.advance(state, at_ms);
    }

    /// What is kept of the notice.
    pub(crate) fn kept(&mut self, kept: Kept) {
        if let Some(targets) = kept.targets {
            self.first_targets =
                targets.sessions.into_iter().map(|target| target.session.id).collect();
        }
        for KeptReport { report, .. } in kept.reports {
            // A roll call of then says nothing of who is a target now.
            self.report(Report { roll_call: None, ..report });
        }
    }

    /// A target that its gateway did not call has left before.
    fn mark_absent(&mut self) {
        let Some(at_ms) = self.looked_up_at_ms else { return };
        for seen in self.sessions.values_mut() {
            let Some((lease, _)) = seen.target else { continue };
            let called = self.called.get(&lease);
            if called.is_some_and(|present| !present.contains(&seen.session)) {
                seen.advance(ReceiptState::Gone, at_ms);
            }
        }
    }

    fn targets(&self) -> impl Iterator<Item = &Seen> {
        self.sessions.values().filter(|seen| seen.target.is_some())
    }

    /// Whether what is waited for has come about.
    pub(crate) fn is_satisfied(&self) -> bool {
        let acked = |seen: &Seen| seen.is(ReceiptState::Acked);
        match self.goal {
            Goal::Emitted => self.sessions.values().any(|seen| seen.emitted),
            Goal::AckedAny => self.sessions.values().any(acked),
            Goal::AckedAll => self.is_acked_by_all() || self.was_acked_by_all(),
        }
    }

    /// A target that is gone is made good for by one that returned and acknowledged: one for each,
    /// and of the same device if it named one.
    fn is_acked_by_all(&self) -> bool {
        let (mut any, mut gone) = (false, Vec::new());
        for target in self.targets() {
            any = true;
            match target.state {
                Some(ReceiptState::Acked) => {}
                Some(ReceiptState::Gone) => gone.push(target.device.as_ref()),
                _ => return false,
            }
        }
        let returned = |seen: &&Seen| seen.target.is_none() && seen.is(ReceiptState::Acked);
        let mut spare: Vec<_> =
            self.sessions.values().filter(returned).map(|seen| seen.device.as_ref()).collect();
        // Those of a named device first: any other will do for the rest.
        gone.sort_by_key(|device| device.is_none());
        any && gone.into_iter().all(|device| {
            let fits = spare.iter().position(|spare| device.is_none() || *spare == device);
            fits.map(|at| spare.swap_remove(at)).is_some()
        })
    }

    /// The targets of the call that this one repeats.
    fn was_acked_by_all(&self) -> bool {
        let acked =
            |session| self.sessions.get(session).is_some_and(|seen| seen.is(ReceiptState::Acked));
        !self.first_targets.is_empty() && self.first_targets.iter().all(acked)
    }

    /// Whether waiting on is of no use: it is satisfied, or there is nobody to wait for.
    pub(crate) fn is_over(&self) -> bool {
        let nobody = self.looked_up_at_ms.is_some() && self.targets().next().is_none();
        self.looked_up_at_ms.is_some() && (nobody || self.is_satisfied())
    }

    /// Whether a session may yet acknowledge what it has been handed.
    pub(crate) fn awaits_acks(&self) -> bool {
        self.goal.needs_acks() && self.sessions.values().any(|seen| seen.is(ReceiptState::Emitted))
    }

    /// The furthest that the notice came with any session.
    pub(crate) fn outcome(&self) -> Outcome {
        if self.sessions.values().any(|seen| seen.is(ReceiptState::Acked)) {
            Outcome::Acked
        } else if self.is_emitted() {
            Outcome::Emitted
        } else if self.targets().next().is_some() {
            Outcome::Accepted
        } else {
            Outcome::Offline
        }
    }

    /// Whether any session was handed it.
    pub(crate) fn is_emitted(&self) -> bool {
        self.sessions.values().any(|seen| seen.emitted)
    }

    /// Whether any session acknowledged it.
    pub(crate) fn is_acked(&self) -> bool {
        self.sessions.values().any(|seen| seen.is(ReceiptState::Acked))
    }

    /// The targets, and who got it besides, in the order they connected.
    pub(crate) fn sessions(&self) -> Vec<&Seen> {
        let tell = |seen: &&Seen| seen.target.is_some() || seen.emitted;
        let mut sessions: Vec<_> = self.sessions.values().filter(tell).collect();
        sessions.sort_by_key(|seen| (seen.connected_at_ms, seen.session));
        sessions
    }
}

#[cfg(test)]
mod tests;
