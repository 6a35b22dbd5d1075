//! Users, sessions and notices of a usual size.

use herald_core::{
    Device, EventName, GatewayId, GatewayName, Namespace, Notice, Payload, SessionId,
    SessionRecord, Transport, UserId,
};

pub(crate) fn user(number: usize) -> UserId {
    UserId::new(format!("user-{number:04}")).unwrap()
}

/// 200 bytes of JSON, and a traceparent.
pub(crate) fn notice() -> Notice {
    let payload = format!(r#"{{"order":4711,"state":"{}"}}"#, "x".repeat(175));
    Notice {
        event: EventName::notice(),
        payload: Payload::new(payload, 1 << 20).unwrap(),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    }
}

pub(crate) fn session(gateway: GatewayId) -> SessionRecord {
    SessionRecord {
        id: SessionId(0x4711),
        gateway,
        gateway_name: GatewayName::new("gateway-1:8013").unwrap(),
        namespace: Namespace::new("/notice").unwrap(),
        socket_id: "AAAAbC".into(),
        connected_at_ms: 1_764_000_000_000,
        transport: Transport::WebSocket,
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0".into()),
        device: Some(Device::new("laptop").unwrap()),
    }
}
