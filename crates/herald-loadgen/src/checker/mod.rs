//! Compares what was sent with what every session received.
//!
//! The caller tells the checker each accepted notice in the order of acceptance, which it knows
//! when it sends to one user one at a time, and each notice whose fate is unknown (UNAVAILABLE, a
//! time-out). A [`Reader`] is one client, over as many sessions as it takes: within one session
//! each notice may come once and in order, over all of them each accepted one must have come.
//!
//! What an inbox keeps in the end [settles](Checker::kept) what was unknown, and what is in it must
//! have come too. A [gap](Checker::allowing_gaps) excuses what it tells of, and nothing else.

mod position;
mod report;
mod sent;
mod verdict;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

pub use self::report::{Finding, Report};
use self::sent::{Accepted, Sent, Unknown};
use crate::event::{Gap, Notice};

/// What was sent, and who received what. Cheap to clone; all clones are the same checker.
#[derive(Debug, Clone, Default)]
pub struct Checker {
    state: Arc<Mutex<State>>,
}

/// What a reader is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// All that is accepted from now on. Only sound while nothing for that user is under way.
    Now,
    /// All that was ever accepted.
    Beginning,
    /// All from the first notice that it receives on: for sessions that join in the midst.
    FirstReceived,
}

#[derive(Debug, Default)]
struct State {
    allows_gaps: bool,
    allows_resets: bool,
    users: HashMap<String, Sent>,
    /// Which user, and which place in that user's order.
    ids: HashMap<Box<str>, (Box<str>, usize)>,
    readers: Vec<Received>,
    /// What is wrong with what was sent, whoever received it.
    findings: Vec<(String, Finding)>,
}

/// What one reader received.
#[derive(Debug)]
struct Received {
    user: String,
    name: String,
    start: Start,
    /// How many had been accepted when it began, and when it ended.
    from: usize,
    until: Option<usize>,
    lives: Vec<Life>,
}

#[derive(Debug, Default)]
struct Life {
    session: String,
    events: Vec<Got>,
}

#[derive(Debug)]
enum Got {
    /// The user's own, unchanged, by its place in the order: what nearly all are.
    Right(usize),
    /// To be looked at in the end; it may have arrived before the answer to its sender.
    Other { id: Box<str>, payload: Box<str> },
    /// What it was told in the place of notices.
    Gap(Gap),
}

impl Checker {
    /// A checker that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same checker for inboxes that may overflow: a gap of the reason `expired` is nothing
    /// wrong if something is missing there, and what it tells of is not lost. Otherwise every gap is
    /// a finding.
    #[must_use]
    pub fn allowing_gaps(self) -> Self {
        self.lock().allows_gaps = true;
        self
    }

    /// The same checker for inboxes that may lose their last part, of which nothing was told to be
    /// accepted: a gap of the reason `reset` is nothing wrong, and what is kept comes again after it.
    /// What is unknown may have come and be lost; sent again, it may come as another notice.
    #[must_use]
    pub fn allowing_resets(self) -> Self {
        self.lock().allows_resets = true;
        self
    }

    /// A notice was accepted; the user's earlier ones have been told before.
    pub fn accepted(&self, user: &str, id: &str, payload: &str) {
        self.accepted_until(user, id, payload, None);
    }

    /// A notice was accepted that need not come any more once it has expired.
    pub fn accepted_until(&self, user: &str, id: &str, payload: &str, expires: Option<Instant>) {
        let mut state = self.lock();
        let sent = state.users.entry(user.to_owned()).or_default();
        let place = sent.accepted.len();
        sent.accepted.push(Accepted { id: id.into(), payload: payload.into(), expires });
        if state.ids.insert(id.into(), (user.into(), place)).is_some() {
            state.findings.push((user.to_owned(), Finding::ReusedId { id: id.to_owned() }));
        }
    }

    /// A notice may have been accepted or not: it may come once, and need not come.
    pub fn unknown(&self, user: &str, payload: &str) {
        self.unknown_until(user, payload, None);
    }

    /// A notice may have been accepted or not, and if it was it expires.
    pub fn unknown_until(&self, user: &str, payload: &str, expires: Option<Instant>) {
        let unknown = Unknown { payload: payload.into(), expires };
        self.lock().users.entry(user.to_owned()).or_default().unknown.push(unknown);
    }

    /// A notice was refused, and must not come.
    pub fn refused(&self, user: &str, payload: &str) {
        self.lock().users.entry(user.to_owned()).or_default().refused.insert(payload.into());
    }

    /// A notice that is in no inbox is about to be sent, once: each client may have it once, and
    /// need not, in any order.
    pub fn volatile(&self, user: &str, payload: &str) {
        self.lock().users.entry(user.to_owned()).or_default().volatile.insert(payload.into());
    }

