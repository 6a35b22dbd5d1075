//! What is wrong with what was received.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use super::{Accepted, Finding, Got, Received, Report, Sent, Start, State, position};
use crate::event::Gap;

static NOTHING: LazyLock<Sent> = LazyLock::new(Sent::default);

/// The reason for a gap that inboxes which overflow explain, and that which those explain that may
/// lose their last part.
const EXPIRED: &str = "expired";
const RESET: &str = "reset";

pub(super) fn report(state: &State) -> Report {
    let mut report = Report {
        accepted: state.users.values().map(|sent| sent.accepted.len()).sum(),
        unknown: state.users.values().map(|sent| sent.unknown.len()).sum(),
        readers: state.readers.len(),
        sessions: state.readers.iter().map(|reader| reader.lives.len()).sum(),
        received: state.readers.iter().map(|reader| reader.notices().count()).sum(),
        ..Report::default()
    };
    for (user, finding) in &state.findings {
        report.add(user, finding.clone());
    }
    let mut strangers = HashMap::new();
    for reader in &state.readers {
        judge(state, reader, &mut strangers, &mut report);
    }
    report
}

/// The accepted notices that a reader is owed and has not received, nor was told of.
pub(super) fn missing<'a>(state: &'a State, reader: &Received) -> Vec<&'a Accepted> {
    lacking(state, reader, &holdings(state, reader))
        .into_iter()
        .filter(|accepted| !accepted.has_expired())
        .collect()
}

/// What a reader has.
#[derive(Default)]
struct Holdings {
    /// By their place.
    had: HashSet<usize>,
    /// What it was told to have missed.
    told: HashSet<usize>,
    /// How many came in more than one session, resets aside.
    repeated: usize,
    resets: usize,
    /// Reasons of gaps that nothing explains.
    unexplained: Vec<String>,
}

fn holdings(state: &State, reader: &Received) -> Holdings {
    let sent = sent(state, reader);
    let mut all = Holdings::default();
    let mut highest: Option<usize> = None;
    for life in &reader.lives {
        let (mut now, mut again) = (HashSet::new(), false);
        for got in &life.events {
            if let Got::Gap(gap) = got {
                let from = reader.from.max(highest.map_or(0, |highest| highest + 1));
                let told: Vec<_> = told(state, sent, gap)
                    .map_or_else(Vec::new, |until| (from..until.max(from)).collect());
                let reset = is_reset(state, gap);
                // What is unknown may have been accepted and removed.
                let explained =
                    !told.is_empty() || (is_overflow(state, gap) && !sent.unknown.is_empty());
                if !explained && !reset {
                    all.unexplained.push(gap.reason.clone());
                }
                if reset {
                    all.resets += 1;
                    // What was had before comes again.
                    all.had.extend(now.drain());
                    (again, highest) = (true, None);
                }
                all.told.extend(told);
            } else if let Some(place) = place(state, reader, got) {
                highest = highest.max(Some(place));
                now.insert(place);
            }
        }
        if !again {
            all.repeated += now.intersection(&all.had).count();
        }
        all.had.extend(now);
    }
    all
}

/// Up to where a gap tells that something is missing.
fn told(state: &State, sent: &Sent, gap: &Gap) -> Option<usize> {
    if !is_overflow(state, gap) && !is_reset(state, gap) {
        return None;
    }
    Some(sent.up_to(position::of_cursor(gap.floor.as_deref()?)?))
}

/// Whether this gap says that limits removed something, and they may.
fn is_overflow(state: &State, gap: &Gap) -> bool {
    state.allows_gaps && gap.reason == EXPIRED
}

/// Whether this gap says that the inbox lost something, and it may.
fn is_reset(state: &State, gap: &Gap) -> bool {
    state.allows_resets && gap.reason == RESET
}

/// What a reader is owed and has not received, nor was told of, expired or not.
fn lacking<'a>(state: &'a State, reader: &Received, all: &Holdings) -> Vec<&'a Accepted> {
    let sent = sent(state, reader);
    let from = match reader.start {
        Start::FirstReceived => all.had.iter().copied().min().unwrap_or(sent.accepted.len()),
        Start::Now | Start::Beginning => reader.from,
    };
    let until = reader.until.unwrap_or(sent.accepted.len());
    (from..until)
        .filter(|place| !all.had.contains(place) && !all.told.contains(place))
        .map(|place| &sent.accepted[place])
        .collect()
}

