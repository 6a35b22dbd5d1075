//! What a session receives.

use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::CloseReason;

/// What a session receives, in the order of the wire. [`Closed`](Self::Closed) is the last one.
#[derive(Debug)]
pub enum Event {
    /// `herald:ready`.
    Ready(Ready),
    /// `herald:gap`.
    Gap(Gap),
    /// A notice, whatever its event.
    Notice(Notice),
    /// Any other event: its name and its arguments as the text that was on the wire.
    Other {
        /// The event's name.
        event: String,
        /// What came with it.
        args: Vec<Box<str>>,
    },
    /// The session ended.
    Closed(CloseReason),
}

/// The first thing that the gateway tells a session.
#[derive(Debug, Clone, Deserialize)]
pub struct Ready {
    /// The session's id.
    pub session: String,
    /// Its place in the user's inbox.
    pub cursor: String,
}

/// Something between the session's cursor and what follows is missing.
#[derive(Debug, Clone, Deserialize)]
pub struct Gap {
    /// `expired`, `reset` or `malformed`.
    pub reason: String,
    /// The place that could not be continued, if it was readable.
    #[serde(default)]
    pub after: Option<String>,
    /// The place from which on everything is kept.
    #[serde(default)]
    pub floor: Option<String>,
}

/// A notice as a session received it.
#[derive(Debug, Clone)]
pub struct Notice {
    /// The event's name.
    pub event: String,
    /// The payload: the text of the event's first argument, byte for byte as on the wire.
    pub payload: Box<str>,
    /// The notice's id.
    pub id: String,
    /// The session's place in the inbox; empty of a broadcast, which has none.
    pub cursor: String,
    /// When the notice was accepted, in milliseconds since 1970 by the backplane's clock.
    pub sent_at: i64,
    /// Whether it is an older one that the session asked for with its cursor.
    pub replayed: bool,
    /// The acknowledgement that the gateway asked for; see
    /// [`Session::acknowledge`](crate::Session::acknowledge).
    pub ack: Option<u64>,
    /// When this process had read it.
    pub received: Instant,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    id: String,
    #[serde(default)]
    cursor: String,
    sent_at: i64,
    replayed: bool,
}

/// Reads the data of a Socket.IO EVENT packet: a JSON array with the event's name first.
pub(crate) fn parse(data: &str, ack: Option<u64>) -> Result<Event, CloseReason> {
    let bad = |what: String| CloseReason::Protocol(what);
    let args: Vec<&RawValue> =
        serde_json::from_str(data).map_err(|e| bad(format!("event is no JSON array: {e}")))?;
    let (name, args) = args.split_first().ok_or_else(|| bad("event without a name".to_owned()))?;
    let event: String = serde_json::from_str(name.get())
        .map_err(|e| bad(format!("the event's name is no string: {e}")))?;

    match (event.as_str(), args) {
        ("herald:ready", [ready, ..]) => serde_json::from_str(ready.get())
            .map(Event::Ready)
            .map_err(|e| bad(format!("herald:ready: {e}"))),
        ("herald:gap", [gap, ..]) => serde_json::from_str(gap.get())
            .map(Event::Gap)
            .map_err(|e| bad(format!("herald:gap: {e}"))),
        (name, [payload, meta]) if !name.starts_with("herald:") => {
            match serde_json::from_str::<Meta>(meta.get()) {
                Ok(meta) => Ok(Event::Notice(Notice {
                    event,
                    payload: payload.get().into(),
                    id: meta.id,
                    cursor: meta.cursor,
                    sent_at: meta.sent_at,
                    replayed: meta.replayed,
                    ack,
                    received: Instant::now(),
                })),
                Err(_) => Ok(other(event, args)),
            }
        }
        _ => Ok(other(event, args)),
    }
}

fn other(event: String, args: &[&RawValue]) -> Event {
    Event::Other { event, args: args.iter().map(|arg| arg.get().into()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_keeps_its_bytes() {
        let payload = r#"{ "n":9007199254740993, "é":"\u00e9", "d":1.0, "a":[[],{}] ,"n":null}"#;
        let data = format!(
            r#"["notice",{payload},{{"id":"i","cursor":"c","sentAt":1795420800000,"replayed":true}}]"#
        );
        let Ok(Event::Notice(notice)) = parse(&data, Some(7)) else { panic!("not a notice") };
        assert_eq!(&*notice.payload, payload);
        assert_eq!(
            (notice.id.as_str(), notice.sent_at, notice.ack),
            ("i", 1_795_420_800_000, Some(7))
        );
        assert!(notice.replayed);
    }

    #[test]
    fn our_own_events_are_told_from_notices() {
        assert!(matches!(
            parse(r#"["herald:ready",{"session":"s","cursor":"c"}]"#, None),
            Ok(Event::Ready(Ready { session, .. })) if session == "s"
        ));
        assert!(matches!(
            parse(r#"["herald:gap",{"reason":"reset","after":null}]"#, None),
            Ok(Event::Gap(Gap { reason, after: None, .. })) if reason == "reset"
        ));
        assert!(matches!(
            parse(r#"["tick",1,{"x":2}]"#, None),
            Ok(Event::Other { event, args }) if event == "tick" && *args[1] == *r#"{"x":2}"#
        ));
    }

    #[test]
    fn what_is_no_event_is_a_protocol_error() {
        for data in ["", "{}", "[]", "[1]", r#"["herald:ready",{}]"#] {
            assert!(matches!(parse(data, None), Err(CloseReason::Protocol(_))), "{data}");
        }
    }
}
