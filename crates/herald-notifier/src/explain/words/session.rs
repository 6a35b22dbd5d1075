//! One session's story in words.

use herald_proto::api::{FindingSource, InboxStanding, SessionPlace};

use super::{reason, span, time};
use crate::explain::{
    Facts,
    now::{PATIENCE, Presence},
    way::{Gone, Target, Way},
};

/// One session's story, and what it rests on most of all.
pub(in crate::explain) fn session(facts: &Facts, way: &Way) -> (String, FindingSource) {
    let (was, source) = was(facts, way);
    let (is, is_from) = is(facts, way);
    let source = source.unwrap_or(is_from);
    ([was, is].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" "), source)
}

/// What was recorded of it.
fn was(facts: &Facts, way: &Way) -> (String, Option<FindingSource>) {
    let handed = way.emitted.map(|emitted| {
        let replayed =
            if emitted.replayed { " from the inbox, its client having come back," } else { "" };
        format!("It was handed the notice{replayed} at {}", time(emitted.at_ms))
    });
    let report = Some(FindingSource::Report);
    if let Some(at_ms) = way.acked_at_ms {
        let at = time(at_ms);
        let text = match handed {
            Some(handed) => format!("{handed}, and its client acknowledged it at {at}."),
            None => format!("Its client acknowledged the notice at {at}."),
        };
        return (text, report);
    }
    if let Some(Gone { at_ms, why }) = way.gone {
        let (at, why) = (time(at_ms), reason(why));
        let text = match handed {
            Some(handed) => format!(
                "{handed}, but ended at {at} before its client acknowledged: {why}. The device may \
                 have got it or not."
            ),
            None => format!("It ended at {at} before it was handed the notice: {why}."),
        };
        return (text, report);
    }
    if let Some(handed) = handed {
        let text = format!("{handed}. No acknowledgement of its client was reported.");
        return (text, report);
    }
    if let Some(at_ms) = way.lagging_at_ms {
        let text = format!(
            "At {} it took notices more slowly than they came. Nothing further was reported.",
            time(at_ms)
        );
        return (text, report);
    }
    if let Some(at_ms) = way.accepted_at_ms {
        let text =
            format!("At {} it was to read its inbox. Nothing further was reported.", time(at_ms));
        return (text, report);
    }
    let gateway = &way.gateway_name;
    match way.target {
        Some(Target { called: Some((at_ms, false)), .. }) => {
            let at = time(at_ms);
            (format!("It was not there any more when {gateway} reported, at {at}."), report)
        }
        Some(Target { heard: Some(false), .. }) => {
            let text = format!(
                "Its gateway {gateway} was not listening when the notice was published, and has \
                 not reported on it since: it was starting, or cut off from the backplane."
            );
            (text, Some(FindingSource::Dispatch))
        }
        Some(_) => {
            let text = format!(
                "The notice was published to its gateway {gateway}, but nothing was heard of this \
                 session: the gateway was frozen, died or was cut off, or its report was lost."
            );
            (text, Some(FindingSource::Dispatch))
        }
        None if facts.kept.targets.is_some() => {
            let text = "It was not registered when the notice was accepted.".to_owned();
            (text, None)
        }
        None => (String::new(), None),
    }
}

/// How it is now.
fn is(facts: &Facts, way: &Way) -> (String, FindingSource) {
    let gateway = &way.gateway_name;
    let stands = match way.now {
        None => return ("It is not connected any more.".into(), FindingSource::Registry),
        Some(Presence::Left) => {
            return ("It has just ended.".into(), FindingSource::Registry);
        }
        Some(Presence::Silent { listens, leased }) => {
            let channel = if listens { "listens" } else { "does not listen" };
            let lease = match leased {
                true => "is good: it was renewed not longer ago than a lease lasts",
                false => "has lapsed: it was not renewed for longer than a lease lasts",
            };
            let text = format!(
                "It is registered now, but its gateway {gateway} did not answer within {}. It \
                 {channel} on its channel, and its lease {lease}.",
                span(PATIENCE)
            );
            return (text, FindingSource::Registry);
        }
        Some(Presence::Stands(stands)) => stands,
    };
    let kept = facts.standing() == InboxStanding::Kept;
    let text = match way.place(facts) {
        SessionPlace::Passed if way.emitted.is_some() || way.acked_at_ms.is_some() => {
            "It is connected.".into()
        }
        SessionPlace::Passed => "It is connected, and was served past the notice: that was handed \
                                 to its socket, unless the ttl was over or a limit had removed it \
                                 by then."
            .into(),
        SessionPlace::BeganAfter if stands.resumed => {
            "It is connected, and began after the notice: its client came back with a place at or \
             after it, or with one that could not be continued. It is not given the notice."
                .into()
        }
        SessionPlace::BeganAfter => {
            "It is connected, and began after the notice, without a cursor: \
                                     such a session is given only what comes after its beginning."
                .into()
        }
        _ => {
            let why = if stands.lagging {
                "its socket takes notices more slowly than they come"
            } else if stands.reading {
                "it is reading its inbox"
            } else {
                "its gateway has not noticed yet that something is missing, and does with its next \
                 audit"
            };
            let then =
                if kept { "" } else { " It will not be given it: the inbox has it no more." };
            format!("It is connected, and has not come to the notice yet: {why}.{then}")
        }
    };
    (text, FindingSource::Gateway)
}