fn judge<'a>(
    state: &'a State,
    reader: &'a Received,
    strangers: &mut HashMap<(&'a str, &'a str), &'a str>,
    report: &mut Report,
) {
    let sent = sent(state, reader);
    let mut volatile = HashSet::new();
    for (index, life) in reader.lives.iter().enumerate() {
        let who = || {
            format!("{} of {} (session {} {})", reader.name, reader.user, index + 1, life.session)
        };
        let mut seen = HashSet::new();
        let (mut last, mut passed) = (None::<usize>, 0);
        let mut unknown = HashSet::new();
        for got in &life.events {
            let Some(place) = place(state, reader, got) else {
                let Got::Other { id, payload } = got else {
                    // What it tells of comes no more; after a reset all that is kept comes again.
                    if let Got::Gap(gap) = got {
                        if is_reset(state, gap) {
                            seen.clear();
                            unknown.clear();
                            (last, passed) = (None, 0);
                        }
                        passed = passed.max(told(state, sent, gap).unwrap_or(0));
                    }
                    continue;
                };
                let first = strangers.entry((&reader.user, payload)).or_insert(id);
                let finding = if let Some((owner, _)) = state.ids.get(id) {
                    let owner = owner.to_string();
                    Some(Finding::WrongUser { reader: who(), id: id.to_string(), owner })
                } else if state.allows_resets && sent.may_be_lost(payload) {
                    None
                } else if *first != &**id {
                    let accepted = first.to_string();
                    Some(Finding::Twice { reader: who(), id: id.to_string(), accepted })
                } else if sent.volatile.contains(payload) {
                    let twice = !volatile.insert(id);
                    twice.then(|| Finding::Duplicated { reader: who(), id: id.to_string() })
                } else if sent.unknown.iter().any(|unknown| unknown.payload == *payload) {
                    let twice = !unknown.insert(id);
                    twice.then(|| Finding::Duplicated { reader: who(), id: id.to_string() })
                } else {
                    Some(sent.unexpected(who(), id, payload))
                };
                if let Some(finding) = finding {
                    report.add(&reader.user, finding);
                }
                continue;
            };
            let id = || sent.accepted[place].id.to_string();
            if let Got::Other { payload, .. } = got
                && *payload != sent.accepted[place].payload
            {
                let finding = Finding::Changed {
                    reader: who(),
                    id: id(),
                    sent: sent.accepted[place].payload.to_string(),
                    received: payload.to_string(),
                };
                report.add(&reader.user, finding);
            }
            if !seen.insert(place) {
                report.add(&reader.user, Finding::Duplicated { reader: who(), id: id() });
            } else if let Some(before) = last.filter(|last| *last > place) {
                let after = sent.accepted[before].id.to_string();
                report.add(&reader.user, Finding::OutOfOrder { reader: who(), id: id(), after });
            } else if place < reader.from {
                report.add(&reader.user, Finding::Unasked { reader: who(), id: id() });
            } else if place < passed {
                let after = "the gap that tells of it".to_owned();
                report.add(&reader.user, Finding::OutOfOrder { reader: who(), id: id(), after });
            }
            last = last.max(Some(place));
        }
    }
    let all = holdings(state, reader);
    report.repeated += all.repeated;
    report.resets += all.resets;
    report.told += all.told.len();
    let who = || format!("{} of {}", reader.name, reader.user);
    for accepted in lacking(state, reader, &all) {
        if accepted.has_expired() {
            report.expired += 1;
            continue;
        }
        let (id, payload) = (accepted.id.to_string(), accepted.payload.to_string());
        report.add(&reader.user, Finding::Lost { reader: who(), id, payload });
    }
    for reason in all.unexplained {
        report.add(&reader.user, Finding::Gap { reader: who(), reason });
    }
}

fn sent<'a>(state: &'a State, reader: &Received) -> &'a Sent {
    state.users.get(&reader.user).unwrap_or(&NOTHING)
}

/// The place of a notice in its user's order, if that is the reader's user.
fn place(state: &State, reader: &Received, got: &Got) -> Option<usize> {
    match got {
        Got::Right(place) => Some(*place),
        Got::Other { id, .. } => {
            state.ids.get(id).filter(|(user, _)| **user == *reader.user).map(|(_, place)| *place)
        }
        Got::Gap(_) => None,
    }
}
