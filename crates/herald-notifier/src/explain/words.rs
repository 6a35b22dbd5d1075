//! What is known of a notice in words: for somebody who was woken up for it.

mod session;

use std::time::Duration;

use herald_backplane::{GoneReason, Receipt, ReceiptState};
use herald_core::InboxLimits;
use herald_proto::{
    api::{GatewayHearing, InboxStanding, SessionState},
    time::{timestamp_from_unix_ms, timestamp_to_rfc3339},
};

pub(super) use self::session::session;
use super::{Facts, way::Way};

/// A time, in full: nobody at night should have to add a date.
pub(super) fn time(at_ms: u64) -> String {
    timestamp_to_rfc3339(&timestamp_from_unix_ms(at_ms))
}

/// A span in the largest unit that it is a whole number of.
pub(super) fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        _ if seconds.is_multiple_of(3_600 * 24) && seconds > 3_600 * 24 => {
            format!("{} days", seconds / (3_600 * 24))
        }
        _ if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// A number with its thousands apart.
fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut apart = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

fn count(of: usize, what: &str) -> String {
    match of {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        _ => format!("{} {what}s", number(of as u64)),
    }
}

/// What an inbox keeps.
pub(super) fn limits_of(limits: &InboxLimits) -> String {
    let (notices, bytes) = (number(limits.notices.into()), number(limits.bytes));
    format!("an inbox keeps {notices} notices of {bytes} bytes in all, for {}", span(limits.age))
}

/// What a person calls a session: its device if it has one.
pub(super) fn name(way: &Way) -> String {
    match &way.device {
        Some(device) => format!("{device} ({})", short(way)),
        None => short(way),
    }
}

/// Enough of an id to tell one session from another.
fn short(way: &Way) -> String {
    format!("session {}…", way.session.to_string().chars().take(8).collect::<String>())
}

/// The story as a whole.
pub(super) fn summary(facts: &Facts, ways: &[Way], gateways: usize) -> String {
    let mut text = format!(
        "Accepted for {} at {}. {}",
        facts.user,
        time(facts.place.position.ms),
        standing(facts)
    );
    let targets: Vec<_> = ways.iter().filter(|way| way.target.is_some()).collect();
    let mut say = |sentence: String| {
        text.push(' ');
        text.push_str(&sentence);
    };
    match &facts.kept.targets {
        None => say(format!(
            "Its way was not recorded from the beginning: its sender did not wait for \
             acknowledgements, or the record is past its retention of {}.",
            span(facts.limits.age)
        )),
        Some(_) if targets.is_empty() => say("The user had no session then.".into()),
        Some(_) => say(format!(
            "It was meant for {} on {}: {}.",
            count(targets.len(), "session"),
            count(gateways, "gateway"),
            states(&targets)
        )),
    }
    let later = ways.iter().filter(|way| way.target.is_none() && way.emitted.is_some());
    match later.count() {
        0 => {}
        later => say(format!("{} got it later.", count(later, "session"))),
    }
    if facts.now.is_empty() {
        say("The user has no session now.".into());
    }
    text
}

/// How many sessions are in which state.
fn states(targets: &[&Way]) -> String {
    let with = |state| targets.iter().filter(|way| way.state().0 == state).count();
    let states = [
        (SessionState::Acked, "acknowledged"),
        (SessionState::Emitted, "handed over and not acknowledged"),
        (SessionState::Gone, "ended first"),
        (SessionState::Lagging, "slow"),
        (SessionState::Accepted, "still to get it when last heard of"),
        (SessionState::Unheard, "on a gateway that was not listening"),
        (SessionState::Unknown, "of which nothing was heard"),
    ];
    let told = states.map(|(state, words)| (with(state), words));
    let told = told.iter().filter(|(count, _)| *count > 0);
    told.map(|(count, words)| format!("{count} {words}")).collect::<Vec<_>>().join(", ")
}

