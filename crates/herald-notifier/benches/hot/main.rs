//! What a notice costs the notifier, but for gRPC itself and for Redis.

use bytes::Bytes;
use herald_backplane::{Backplane, BackplaneOptions, Since};
use herald_core::{
    Device, GatewayId, GatewayName, Namespace, SessionId, SessionRecord, Transport, UserId,
};
use herald_measure::Case;
use herald_notifier::hot::Desk;
use herald_proto::api::{SendNoticeRequest, send_notice_request::Payload};
use herald_service::Process;
use prost::Message as _;
use tokio::runtime;

const USER: &str = "user-0001";

fn main() {
    // The figures are counted as they are in a real one.
    let _process = Process::detached().unwrap();
    herald_measure::run(vec![Case::new("send_notice", send)]);
}

/// A notice of 200 bytes to a user with one session, on the embedded backplane, whose inbox is full.
fn send() -> impl FnMut() {
    let options = BackplaneOptions::default();
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let backplane = Backplane::open(&options).unwrap();
    let name = GatewayName::new("gateway-1:8013").unwrap();
    let (gateway, mut events) = runtime.block_on(backplane.gateway(&name)).unwrap();
    let user = UserId::new(USER).unwrap();
    let session = session(name);
    runtime.block_on(gateway.connect(&user, &session, Since::Start)).unwrap();
    let desk = Desk::new(&backplane);
    let request = request();
    let mut send = move || {
        runtime.block_on(async {
            let answer = desk.send(request.clone()).await;
            assert!(answer.is_some_and(|answer| !answer.is_empty()), "it is accepted");
            // So that the channel has room; the lease is good for as long as somebody holds it.
            assert!(events.next().await.is_some());
            let _ = &gateway;
        });
    };
    for _ in 0..options.inbox.notices {
        send();
    }
    send
}

fn request() -> Bytes {
    let json = format!(r#"{{"order":4711,"state":"{}"}}"#, "x".repeat(175));
    let request = SendNoticeRequest {
        user_id: USER.to_owned(),
        payload: Some(Payload::Json(json.into())),
        ..Default::default()
    };
    request.encode_to_vec().into()
}

fn session(gateway_name: GatewayName) -> SessionRecord {
    SessionRecord {
        id: SessionId(0x4711),
        gateway: GatewayId(0),
        gateway_name,
        namespace: Namespace::new("/notice").unwrap(),
        socket_id: "AAAAbC".into(),
        connected_at_ms: 1_764_000_000_000,
        transport: Transport::WebSocket,
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0".into()),
        device: Some(Device::new("laptop").unwrap()),
    }
}
