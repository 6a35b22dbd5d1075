//! What gateways report: heard by notifiers, and kept beside the inbox.

use std::collections::{HashMap, VecDeque};

use herald_core::{InboxLimits, NotifierId, Place, UserId};
use tokio::sync::{
    mpsc::{self, OwnedPermit},
    watch,
};

use super::{Memory, MemoryGateway, clock::Now, inbox::millis};
use crate::{
    Health, Kept, KeptReport, KeptTarget, KeptTargets, Outgoing, Places, ReceiptEvent,
    ReceiptEvents, ReceiptsWanted, Report, Reported, Target, figures,
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

    fn report(&mut self, to: ReceiptsWanted, report: &Report) -> bool {
        let event = ReceiptEvent::Report { token: to.token, report: report.clone() };
        self.tell(to.notifier, event)
    }

    pub(super) fn tell_places(&mut self, to: ReceiptsWanted, places: &Places) -> bool {
        let event = ReceiptEvent::Places { token: to.token, places: places.clone() };
        self.tell(to.notifier, event)
    }

    fn tell(&mut self, id: NotifierId, event: ReceiptEvent) -> bool {
        let Some(channel) = self.0.get_mut(&id).filter(|channel| !channel.events.is_closed())
        else {
            return false;
        };
        if channel.doubt.is_none() {
            channel.doubt = channel.events.clone().try_reserve_owned().ok();
        }
        if channel.events.try_send(event).is_err() {
            figures::dropped("full_reports");
            if let Some(permit) = channel.doubt.take() {
                permit.send(ReceiptEvent::Doubt);
            }
        }
        true
    }
}

#[derive(Debug)]
enum Record {
    Targets(Vec<KeptTarget>),
    Retry(Vec<KeptTarget>),
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
        self.keep(place, Record::Targets(kept(targets)), now_ms, limits);
    }

    pub(super) fn keep_retry(
        &mut self,
        place: Place,
        targets: &[Target],
        now_ms: u64,
        limits: &InboxLimits,
    ) {
        self.keep(place, Record::Retry(kept(targets)), now_ms, limits);
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
        for (at_ms, _, record) in self.0.iter().filter(|(_, of, _)| *of == place) {
            let at_ms = *at_ms;
            let of = |sessions: &Vec<_>| KeptTargets { at_ms, sessions: sessions.clone() };
            match record {
                Record::Targets(targets) => kept.targets = Some(of(targets)),
                Record::Retry(targets) => kept.retries.push(of(targets)),
                Record::Report(report) => {
                    kept.reports.push(KeptReport { at_ms, report: report.clone() });
                }
            }
        }
        kept
    }
}

fn kept(targets: &[Target]) -> Vec<KeptTarget> {
    let kept = |Target { session, heard }: &Target| KeptTarget::of(session, Some(*heard));
    targets.iter().map(kept).collect()
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
                let kept = &mut state.registry.active(user, now).receipts;
                // Where nothing is kept of the user's notices any more, no report begins it anew.
                if !kept.0.is_empty() {
                    kept.keep(*place, record, now.ms, limits);
                }
            }
            for wanted in to {
                if state.notifiers.report(*wanted, report) {
                    reported.heard += 1;
                } else {
                    reported.unheard += 1;
                }
            }
        }
        reported
    }
}