/// Where it stands.
fn standing(facts: &Facts) -> String {
    let limits = &facts.limits;
    match facts.standing() {
        InboxStanding::Expired => {
            let expired = facts.found.notice.as_ref().map(|found| found.notice.expires_at_ms);
            format!("Its ttl was over at {}.", time(expired.unwrap_or_default()))
        }
        InboxStanding::Removed => {
            let age = u64::try_from(limits.age.as_millis()).unwrap_or(u64::MAX);
            if facts.place.position.ms.saturating_add(age) < facts.found.at_ms {
                return format!(
                    "It is not in the inbox any more: it is older than {}, for which an inbox \
                     keeps notices.",
                    span(limits.age)
                );
            }
            let (notices, bytes) =
                facts.found.inbox.map_or((0, 0), |inbox| (inbox.notices, inbox.bytes));
            format!(
                "It is not in the inbox any more: newer notices needed its room. {}; now there are \
                 {} of {} bytes.",
                capital(&limits_of(limits)),
                number(notices),
                number(bytes)
            )
        }
        InboxStanding::Lost => "It is not in the inbox any more, and no limit removed it: the \
                                inbox was lost or set back, as by a failover of the backplane."
            .into(),
        InboxStanding::Kept | InboxStanding::Unspecified => "It is in the inbox.".into(),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

pub(super) fn accepted(targets: Option<usize>) -> String {
    match targets {
        Some(targets) => {
            format!("accepted, acknowledgements wanted; the user had {}", count(targets, "session"))
        }
        None => "accepted; nothing was recorded of that, the time is in its id".into(),
    }
}

pub(super) fn published(gateway: &str, hearing: GatewayHearing, sessions: usize) -> String {
    let of = count(sessions, "session");
    match hearing {
        GatewayHearing::Listened => {
            format!("published to gateway {gateway}, which was listening, for {of}")
        }
        GatewayHearing::Deaf => {
            format!("published to gateway {gateway} for {of}, but nobody was listening there")
        }
        GatewayHearing::Unknown | GatewayHearing::Unspecified => format!(
            "published to gateway {gateway} for {of}; whether it was listening was not recorded"
        ),
    }
}

pub(super) fn gateway(gateway: &str, hearing: GatewayHearing, reported: bool) -> String {
    let heard = match hearing {
        GatewayHearing::Listened => "It was listening when the notice was published to it",
        GatewayHearing::Deaf => {
            "Nobody was listening for it when the notice was published: it was starting, or cut off \
             from the backplane"
        }
        GatewayHearing::Unknown | GatewayHearing::Unspecified => {
            "The notice was published to it; whether it was listening was not recorded"
        }
    };
    match (hearing, reported) {
        (_, true) => format!("{heard}, and it has reported on the notice."),
        (GatewayHearing::Listened, false) => format!(
            "{heard}, but it has reported nothing: {gateway} was frozen, died or was cut off right \
             then, or its reports were lost."
        ),
        (_, false) => format!("{heard}. It has reported nothing."),
    }
}

pub(super) fn retried(sessions: usize) -> String {
    format!("sent again with its idempotency key; the user had {}", count(sessions, "session"))
}

pub(super) fn heard(gateway: &str, sessions: usize) -> String {
    let of = count(sessions, "session");
    format!("gateway {gateway} reported that it was told, and has {of} of the user")
}

pub(super) fn receipt(name: &str, receipt: &Receipt) -> String {
    match receipt.state {
        ReceiptState::Accepted => format!("{name} is to read it from the inbox"),
        ReceiptState::Lagging => format!("{name} takes notices more slowly than they come"),
        ReceiptState::Emitted if receipt.replayed => {
            format!("{name} was handed it from the inbox, having come back")
        }
        ReceiptState::Emitted => format!("{name} was handed it"),
        ReceiptState::Acked => format!("{name} acknowledged it"),
        ReceiptState::Gone => format!("{name} ended: {}", reason(receipt.gone)),
    }
}

pub(super) fn expired() -> String {
    "its ttl was over: nobody is given it any more".into()
}

pub(super) fn sessions_ended() -> String {
    "all sessions of the user were ended for good (DisconnectUser or PurgeUser), at about this time"
        .into()
}

pub(super) fn connected(way: &Way) -> String {
    format!("{} connected to gateway {}, and is there now", name(way), way.gateway_name)
}

/// Why a session ended.
fn reason(why: Option<GoneReason>) -> &'static str {
    match why {
        None => "nobody saw why",
        Some(GoneReason::ClientLeft) => "its client left by itself",
        Some(GoneReason::ConnectionLost) => "its connection closed or broke",
        Some(GoneReason::Silent) => "its client did not answer a ping in time",
        Some(GoneReason::TokenExpired) => "its token expired",
        Some(GoneReason::Kicked) => "a caller ended it with DisconnectUser",
        Some(GoneReason::Evicted) => "the user opened too many sessions, and it was the oldest",
        Some(GoneReason::Purged) => "PurgeUser ended it",
        Some(GoneReason::Lagging) => "its socket took nothing for too long",
        Some(GoneReason::GatewayEnded) => "its gateway ended and sent its clients to others",
        Some(GoneReason::Unregistered) => "it could not be registered",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_for_people() {
        for (of, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1 << 20, "1,048,576")] {
            assert_eq!(number(of), expected);
        }
        for (seconds, expected) in
            [(1, "1 s"), (90, "90 s"), (120, "2 min"), (86_400, "24 h"), (2_592_000, "30 days")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(span(Duration::from_millis(20)), "20 ms");
        assert_eq!(
            (count(0, "session"), count(2, "session")),
            ("no session".into(), "2 sessions".into())
        );
    }
}
