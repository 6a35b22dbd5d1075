//! The texts of Engine.IO 4 and Socket.IO 5.

use std::time::Duration;

use serde::Deserialize;

use crate::error::CloseReason;

/// Separates packets in a long-polling body.
pub(crate) const SEPARATOR: char = '\u{1e}';

/// An Engine.IO packet as it arrives at a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EnginePacket<'a> {
    Open(&'a str),
    Close,
    Ping(&'a str),
    Pong(&'a str),
    Message(&'a str),
    Noop,
}

impl<'a> EnginePacket<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, CloseReason> {
        let mut chars = text.chars();
        let kind = chars.next();
        let rest = chars.as_str();
        Ok(match kind {
            Some('0') => Self::Open(rest),
            Some('1') => Self::Close,
            Some('2') => Self::Ping(rest),
            Some('3') => Self::Pong(rest),
            Some('4') => Self::Message(rest),
            Some('6') => Self::Noop,
            _ => {
                return Err(CloseReason::Protocol(format!("unknown packet: {}", head(text))));
            }
        })
    }
}

/// What the server's first packet says.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Handshake {
    pub(crate) sid: String,
    ping_interval: u64,
    ping_timeout: u64,
}

impl Handshake {
    pub(crate) fn parse(text: &str) -> Result<Self, CloseReason> {
        let EnginePacket::Open(json) = EnginePacket::parse(text)? else {
            return Err(CloseReason::Protocol(format!("no handshake: {}", head(text))));
        };
        serde_json::from_str(json).map_err(|e| CloseReason::Protocol(format!("handshake: {e}")))
    }

    /// How long the server may be silent.
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_millis(self.ping_interval + self.ping_timeout)
    }
}

/// A Socket.IO packet; `data` is what follows its header, JSON or nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SocketPacket<'a> {
    pub(crate) kind: SocketKind,
    pub(crate) namespace: &'a str,
    pub(crate) ack: Option<u64>,
    pub(crate) data: &'a str,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum SocketKind {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
    Binary,
}

impl<'a> SocketPacket<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, CloseReason> {
        let mut chars = text.chars();
        let kind = match chars.next() {
            Some('0') => SocketKind::Connect,
            Some('1') => SocketKind::Disconnect,
            Some('2') => SocketKind::Event,
            Some('3') => SocketKind::Ack,
            Some('4') => SocketKind::ConnectError,
            Some('5' | '6') => SocketKind::Binary,
            _ => {
                return Err(CloseReason::Protocol(format!("unknown message: {}", head(text))));
            }
        };
        let mut rest = chars.as_str();
        if kind == SocketKind::Binary {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let mut namespace = "/";
        if rest.starts_with('/') {
            let (name, after) = rest.split_once(',').unwrap_or((rest, ""));
            // A query may follow the namespace's name.
            namespace = name.split_once('?').map_or(name, |(name, _)| name);
            rest = after;
        }
        let data = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &rest[..rest.len() - data.len()];
        let ack = match digits {
            "" => None,
            digits => Some(digits.parse().map_err(|_| {
                CloseReason::Protocol(format!("acknowledgement id: {}", head(digits)))
            })?),
        };
        Ok(Self { kind, namespace, ack, data })
    }
}

/// The part of a packet's header that names the namespace.
fn prefix(namespace: &str) -> String {
    if namespace == "/" { String::new() } else { format!("{namespace},") }
}

/// CONNECT, as an Engine.IO packet.
pub(crate) fn connect(namespace: &str, auth: &str) -> String {
    format!("40{}{auth}", prefix(namespace))
}

/// DISCONNECT, as an Engine.IO packet.
pub(crate) fn disconnect(namespace: &str) -> String {
    format!("41{}", prefix(namespace))
}

/// EVENT, as an Engine.IO packet; `args` are JSON texts.
pub(crate) fn event(namespace: &str, event: &str, args: &[&str]) -> String {
    let name = serde_json::Value::from(event);
    let mut text = format!("42{}[{name}", prefix(namespace));
    for arg in args {
        text.push(',');
        text.push_str(arg);
    }
    text.push(']');
    text
}

/// ACK, as an Engine.IO packet.
pub(crate) fn ack(namespace: &str, id: u64) -> String {
    format!("43{}{id}[]", prefix(namespace))
}

/// As much of a text as a message should quote.
fn head(text: &str) -> String {
    let mut head: String = text.chars().take(80).collect();
    if head.len() < text.len() {
        head.push('…');
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_apart() {
        let packet = SocketPacket::parse(r#"2/notice,12["x"]"#).unwrap();
        assert_eq!(packet.kind, SocketKind::Event);
        assert_eq!((packet.namespace, packet.ack, packet.data), ("/notice", Some(12), r#"["x"]"#));

        let packet = SocketPacket::parse(r#"2["x",1]"#).unwrap();
        assert_eq!((packet.namespace, packet.ack, packet.data), ("/", None, r#"["x",1]"#));

        let packet = SocketPacket::parse(r#"51-/a?b=c,["x"]"#).unwrap();
        assert_eq!((packet.kind, packet.namespace), (SocketKind::Binary, "/a"));

        let packet = SocketPacket::parse("1/notice,").unwrap();
        assert_eq!(
            (packet.kind, packet.namespace, packet.data),
            (SocketKind::Disconnect, "/notice", "")
        );
    }

    #[test]
    fn packets_are_put_together() {
        assert_eq!(connect("/notice", r#"{"token":"a"}"#), r#"40/notice,{"token":"a"}"#);
        assert_eq!(connect("/", "{}"), "40{}");
        assert_eq!(disconnect("/notice"), "41/notice,");
        assert_eq!(event("/notice", "say \"x\"", &["1", "{}"]), r#"42/notice,["say \"x\"",1,{}]"#);
        assert_eq!(ack("/", 3), "433[]");
    }

    #[test]
    fn nonsense_is_a_protocol_error() {
        for text in ["", "9", "x"] {
            assert!(matches!(EnginePacket::parse(text), Err(CloseReason::Protocol(_))), "{text}");
            assert!(matches!(SocketPacket::parse(text), Err(CloseReason::Protocol(_))), "{text}");
        }
        assert!(Handshake::parse("40").is_err());
    }
}
