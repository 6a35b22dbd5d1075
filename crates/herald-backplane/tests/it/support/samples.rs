//! Users, sessions and notices.

use herald_backplane::{NotifierPort, Page};
use herald_core::{
    EventName, GatewayId, GatewayName, Namespace, Notice, Payload, Place, SessionId, SessionRecord,
    Transport, UserId,
};
use herald_proto::wire::StoredNotice;
use prost::Message as _;

pub(crate) fn user(id: impl AsRef<str>) -> UserId {
    UserId::new(id).unwrap()
}

/// A session that connected at that time; its gateway is nobody's, since the
/// lease that it is registered under is to be put there.
pub(crate) fn session(connected_at_ms: u64) -> SessionRecord {
    SessionRecord {
        id: SessionId::random(),
        gateway: GatewayId(0),
        gateway_name: GatewayName::new("gw").unwrap(),
        namespace: Namespace::new("/notice").unwrap(),
        socket_id: "socket".into(),
        connected_at_ms,
        transport: Transport::WebSocket,
        user_agent: None,
        device: None,
    }
}

pub(crate) fn sent(json: impl Into<String>) -> Notice {
    Notice {
        event: EventName::notice(),
        payload: Payload::new(json.into(), 1 << 20).unwrap(),
        traceparent: None,
    }
}

/// A notice whose payload is `number`, filled up to `bytes` of JSON.
pub(crate) fn numbered(number: usize, bytes: usize) -> Notice {
    let short = format!(r#"{{"n":{number},"fill":""}}"#);
    let fill = "x".repeat(bytes.saturating_sub(short.len()));
    sent(format!(r#"{{"n":{number},"fill":"{fill}"}}"#))
}

/// What the inbox's limit of bytes counts for it.
pub(crate) fn stored_size(notice: &Notice) -> usize {
    StoredNotice {
        event: notice.event.to_string(),
        payload: notice.payload.bytes().clone(),
        traceparent: notice.traceparent.clone().unwrap_or_default(),
        ..Default::default()
    }
    .encoded_len()
}

/// Where the notices of a page stand.
pub(crate) fn places(page: &Page) -> Vec<Place> {
    page.notices.iter().map(|kept| kept.place).collect()
}

/// Sending many.
pub(crate) trait SendMany {
    /// Dispatches `count` notices of at least `bytes` bytes, one after the other,
    /// and returns where they stand.
    async fn send(&self, user: &UserId, count: usize, bytes: usize) -> Vec<Place>;
}

impl SendMany for NotifierPort {
    async fn send(&self, user: &UserId, count: usize, bytes: usize) -> Vec<Place> {
        let mut places = Vec::new();
        for number in 0..count {
            places.push(self.dispatch(user, &numbered(number, bytes)).await.unwrap().place);
        }
        places
    }
}
