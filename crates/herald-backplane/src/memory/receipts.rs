//! What gateways report: heard by notifiers, and kept beside the inbox.

use std::collections::{HashMap, VecDeque};

use herald_core::{GatewayId, InboxLimits, NotifierId, Place, SessionId, UserId};
use tokio::sync::{
    mpsc::{self, OwnedPermit},
    watch,
};

use super::{Memory, MemoryGateway, clock::Now, inbox::millis};
use crate::{
    Health, Kept, Outgoing, ReceiptEvent, ReceiptEvents, Report, Reported, Target,
    events::count_dropped,
};

/// As many as the Redis implementation keeps.
const RECORDS_A_NOTICE: usize = 4;

/// The channels of those who listen.
#[derive(Debug, Default)]
pub(super) struct Notifiers(HashMap<NotifierId, Channel>);

#[derive(Debug)]
struct Channel {
    events: mpsc::Sender<ReceiptEvent>,
    /// A doubt's place, so that it always finds room. Absent from when one was sent until there is
    /// room again; if the channel is full then, that one is still unread.
    doubt: Option<OwnedPermit<ReceiptEvent>>,
    /// Follows us for as long as we are there.
    _listening: watch::Sender<bool>,
}

impl Notifiers {
    fn open(&mut self, id: NotifierId, capacity: usize) -> ReceiptEvents {
        // Those that ended are forgotten when another one begins.
        self.0.retain(|_, channel| !channel.events.is_closed());
        let (events, queue) = mpsc::channel(capacity.max(1) + 2);
        // As ever when a channel begins: what came before is missed.
        let _ = events.try_send(ReceiptEvent::Doubt);
        let doubt = events.clone().try_reserve_owned().ok();
        let (listening, follow) = watch::channel(true);
        self.0.insert(id, Channel { events, doubt, _listening: listening });
        ReceiptEvents::new(id, queue, follow, watch::channel(Health::Ready).1, ())
    }

    fn tell(&mut self, id: NotifierId, token: u64, report: &Report) -> bool {
        let Some(channel) = self.0.get_mut(&id).filter(|channel| !channel.events.is_closed())
        else {
            return false;
        };
        if channel.doubt.is_none() {
            channel.doubt = channel.events.clone().try_reserve_owned().ok();
        }
        let event = ReceiptEvent::Report { token, report: report.clone() };
        if channel.events.try_send(event).is_err() {
            count_dropped("full_reports");
            if let Some(permit) = channel.doubt.take() {
                permit.send(ReceiptEvent::Doubt);
            }
        }
        true
    }
}

#[derive(Debug)]
enum Record {
    Targets(Vec<(SessionId, GatewayId)>),
    Report(Report),
}

/// What is kept of the way of one user's notices, oldest first.
#[derive(Debug, Default)]
pub(super) struct Receipts(VecDeque<(u64, Place, Record)>);

impl Receipts {
    pub(super) fn keep_targets(
        &mut self,
        place: Place,
        targets: &[Target],
        now_ms: u64,
        limits: &InboxLimits,
    ) {
        let targets = targets.iter().map(|target| (target.session.id, target.session.gateway));
        self.keep(place, Record::Targets(targets.collect()), now_ms, limits);
    }

    fn keep(&mut self, place: Place, record: Record, now_ms: u64, limits: &InboxLimits) {
        let most = (limits.notices as usize).saturating_mul(RECORDS_A_NOTICE).max(1);
        while self.0.len() >= most {
            self.0.pop_front();
        }
        self.0.push_back((now_ms, place, record));
    }

    /// Removes what is older than the limit.
    pub(super) fn trim_age(&mut self, now_ms: u64, limits: &InboxLimits) {
        let oldest_kept = now_ms.saturating_sub(millis(limits.age));
        while self.0.pop_front_if(|(at_ms, ..)| *at_ms < oldest_kept).is_some() {}
    }

    fn of(&self, place: Place) -> Kept {
        let mut kept = Kept::default();
        for (_, _, record) in self.0.iter().filter(|(_, of, _)| *of == place) {
            match record {
                Record::Targets(targets) => kept.targets = Some(targets.clone()),
                Record::Report(report) => kept.reports.push(report.clone()),
            }
        }
        kept
    }
}

impl Memory {
    /// See [`crate::NotifierPort::receipts`].
    #[must_use]
    pub fn receipts(&self, id: NotifierId) -> ReceiptEvents {
        self.state().notifiers.open(id, self.inner.channel_capacity)
    }

    /// See [`crate::NotifierPort::kept`].
    #[must_use]
    pub fn kept(&self, user: &UserId, place: Place) -> Kept {
        let mut state = self.state();
        let record = state.registry.trimmed(user, Now::read());
        record.map_or_else(Kept::default, |record| record.receipts.of(place))
    }
}

impl MemoryGateway {
    /// See [`crate::GatewayPort::report`].
    #[must_use]
    pub fn report(&self, reports: &[Outgoing]) -> Reported {
        let now = Now::read();
        let limits = &self.held.memory.inner.limits;
        let mut state = self.state();
        let mut reported = Reported::default();
        for Outgoing { user, place, to, keep, report } in reports {
            if *keep {
                let record = Record::Report(report.clone());
                state.registry.active(user, now).receipts.keep(*place, record, now.ms, limits);
            }
            for wanted in to {
                if state.notifiers.tell(wanted.notifier, wanted.token, report) {
                    reported.heard += 1;
                } else {
                    reported.unheard += 1;
                }
            }
        }
        reported
    }
}
