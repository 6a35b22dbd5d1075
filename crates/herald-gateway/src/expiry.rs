//! Sessions end when their tokens do.
//!
//! A client is told `herald:token-expiring` some time before, and may hand in a new token with
//! `herald:token`. If it does not, its transport is closed: it comes back, and brings another token
//! or is refused. One task looks after all sessions, with one entry for each whose token ends.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use herald_core::SessionId;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{context::Context, edge::CloseReason, emit::Outcome, session::Session};

/// The longest wait for one session. The time of day may be set anew meanwhile.
const LONGEST: Duration = Duration::from_secs(600);

/// Until a socket that was full, or not ready yet, is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// When to look at which session.
#[derive(Debug)]
pub(crate) struct Expiries {
    /// How long before its end a client is told.
    notice: Duration,
    due: Mutex<Due>,
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Due {
    order: BTreeMap<(Instant, SessionId), Weak<Session>>,
    at: HashMap<SessionId, Instant>,
}

impl Expiries {
    pub(crate) fn new(notice: Duration) -> Self {
        Self { notice, due: Mutex::default(), sooner: Notify::new() }
    }

    /// Looks after a session from now on, or anew because its token is another one.
    pub(crate) fn watch(&self, session: &Arc<Session>) {
        if session.token_left().is_some() {
            self.look_at(session, Instant::now());
        }
    }

    /// The session has ended.
    pub(crate) fn forget(&self, id: SessionId) {
        self.lock().remove(id);
    }

    fn look_at(&self, session: &Arc<Session>, at: Instant) {
        let mut due = self.lock();
        due.remove(session.id());
        due.at.insert(session.id(), at);
        due.order.insert((at, session.id()), Arc::downgrade(session));
        let is_first = due.order.first_key_value().is_some_and(|((first, _), _)| *first == at);
        drop(due);
        if is_first {
            self.sooner.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Due {
    fn remove(&mut self, id: SessionId) {
        if let Some(at) = self.at.remove(&id) {
            self.order.remove(&(at, id));
        }
    }

    /// The next session whose time has come, or when that is.
    fn next(&mut self) -> Result<Weak<Session>, Option<Instant>> {
        match self.order.first_entry() {
            Some(first) if first.key().0 <= Instant::now() => {
                let id = first.key().1;
                self.at.remove(&id);
                Ok(first.remove())
            }
            Some(first) => Err(Some(first.key().0)),
            None => Err(None),
        }
    }
}

/// Looks after the sessions, for ever.
pub(crate) async fn run(context: &Context) {
    let expiries = &context.expiries;
    loop {
        let next = expiries.lock().next();
        match next {
            Ok(session) => {
                if let Some(session) = session.upgrade() {
                    attend(context, &session);
                }
                tokio::task::yield_now().await;
            }
            Err(Some(at)) => tokio::select! {
                () = sleep_until(at) => {}
                () = expiries.sooner.notified() => {}
            },
            Err(None) => expiries.sooner.notified().await,
        }
    }
}

/// Does what is to be done for a session, and says when to look again.
fn attend(context: &Context, session: &Arc<Session>) {
    let (expiries, Some(left)) = (&context.expiries, session.token_left()) else {
        return;
    };
    if session.is_gone() {
        return;
    }
    let until_notice = left.saturating_sub(expiries.notice);
    let wait = if left.is_zero() {
        tracing::debug!(session = %session.id(), "the token has ended, the transport is closed");
        session.close(CloseReason::Expired);
        // Should it not have closed.
        AGAIN
    } else if !until_notice.is_zero() {
        until_notice.min(LONGEST)
    } else {
        match session.tell_expiring(left) {
            Outcome::Full => AGAIN.min(left),
            Outcome::Taken | Outcome::Gone | Outcome::Unreadable => left.min(LONGEST),
        }
    };
    expiries.look_at(session, Instant::now() + wait);
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
