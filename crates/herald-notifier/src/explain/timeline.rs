//! What happened to a notice, in order of time.

use std::collections::HashSet;

use herald_backplane::{KeptReport, KeptTargets, Receipt, ReceiptState};
use herald_core::{GatewayName, SessionId};
use herald_proto::{
    api::{Finding, FindingKind, FindingSource, GatewayHearing, InboxStanding},
    time::timestamp_from_unix_ms,
};

use super::{Facts, way::Way, words};

/// An entry, still with its time.
type Entry = (u64, Finding);

/// Everything, its acceptance first.
pub(super) fn all(facts: &Facts, ways: &[Way]) -> Vec<Finding> {
    let mut entries = Vec::new();
    published(facts, ways, &mut entries);
    retried(facts, &mut entries);
    reported(facts, ways, &mut entries);
    since(facts, ways, &mut entries);
    // What stands at one time keeps the order in which things happen.
    entries.sort_by_key(|(at_ms, _)| *at_ms);
    let accepted = accepted(facts);
    [accepted].into_iter().chain(entries).map(|(_, finding)| finding).collect()
}

fn entry(at_ms: u64, kind: FindingKind, source: FindingSource, text: String) -> Entry {
    let time = Some(timestamp_from_unix_ms(at_ms));
    let (kind, source) = (kind.into(), source.into());
    (at_ms, Finding { time, kind, source, gateway: None, session_id: None, text })
}

fn on((at_ms, finding): Entry, gateway: &GatewayName) -> Entry {
    (at_ms, Finding { gateway: Some(gateway.to_string()), ..finding })
}

fn of((at_ms, finding): Entry, session: SessionId) -> Entry {
    (at_ms, Finding { session_id: Some(session.to_string()), ..finding })
}

fn accepted(facts: &Facts) -> Entry {
    let at_ms = facts.place.position.ms;
    match &facts.kept.targets {
        Some(targets) => {
            let text = words::accepted(Some(targets.sessions.len()));
            entry(at_ms, FindingKind::Accepted, FindingSource::Dispatch, text)
        }
        None => {
            let text = words::accepted(None);
            entry(at_ms, FindingKind::Accepted, FindingSource::Inbox, text)
        }
    }
}

/// To each gateway that held a target.
fn published(facts: &Facts, ways: &[Way], entries: &mut Vec<Entry>) {
    let Some(targets) = &facts.kept.targets else { return };
    let mut told: Vec<(&GatewayName, GatewayHearing, usize)> = Vec::new();
    for way in ways.iter().filter(|way| way.target.is_some()) {
        match told.iter_mut().find(|(name, ..)| **name == way.gateway_name) {
            Some((.., sessions)) => *sessions += 1,
            None => told.push((&way.gateway_name, way.hearing(), 1)),
        }
    }
    for (gateway, hearing, sessions) in told {
        let text = words::published(gateway.as_str(), hearing, sessions);
        let published = entry(targets.at_ms, FindingKind::Published, FindingSource::Dispatch, text);
        entries.push(on(published, gateway));
    }
}

fn retried(facts: &Facts, entries: &mut Vec<Entry>) {
    for KeptTargets { at_ms, sessions } in &facts.kept.retries {
        let text = words::retried(sessions.len());
        entries.push(entry(*at_ms, FindingKind::Retried, FindingSource::Dispatch, text));
    }
}

/// What gateways reported; a roll call repeats what was reported before.
fn reported(facts: &Facts, ways: &[Way], entries: &mut Vec<Entry>) {
    let mut known = HashSet::new();
    for KeptReport { at_ms, report } in &facts.kept.reports {
        let gateway = &report.gateway_name;
        if report.roll_call.is_some() {
            let text = words::heard(gateway.as_str(), report.receipts.len());
            let heard = entry(*at_ms, FindingKind::Heard, FindingSource::Report, text);
            entries.push(on(heard, gateway));
        }
        for receipt in &report.receipts {
            if !known.insert((receipt.session, receipt.state)) {
                continue;
            }
            let Some(kind) = kind(receipt) else { continue };
            let device = ways.iter().find(|way| way.session == receipt.session);
            let name = device.map_or_else(|| receipt.session.to_string(), words::name);
            let text = words::receipt(&name, receipt);
            let happened = entry(receipt.at_ms, kind, FindingSource::Report, text);
            entries.push(of(on(happened, gateway), receipt.session));
        }
    }
}

fn kind(receipt: &Receipt) -> Option<FindingKind> {
    match receipt.state {
        // The roll call says it.
        ReceiptState::Accepted => None,
        ReceiptState::Lagging => Some(FindingKind::Lagging),
        ReceiptState::Emitted => Some(FindingKind::Emitted),
        ReceiptState::Acked => Some(FindingKind::Acked),
        ReceiptState::Gone => Some(FindingKind::Gone),
    }
}

/// What befell the notice and the user afterwards.
fn since(facts: &Facts, ways: &[Way], entries: &mut Vec<Entry>) {
    let accepted_at_ms = facts.place.position.ms;
    if facts.standing() == InboxStanding::Expired
        && let Some(found) = &facts.found.notice
    {
        let text = words::expired();
        let at_ms = found.notice.expires_at_ms;
        entries.push(entry(at_ms, FindingKind::Expired, FindingSource::Inbox, text));
    }
    let ended_at_ms = facts.found.ended_at_ms;
    if ended_at_ms >= accepted_at_ms {
        let text = words::sessions_ended();
        let source = FindingSource::Registry;
        entries.push(entry(ended_at_ms, FindingKind::SessionsEnded, source, text));
    }
    let later = ways.iter().filter(|way| {
        way.now.is_some() && way.target.is_none() && way.connected_at_ms >= accepted_at_ms
    });
    for way in later {
        let text = words::connected(way);
        let source = FindingSource::Registry;
        let connected = entry(way.connected_at_ms, FindingKind::Connected, source, text);
        entries.push(of(on(connected, &way.gateway_name), way.session));
    }
}
