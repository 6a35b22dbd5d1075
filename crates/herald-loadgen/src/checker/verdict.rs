//! What is wrong with what was received.

use std::collections::HashSet;

use super::{Accepted, Finding, Got, Received, Report, Sent, Start, State};

static NOTHING: Sent = Sent { accepted: Vec::new(), unknown: Vec::new() };

pub(super) fn report(state: &State) -> Report {
    let mut report = Report {
        accepted: state.users.values().map(|sent| sent.accepted.len()).sum(),
        unknown: state.users.values().map(|sent| sent.unknown.len()).sum(),
        readers: state.readers.len(),
        sessions: state.readers.iter().map(|reader| reader.lives.len()).sum(),
        received: state.readers.iter().flat_map(|r| &r.lives).map(|life| life.notices.len()).sum(),
        ..Report::default()
    };
    for id in &state.reused {
        report.add(Finding::ReusedId { id: id.to_string() });
    }
    for reader in &state.readers {
        judge(state, reader, &mut report);
    }
    report
}

/// The accepted notices that a reader is owed and has not received.
pub(super) fn missing<'a>(state: &'a State, reader: &Received) -> Vec<&'a Accepted> {
    let sent = sent(state, reader);
    let had: HashSet<usize> = reader
        .lives
        .iter()
        .flat_map(|life| &life.notices)
        .filter_map(|got| place(state, reader, got))
        .collect();
    let from = match reader.start {
        Start::FirstReceived => had.iter().copied().min().unwrap_or(sent.accepted.len()),
        Start::Now | Start::Beginning => reader.from,
    };
    let until = reader.until.unwrap_or(sent.accepted.len());
    (from..until).filter(|place| !had.contains(place)).map(|place| &sent.accepted[place]).collect()
}

fn judge(state: &State, reader: &Received, report: &mut Report) {
    let sent = sent(state, reader);
    for (index, life) in reader.lives.iter().enumerate() {
        let who = || {
            format!("{} of {} (session {} {})", reader.name, reader.user, index + 1, life.session)
        };
        let mut seen = HashSet::new();
        let mut last: Option<usize> = None;
        let mut unknown_left = sent.unknown.clone();
        for got in &life.notices {
            let Some(place) = place(state, reader, got) else {
                stranger(state, reader, got, &mut unknown_left, &who, report);
                continue;
            };
            let id = || sent.accepted[place].id.to_string();
            if let Got::Other { payload, .. } = got
                && *payload != sent.accepted[place].payload
            {
                report.add(Finding::Changed {
                    reader: who(),
                    id: id(),
                    sent: sent.accepted[place].payload.to_string(),
                    received: payload.to_string(),
                });
            }
            if !seen.insert(place) {
                report.add(Finding::Duplicated { reader: who(), id: id() });
            } else if let Some(before) = last.filter(|last| *last > place) {
                report.add(Finding::OutOfOrder {
                    reader: who(),
                    id: id(),
                    after: sent.accepted[before].id.to_string(),
                });
            } else if place < reader.from {
                report.add(Finding::Unasked { reader: who(), id: id() });
            }
            last = last.max(Some(place));
        }
    }
    for gap in &reader.gaps {
        report.add(Finding::Gap {
            reader: format!("{} of {}", reader.name, reader.user),
            reason: gap.reason.clone(),
        });
    }
    for accepted in missing(state, reader) {
        report.add(Finding::Lost {
            reader: format!("{} of {}", reader.name, reader.user),
            id: accepted.id.to_string(),
            payload: accepted.payload.to_string(),
        });
    }
}

/// A notice that is not an accepted one of the reader's user.
fn stranger(
    state: &State,
    reader: &Received,
    got: &Got,
    unknown_left: &mut Vec<Box<str>>,
    who: &impl Fn() -> String,
    report: &mut Report,
) {
    let Got::Other { id, payload } = got else {
        return;
    };
    if let Some((owner, _)) = state.ids.get(id).filter(|(owner, _)| **owner != *reader.user) {
        report.add(Finding::WrongUser {
            reader: who(),
            id: id.to_string(),
            owner: owner.to_string(),
        });
    } else if let Some(found) = unknown_left.iter().position(|unknown| unknown == payload) {
        unknown_left.swap_remove(found);
    } else {
        report.add(Finding::NeverSent {
            reader: who(),
            id: id.to_string(),
            payload: payload.to_string(),
        });
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
    }
}
