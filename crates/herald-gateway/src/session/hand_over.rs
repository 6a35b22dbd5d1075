//! How a session gives notices to its socket, and says so to who wants to hear of it.

use std::sync::Arc;

use herald_backplane::{Announced, GoneReason, InboxNotice, Receipt, ReceiptState, ReceiptsWanted};
use herald_core::{NoticeId, Place};
use socketioxide::AckError;
use tokio::task::AbortHandle;
use tracing::Span;

use super::{
    Flow, Session,
    ledger::{self, Asked, Due},
};
use crate::{
    emit::{Acknowledgement, Outcome, Packet},
    expiry::now_ms,
    figures, receipts, trace,
};

impl Session {
    /// Hands over a notice that was announced; who asks for it hears from the roll call.
    pub(super) fn hand_over(
        self: &Arc<Self>,
        flow: &mut Flow,
        packet: &Packet<'_>,
        announced: &Announced,
    ) -> Outcome {
        let asked: Vec<Asked> =
            announced.receipts.map(|wanted| self.asked(wanted)).into_iter().collect();
        self.give(flow, packet, false, asked).0
    }

    /// Hands over a notice that was read.
    pub(super) fn hand_over_read(
        self: &Arc<Self>,
        flow: &mut Flow,
        packet: &Packet<'_>,
        notice: &InboxNotice,
        replayed: bool,
    ) -> Outcome {
        let asked = flow.ledger.asked_for(notice.place, notice.receipts);
        if asked.is_empty() {
            return self.give(flow, packet, replayed, asked).0;
        }
        let due = Due::of(&asked, self.receipts.now_ms());
        let (outcome, at_ms) = self.give(flow, packet, replayed, asked);
        if outcome == Outcome::Taken {
            let receipt = Receipt::of(&self.record, ReceiptState::Emitted, at_ms);
            self.receipts.one(&self.user, notice.place, due, Receipt { replayed, ..receipt });
        }
        outcome
    }

    /// Gives a notice to the socket; when, too, if anybody asked.
    fn give(
        self: &Arc<Self>,
        flow: &mut Flow,
        packet: &Packet<'_>,
        replayed: bool,
        asked: Vec<Asked>,
    ) -> (Outcome, u64) {
        let cursor = flow.delivery.cursor();
        let span = trace::emit(&self.record, NoticeId(packet.place()));
        if asked.is_empty() {
            let outcome = packet.emit(&self.socket, &self.user, cursor, replayed);
            span.record("herald.outcome", outcome.as_str());
            return (outcome, 0);
        }
        let (outcome, awaiting) = if ledger::wants_acks(&asked) {
            match packet.emit_for_ack(&self.socket, &self.user, cursor, replayed) {
                Ok(ack) => (Outcome::Taken, Some(self.await_ack(packet.place(), ack, &span))),
                Err(outcome) => (outcome, None),
            }
        } else {
            (packet.emit(&self.socket, &self.user, cursor, replayed), None)
        };
        span.record("herald.outcome", outcome.as_str());
        let at_ms = now_ms();
        if outcome == Outcome::Taken {
            let given_up = flow.ledger.give(packet.place(), at_ms, asked, awaiting);
            if given_up > 0 {
                self.receipts.acks().dropped.increment(given_up);
            }
        }
        (outcome, at_ms)
    }

    /// An acknowledgement takes its whole time to fail when the socket has gone, so that the
    /// session's end is what ends the wait for it.
    fn await_ack(
        self: &Arc<Self>,
        place: Place,
        ack: Acknowledgement,
        emitted: &Span,
    ) -> AbortHandle {
        let session = Arc::clone(self);
        // It ends with the wait, be it that this is aborted.
        let span = trace::acknowledge(emitted);
        let wait = async move {
            match ack.await {
                // Whatever the client has to say with it.
                Ok(_) | Err(AckError::Decode(_)) => {
                    span.record("herald.acknowledged", true);
                    session.acked(place);
                }
                Err(_) => session.not_acked(place),
            }
        };
        tokio::spawn(wait).abort_handle()
    }

    fn acked(&self, place: Place) {
        let (at_ms, known_ms) = (now_ms(), self.receipts.now_ms());
        let due = self.lock().ledger.acked(place, at_ms, known_ms);
        if let Some(due) = due {
            let acks = self.receipts.acks();
            acks.acked.increment(1);
            if let Some(age) = figures::age(place.position.ms, known_ms) {
                acks.seconds.record(age);
            }
            let receipt = Receipt::of(&self.record, ReceiptState::Acked, at_ms);
            self.receipts.one(&self.user, place, due, receipt);
        }
    }

    fn not_acked(&self, place: Place) {
        if self.lock().ledger.not_acked(place) {
            self.receipts.acks().timeout.increment(1);
        }
    }

    /// What the session answers to a roll call, after it was told of the notice; `None` if nobody
    /// calls. What it has still to come to is owed from now on.
    pub(super) fn answer(&self, flow: &mut Flow, announced: &Announced) -> Option<Receipt> {
        let (place, asked) = (announced.place, self.asked(announced.receipts?));
        if let Some((state, at_ms)) = flow.ledger.known(place, asked) {
            return Some(Receipt::of(&self.record, state, at_ms));
        }
        if !flow.ledger.owe(place, asked, self.receipts.now_ms()) {
            figures::reports_dropped("owed").increment(1);
        }
        let state = if flow.lagging { ReceiptState::Lagging } else { ReceiptState::Accepted };
        Some(receipts::now(&self.record, state))
    }

    /// The session has ended: what was not handed over, or not acknowledged, never is.
    pub(super) fn settle(&self, flow: &mut Flow, gone: Option<GoneReason>) {
        let (dues, awaited) = flow.ledger.end(self.receipts.now_ms());
        if awaited > 0 {
            self.receipts.acks().gone.increment(awaited);
        }
        let at_ms = now_ms();
        for (place, due) in dues {
            let receipt = Receipt::of(&self.record, ReceiptState::Gone, at_ms);
            self.receipts.one(&self.user, place, due, Receipt { gone, ..receipt });
        }
    }

    fn asked(&self, wanted: ReceiptsWanted) -> Asked {
        Asked::at(wanted, self.receipts.now_ms())
    }
}
