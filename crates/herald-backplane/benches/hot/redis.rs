//! What is written to Redis for a notice, what Redis answers, and what a gateway hears of it.

use bytes::Bytes;
use herald_backplane::{
    BackplaneOptions,
    redis::hot::{Desk, heard},
};
use herald_core::GatewayId;
use herald_measure::Case;
use herald_proto::wire::{
    ChannelMessage, StoredNotice, StoredSession, Transport, channel_message::Body,
};
use prost::Message as _;

use crate::samples::{notice, session, user};

/// About as many as travel together under load.
const TOGETHER: usize = 16;

const GATEWAY: GatewayId = GatewayId(0xfeed);

pub(crate) fn cases() -> [Case; 6] {
    [
        Case::new("redis_call", || call(1)),
        Case::new("redis_call_of_16", || call(TOGETHER)),
        Case::new("redis_answer", || answered(1)),
        Case::new("redis_answer_of_16", || answered(TOGETHER)),
        Case::new("decode_message", || decode(1)),
        Case::new("decode_bundle_of_16", || decode(TOGETHER)),
    ]
}

fn call(count: usize) -> impl FnMut() -> Vec<u8> {
    let desk = Desk::new(&BackplaneOptions::default()).unwrap();
    let notices: Vec<_> = (0..count).map(|number| (user(number), notice())).collect();
    move || desk.call(notices.iter().map(|(user, notice)| (user, notice)))
}

fn answered(count: usize) -> impl FnMut() {
    let desk = Desk::new(&BackplaneOptions::default()).unwrap();
    let answer = answer(count);
    move || {
        let dispatched = desk.answered(&answer).unwrap();
        assert_eq!(dispatched.len(), count);
        assert!(dispatched[0].targets[0].heard);
    }
}

fn decode(count: usize) -> impl FnMut() {
    let message = message(count);
    move || assert_eq!(heard(message.clone()).unwrap(), count)
}

/// What `dispatch.lua` answers: each user has one session.
fn answer(count: usize) -> Vec<u8> {
    let record = session(GATEWAY);
    let stored = StoredSession {
        gateway_name: record.gateway_name.to_string(),
        namespace: record.namespace.to_string(),
        socket_id: record.socket_id,
        connected_at_ms: record.connected_at_ms,
        transport: Transport::Websocket.into(),
        user_agent: record.user_agent.unwrap(),
        device: record.device.unwrap().to_string(),
    };
    let (id, gateway) = (record.id.to_string(), GATEWAY.to_string());
    let stored = [gateway.as_bytes(), &stored.encode_to_vec()].concat();
    let accepted = [
        &1_764_000_000_000_u64.to_le_bytes(),
        &[0][..],
        &name(b"1764000000000-0"),
        &name(b"00c0ffee"),
        &name(b"0123456789abcdef"),
        &long(b""),
        &1_u16.to_le_bytes(),
        &name(gateway.as_bytes()),
        &1_u32.to_le_bytes(),
        &name(id.as_bytes()),
        &long(&stored),
    ]
    .concat();
    let accepted = [format!("${}\r\n", accepted.len()).as_bytes(), &accepted, b"\r\n"].concat();
    [format!("*{count}\r\n").into_bytes(), accepted.repeat(count)].concat()
}

fn name(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&u32::try_from(text.len()).unwrap().to_le_bytes(), text].concat()
}

/// What `dispatch.lua` publishes.
fn message(count: usize) -> Bytes {
    let notice = notice();
    let one = |number: usize| ChannelMessage {
        position: "1764000000000-1".into(),
        previous: "1764000000000-0".into(),
        random: 0xc0_ffee,
        previous_random: Some(0xbeef),
        version: 1,
        user_id: user(number).to_string(),
        body: Some(Body::Notice(StoredNotice {
            event: notice.event.to_string(),
            payload: notice.payload.bytes().clone(),
            traceparent: notice.traceparent.clone().unwrap(),
            ..Default::default()
        })),
        ..Default::default()
    };
    if count == 1 {
        return one(0).encode_to_vec().into();
    }
    let bundle = (0..count).map(|number| one(number).encode_to_vec().into()).collect();
    ChannelMessage { version: 5, bundle, ..Default::default() }.encode_to_vec().into()
}
