//! Compares what was sent with what every session received.
//!
//! The caller tells the checker each accepted notice in the order of acceptance, which it knows
//! when it sends to one user one at a time, and each notice whose fate is unknown (UNAVAILABLE, a
//! time-out). A [`Reader`] is one client, over as many sessions as it takes: within one session
//! each notice may come once and in order, over all of them each accepted one must have come.

mod report;
mod verdict;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use self::report::{Finding, Report};
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
    users: HashMap<String, Sent>,
    /// Which user, and which place in that user's order.
    ids: HashMap<Box<str>, (Box<str>, usize)>,
    readers: Vec<Received>,
    /// Notices told to the checker with an id that another notice has.
    reused: Vec<Box<str>>,
}

/// What was sent to one user.
#[derive(Debug, Default)]
struct Sent {
    accepted: Vec<Accepted>,
    unknown: Vec<Box<str>>,
}

#[derive(Debug)]
struct Accepted {
    id: Box<str>,
    payload: Box<str>,
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
    gaps: Vec<Gap>,
}

#[derive(Debug, Default)]
struct Life {
    session: String,
    notices: Vec<Got>,
}

#[derive(Debug)]
enum Got {
    /// The user's own, unchanged, by its place in the order: what nearly all are.
    Right(usize),
    /// To be looked at in the end; it may have arrived before the answer to its sender.
    Other { id: Box<str>, payload: Box<str> },
}

impl Checker {
    /// A checker that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A notice was accepted; the user's earlier ones have been told before.
    pub fn accepted(&self, user: &str, id: &str, payload: &str) {
        let mut state = self.lock();
        let sent = state.users.entry(user.to_owned()).or_default();
        let place = sent.accepted.len();
        sent.accepted.push(Accepted { id: id.into(), payload: payload.into() });
        if state.ids.insert(id.into(), (user.into(), place)).is_some() {
            state.reused.push(id.into());
        }
    }

    /// A notice may have been accepted or not: it may come once, and need not come.
    pub fn unknown(&self, user: &str, payload: &str) {
        self.lock().users.entry(user.to_owned()).or_default().unknown.push(payload.into());
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
            gaps: Vec::new(),
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
            reader.lives.push(Life { session: session.into(), notices: Vec::new() });
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
        if reader.lives.is_empty() {
            reader.lives.push(Life::default());
        }
        if let Some(life) = reader.lives.last_mut() {
            life.notices.push(got);
        }
    }

    /// The client was told of a gap: a finding, since nothing says what it has missed.
    pub fn gap(&self, gap: Gap) {
        self.with(|reader| reader.gaps.push(gap));
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
        state.readers[self.index].lives.iter().map(|life| life.notices.len()).sum()
    }

    fn with(&self, change: impl FnOnce(&mut Received)) {
        change(&mut self.checker.lock().readers[self.index]);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn notice(id: &str, payload: &str) -> Notice {
        Notice {
            event: "notice".to_owned(),
            payload: payload.into(),
            id: id.to_owned(),
            cursor: String::new(),
            sent_at: 0,
            replayed: false,
            ack: None,
            received: Instant::now(),
        }
    }

    /// A checker with three notices for `a` and one for `b`.
    fn checker() -> Checker {
        let checker = Checker::new();
        for (user, id) in [("a", "1"), ("b", "x"), ("a", "2"), ("a", "3")] {
            checker.accepted(user, id, id);
        }
        checker
    }

    fn found(checker: &Checker) -> Vec<Finding> {
        checker.report().findings
    }

    #[test]
    fn all_in_order_is_clean_also_when_it_came_before_the_answer_to_its_sender() {
        let checker = Checker::new();
        let reader = checker.reader("a", "r", Start::Now);
        reader.received(&notice("1", "p"));
        checker.accepted("a", "1", "p");
        checker.accepted("a", "2", "q");
        assert_eq!(checker.missing(), 1);
        reader.received(&notice("2", "q"));
        assert_eq!(checker.missing(), 0);
        checker.report().assert_clean();
    }

    #[test]
    fn a_lost_notice_is_found_and_one_before_or_after_the_reader_is_not_owed() {
        let checker = checker();
        let late = checker.reader("a", "late", Start::Now);
        late.end();
        checker.accepted("a", "4", "4");
        let reader = checker.reader("a", "r", Start::Beginning);
        for id in ["1", "2", "4"] {
            reader.received(&notice(id, id));
        }
        assert!(matches!(&found(&checker)[..], [Finding::Lost { id, .. }] if id == "3"));
    }

    #[test]
    fn a_duplicate_in_one_session_is_found_and_one_in_the_next_session_is_not() {
        let checker = checker();
        let reader = checker.reader("a", "r", Start::Beginning);
        reader.begin("s1");
        reader.received(&notice("1", "1"));
        reader.received(&notice("2", "2"));
        reader.begin("s2");
        reader.received(&notice("2", "2"));
        reader.received(&notice("3", "3"));
        checker.report().assert_clean();
        reader.received(&notice("3", "3"));
        assert!(matches!(&found(&checker)[..], [Finding::Duplicated { id, .. }] if id == "3"));
    }

    #[test]
    fn an_older_notice_after_a_newer_one_is_out_of_order() {
        let checker = checker();
        let reader = checker.reader("a", "r", Start::Beginning);
        for id in ["1", "3", "2"] {
            reader.received(&notice(id, id));
        }
        assert!(matches!(
            &found(&checker)[..],
            [Finding::OutOfOrder { id, after, .. }] if id == "2" && after == "3"
        ));
    }

    #[test]
    fn another_users_notice_changed_bytes_and_strangers_are_found() {
        let checker = checker();
        let reader = checker.reader("a", "r", Start::FirstReceived);
        reader.received(&notice("x", "x"));
        reader.received(&notice("3", "3 "));
        reader.received(&notice("9", "9"));
        let kinds: Vec<_> = found(&checker).iter().map(Finding::kind).collect();
        assert_eq!(kinds, ["wrong user", "changed", "never sent"]);
    }

    #[test]
    fn an_unknown_notice_may_come_once_and_need_not() {
        let checker = Checker::new();
        let silent = checker.reader("a", "silent", Start::Now);
        let reader = checker.reader("a", "r", Start::Now);
        checker.unknown("a", "p");
        reader.received(&notice("1", "p"));
        checker.report().assert_clean();
        reader.received(&notice("2", "p"));
        assert_eq!(checker.report().found(), 1);
        assert_eq!((silent.count(), reader.count()), (0, 2));
    }

    #[test]
    fn an_id_that_is_given_twice_and_a_gap_are_found() {
        let checker = checker();
        checker.accepted("b", "1", "other");
        let reader = checker.reader("c", "r", Start::Now);
        reader.gap(Gap { reason: "reset".to_owned(), after: None, floor: None });
        let report = checker.report();
        assert_eq!(report.found(), 2);
        assert!(report.to_string().contains("gap: 1; reused id: 1"), "{report}");
    }
}
