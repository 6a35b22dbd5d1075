//! One session: a namespace connection of a user, and everything that is emitted to it.
//!
//! Whoever emits, the channel or a catch-up, does so under the session's lock, so there is one
//! order. Under it are only decisions and hand-overs to the socket's queue; nobody waits there.

mod hand_over;
pub(crate) mod ledger;
mod reading;
mod token;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use herald_backplane::{
    Announced, EndReason, Finding, InboxNotice, Mark, Receipt, SessionPlace, Since,
};
use herald_core::{Cursor, Device, SessionId, SessionRecord, UserId};
use socketioxide::{extract::SocketRef, socket::Sid};

pub(crate) use self::reading::Progress;
use self::{ledger::Ledger, token::Token};
use crate::{
    auth::Identity,
    delivery::{Delivery, Doubt, Gap, Verdict},
    edge::{CloseReason, Connecting, Transport},
    emit::{self, Outcome, Packet, VolatilePacket},
    end_cause::EndCause,
    figures::{self, Figures},
    receipts::Receipts,
};

/// What is known of a client that is let in.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    pub(crate) identity: Identity,
    pub(crate) device: Option<Device>,
    /// Where it goes on from.
    pub(crate) since: Since,
    /// It said so itself, rather than beginning with what comes now.
    pub(crate) resumed: bool,
    /// Its cursor was not readable.
    pub(crate) malformed: bool,
    /// What it is let in at.
    pub(crate) mark: Mark,
    /// Shared only because Socket.IO's extensions have to be.
    pub(crate) connecting: Option<Arc<Connecting>>,
}

/// A session that is connected, or was a moment ago.
#[derive(Debug)]
pub(crate) struct Session {
    user: UserId,
    record: SessionRecord,
    mark: Mark,
    resumed: bool,
    socket: SocketRef,
    transport: Transport,
    receipts: Receipts,
    /// When it was made, by the backplane's clock as it was known then: not later than it was.
    began_ms: u64,
    flow: Mutex<Flow>,
    token: Mutex<Token>,
}

#[derive(Debug)]
struct Flow {
    delivery: Delivery,
    /// Where its first page began.
    began: Option<Cursor>,
    stage: Stage,
    /// What the socket is to take before anything else; at most `herald:ready`, one gap and one
    /// notice.
    waiting: VecDeque<Waiting>,
    /// Until the client is told `herald:ready`.
    connecting: Option<Arc<Connecting>>,
    /// The next read registers too.
    register: bool,
    /// The registry may know of the session.
    attempted: bool,
    /// A catch-up is at work. While the delivery reads there is one, unless the session ends.
    catching_up: bool,
    lagging: bool,
    /// Why its transport is being closed.
    closed: Option<CloseReason>,
    gone: bool,
    ledger: Ledger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was emitted yet.
    New {
        /// The client's cursor was not readable.
        malformed: bool,
    },
    /// The client gets what it asked for by connecting.
    Replaying,
    /// It has it.
    Settled,
}

#[derive(Debug)]
enum Waiting {
    Ready(Cursor),
    Gap(Gap),
    Notice(InboxNotice),
}

/// What came of an announcement.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The socket took the notice.
    pub(crate) given: bool,
    /// A catch-up is to be started for it.
    pub(crate) doubt: Option<Doubt>,
    /// What to answer to who wants receipts; none from a session that has ended.
    pub(crate) receipt: Option<Receipt>,
}

impl Session {
    /// A session that is new here and will be registered by the catch-up that its maker starts.
    pub(crate) fn new(
        admitted: Admitted,
        record: SessionRecord,
        socket: SocketRef,
        transport: Transport,
        receipts: Receipts,
        began_ms: u64,
    ) -> Self {
        let Admitted { identity, since, resumed, malformed, mark, .. } = admitted;
        Self {
            token: Mutex::new(Token::of(&identity)),
            user: identity.user,
            record,
            mark,
            resumed,
            socket,
            transport,
            receipts,
            began_ms,
            flow: Mutex::new(Flow {
                delivery: Delivery::new(since),
                began: None,
                stage: Stage::New { malformed },
                waiting: VecDeque::new(),
                connecting: None,
                register: true,
                attempted: false,
                catching_up: true,
                lagging: false,
                closed: None,
                gone: false,
                ledger: Ledger::default(),
            }),
        }
    }