    /// What the user's inbox keeps in the end, as ids and payloads, oldest first, and its floor's
    /// cursor: with nothing under way any more.
    ///
    /// What was accepted must be there, or stand at the floor or below. What is there and unknown was
    /// accepted after all, and readers are owed it; if nothing was ever removed, what is unknown and
    /// not there must not come.
    pub fn kept(&self, user: &str, kept: &[(String, String)], floor: &str) {
        let floor = position::of_cursor(floor);
        let mut state = self.lock();
        let State { users, ids, readers, findings, allows_resets, .. } = &mut *state;
        let sent = users.entry(user.to_owned()).or_default();
        let (now, wrong) = sent.settle(user, kept, floor, *allows_resets);
        findings.extend(wrong.into_iter().map(|finding| (user.to_owned(), finding)));
        let all = sent.accepted.len();
        for (place, accepted) in sent.accepted.iter().enumerate() {
            ids.insert(accepted.id.clone(), (user.into(), place));
        }
        for reader in readers.iter_mut().filter(|reader| reader.user == user) {
            if reader.from > 0 {
                reader.from = now.get(reader.from).copied().unwrap_or(all);
            }
            reader.until = reader.until.map(|until| now.get(until).copied().unwrap_or(all));
            for got in reader.lives.iter_mut().flat_map(|life| &mut life.events) {
                if let Got::Right(place) = got {
                    *place = now[*place];
                }
            }
        }
    }

    /// A client of `user`; `name` is for the report.
    pub fn reader(&self, user: &str, name: impl Into<String>, start: Start) -> Reader {
        let mut state = self.lock();
        let from = match start {
            Start::Now => state.users.get(user).map_or(0, |sent| sent.accepted.len()),
            Start::Beginning | Start::FirstReceived => 0,
        };
        state.readers.push(Received {
            user: user.to_owned(),
            name: name.into(),
            start,
            from,
            until: None,
            lives: Vec::new(),
        });
        Reader { checker: self.clone(), index: state.readers.len() - 1 }
    }

    /// How many notices readers are still owed, all readers together. Zero is what a test waits
    /// for before it asks for the [`report`](Self::report).
    pub fn missing(&self) -> usize {
        let state = self.lock();
        state.readers.iter().map(|reader| verdict::missing(&state, reader).len()).sum()
    }

    /// What is wrong as of now.
    pub fn report(&self) -> Report {
        verdict::report(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state as it was between two changes.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One client of one user. Dropping it changes nothing; [`end`](Self::end) does.
#[derive(Debug)]
pub struct Reader {
    checker: Checker,
    index: usize,
}

impl Reader {
    /// A new session of this client begins; `session` is for the report.
    pub fn begin(&self, session: impl Into<String>) {
        self.with(|reader| {
            reader.lives.push(Life { session: session.into(), events: Vec::new() });
        });
    }

    /// The client received a notice, in its current session.
    pub fn received(&self, notice: &Notice) {
        let mut state = self.checker.lock();
        let State { users, ids, readers, .. } = &mut *state;
        let reader = &mut readers[self.index];
        let right = ids.get(notice.id.as_str()).filter(|(user, place)| {
            **user == *reader.user && users[&reader.user].accepted[*place].payload == notice.payload
        });
        let got = match right {
            Some((_, place)) => Got::Right(*place),
            None => Got::Other { id: notice.id.as_str().into(), payload: notice.payload.clone() },
        };
        reader.push(got);
    }

    /// The client was told of a gap, in its current session.
    pub fn gap(&self, gap: Gap) {
        self.with(|reader| reader.push(Got::Gap(gap)));
    }

    /// The client is owed nothing that is accepted from now on.
    pub fn end(&self) {
        let mut state = self.checker.lock();
        let user = &state.readers[self.index].user;
        let until = state.users.get(user).map_or(0, |sent| sent.accepted.len());
        state.readers[self.index].until = Some(until);
    }

    /// How many notices it received in all its sessions, repeated ones included.
    pub fn count(&self) -> usize {
        let state = self.checker.lock();
        state.readers[self.index].notices().count()
    }

    fn with(&self, change: impl FnOnce(&mut Received)) {
        change(&mut self.checker.lock().readers[self.index]);
    }
}

impl Received {
    fn push(&mut self, got: Got) {
        if self.lives.is_empty() {
            self.lives.push(Life::default());
        }
        if let Some(life) = self.lives.last_mut() {
            life.events.push(got);
        }
    }

    fn notices(&self) -> impl Iterator<Item = &Got> {
        let events = self.lives.iter().flat_map(|life| &life.events);
        events.filter(|got| !matches!(got, Got::Gap(_)))
    }
}

#[cfg(test)]
mod tests;