    /// The same, counted as being connected until it is told `herald:ready` or has ended.
    pub(crate) fn counted_by(mut self, connecting: Option<Arc<Connecting>>) -> Self {
        self.flow.get_mut().unwrap_or_else(PoisonError::into_inner).connecting = connecting;
        self
    }

    pub(crate) fn id(&self) -> SessionId {
        self.record.id
    }

    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }

    pub(crate) fn record(&self) -> &SessionRecord {
        &self.record
    }

    /// What it was let in at.
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// Tells the client that its session ends, and why.
    pub(crate) fn tell_ended(&self, why: EndReason, words: &str) {
        let flow = self.lock();
        if !flow.gone {
            // Whether it takes it or not.
            emit::ended(&self.socket, why, words);
        }
    }

    /// Ends it in a way that stock clients do not come back from.
    pub(crate) fn disconnect(&self, why: EndReason) {
        if self.socket.clone().disconnect().is_err() {
            // It takes nothing: without its transport it will see for itself.
            self.transport.close(match why {
                EndReason::Evicted => CloseReason::Evicted,
                EndReason::Kicked | EndReason::Purged => CloseReason::Kicked,
            });
        }
    }

    #[cfg(test)]
    pub(crate) fn socket(&self) -> &SocketRef {
        &self.socket
    }

    /// Closes the client's transport, all its namespaces with it; it will come back.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.lock().closed.get_or_insert(reason);
        self.transport.close(reason);
    }

    /// The transport's id, which all namespaces of the client share.
    pub(crate) fn sid(&self) -> Sid {
        self.transport.sid()
    }

    /// Tells the client that its transport is about to be closed. A socket whose queue is full is
    /// not told: it comes back all the same.
    pub(crate) fn tell_reconnect(&self, within: Duration) {
        emit::reconnect(&self.socket, within);
    }

    /// Bytes that the client's connection has taken so far, where it has one of its own.
    pub(crate) fn bytes_sent(&self) -> Option<u64> {
        self.transport.bytes_sent()
    }

    /// Whether Socket.IO still knows the socket as this session's. Its disconnect handler may
    /// never have run, and its id may meanwhile be that of a newer session.
    pub(crate) fn is_connected(&self) -> bool {
        let found = self.socket.local().get_socket(self.socket.id);
        found.is_some_and(|found| found.extensions.get() == Some(self.id()))
            && self.socket.connected()
    }

    /// An announcement has come in.
    pub(crate) fn announce(
        self: &Arc<Self>,
        announced: &Announced,
        packet: Option<&Packet<'_>>,
        figures: &Figures,
    ) -> Heard {
        let mut flow = self.lock();
        if flow.gone {
            return Heard::default();
        }
        let mut given = false;
        let doubt = match (flow.delivery.announced(announced), packet) {
            (Verdict::Emit, Some(packet)) => {
                match self.hand_over(&mut flow, packet, announced) {
                    Outcome::Taken => {
                        figures.live.increment(1);
                        given = true;
                        flow.delivery.emitted(packet.place());
                        None
                    }
                    Outcome::Unreadable => {
                        drop_unreadable(packet, figures);
                        flow.delivery.emitted(packet.place());
                        None
                    }
                    Outcome::Full => {
                        flow.delivery.refused();
                        flow.lags(figures);
                        flow.start_catching_up(Doubt::Lagging)
                    }
                    // The disconnect handler, or the sweep, does the rest.
                    Outcome::Gone => return Heard::default(),
                }
            }
            (Verdict::Duplicate, _) => {
                figures.duplicates.increment(1);
                None
            }
            (Verdict::Read(doubt), _) => flow.start_catching_up(doubt),
            (Verdict::Later | Verdict::Emit, _) => None,
        };
        Heard { given, doubt, receipt: self.answer(&mut flow, announced) }
    }

    /// Emits a notice that is in no inbox: now or never. Whatever becomes of it, the session's
    /// place and pace stay as they are. Says whether the socket took it.
    pub(crate) fn emit_volatile(&self, packet: &VolatilePacket<'_>, figures: &Figures) -> bool {
        let flow = self.lock();
        let loss = if flow.gone {
            Some("gone")
        } else if packet.is_older_than(self.began_ms) {
            Some("earlier")
        } else if matches!(flow.stage, Stage::New { .. }) {
            Some("connecting")
        } else if !flow.waiting.is_empty() {
            // Nothing passes what the socket is to take first.
            Some("full")
        } else {
            packet.emit(&self.socket, &self.user, flow.delivery.cursor()).loss()
        };
        match loss {
            None => figures.volatile.increment(1),
            Some(reason) => figures::dropped("volatile", reason).increment(1),
        }
        loss.is_none()
    }

    /// The place that an audit is to compare; none while a catch-up is at work, and once the
    /// session has ended. `doubted` says that hints were lost: then what is being read now is read
    /// once more, since its answer may be older than what was lost.
    pub(crate) fn to_audit(&self, doubted: bool) -> Option<Cursor> {
        let mut flow = self.lock();
        if flow.gone {
            return None;
        }
        let settled = flow.delivery.settled().filter(|_| !flow.catching_up);
        if settled.is_none() && doubted {
            flow.delivery.doubt();
        }
        settled
    }

    /// An audit that was told the place `was` has found this. If the answer is a doubt, a catch-up
    /// is to be started.
    pub(crate) fn audited(&self, was: Cursor, finding: &Finding) -> Option<Doubt> {
        let mut flow = self.lock();
        if flow.gone {
            return None;
        }
        if !finding.registered {
            flow.register = true;
            flow.delivery.doubt();
            return flow.start_catching_up(Doubt::Unregistered);
        }
        if flow.delivery.audited(was, finding.tip) {
            return flow.start_catching_up(Doubt::Behind);
        }
        None
    }

    /// Anything may have been missed, the registration included. If the answer is a doubt, a
    /// catch-up is to be started.
    pub(crate) fn doubt(&self, doubt: Doubt) -> Option<Doubt> {
        let mut flow = self.lock();
        if flow.gone {
            return None;
        }
        flow.register = true;
        flow.delivery.doubt();
        flow.start_catching_up(doubt)
    }

    /// Whether nothing was emitted yet.
    pub(crate) fn is_new(&self) -> bool {
        matches!(self.lock().stage, Stage::New { .. })
    }

    /// The catch-up ends without having caught up.
    pub(crate) fn give_up(&self) {
        self.lock().catching_up = false;
    }

    /// The session ends.
    pub(crate) fn leave(&self, cause: EndCause, figures: &Figures) {
        let mut flow = self.lock();
        flow.gone = true;
        flow.connecting = None;
        flow.keeps_up(figures);
        let gone = cause.gone(flow.closed);
        self.settle(&mut flow, gone);
    }

    /// Where it stands; `None` once it has ended.
    pub(crate) fn place(&self) -> Option<SessionPlace> {
        let flow = self.lock();
        (!flow.gone).then(|| SessionPlace {
            session: self.id(),
            at: flow.delivery.cursor(),
            began: flow.began,
            resumed: self.resumed,
            reading: flow.catching_up,
            lagging: flow.lagging,
        })
    }

    /// Whether the session has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// Whether the registry may know of the session.
    pub(crate) fn may_be_registered(&self) -> bool {
        self.lock().attempted
    }

    fn lock(&self) -> MutexGuard<'_, Flow> {
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flow {
    /// The doubt, if it is the first and a catch-up has to be started for it.
    fn start_catching_up(&mut self, doubt: Doubt) -> Option<Doubt> {
        let first = !std::mem::replace(&mut self.catching_up, true);
        first.then_some(doubt)
    }

    fn lags(&mut self, figures: &Figures) {
        figures.refused.increment(1);
        if !std::mem::replace(&mut self.lagging, true) {
            figures.lagging.increment(1.0);
        }
    }

    fn keeps_up(&mut self, figures: &Figures) {
        if std::mem::take(&mut self.lagging) {
            figures.lagging.decrement(1.0);
        }
    }
}

fn drop_unreadable(packet: &Packet<'_>, figures: &Figures) {
    figures.unreadable.increment(1);
    tracing::error!(notice = packet.id(), "notice dropped, its payload is no JSON");
}
