use herald_core::NotifierId;

use super::*;

const WANTED: ReceiptsWanted =
    ReceiptsWanted { notifier: NotifierId(1), token: u64::MAX, acks: true };

fn a_notice() -> Notice {
    Notice {
        event: EventName::notice(),
        payload: Payload::new(r#"{"n":1}"#, 100).unwrap(),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

fn decode(message: Bytes) -> Result<Queued, BackplaneError> {
    let mut decoded = Vec::new();
    decode_messages(message, |queued| decoded.push(queued));
    assert_eq!(decoded.len(), 1, "one message is one");
    decoded.remove(0)
}

#[test]
fn of_a_bundle_each_message_is_read_by_itself() {
    let user = UserId::new("alice").unwrap();
    let announcement = encode_announcement(&user, None);
    let parts = [&announcement[..], b":\0"];
    let message = completed("12-3", "11-0", 7, &parts);
    let bundle = |entries: &[&[u8]]| {
        let mut out = vec![32, 5];
        for entry in entries {
            out.push(122);
            prost::encode_length_delimiter(entry.len(), &mut out).unwrap();
            out.extend_from_slice(entry);
        }
        Bytes::from(out)
    };
    let mut read = Vec::new();
    decode_messages(bundle(&[&message, b"\xff", &message]), |queued| read.push(queued.is_ok()));
    assert_eq!(read, [true, false, true]);
    // No bundle is in a bundle, so nobody can make a deep one.
    let inner = bundle(&[&message]);
    let mut read = Vec::new();
    decode_messages(bundle(&[&inner]), |queued| read.push(queued.is_ok()));
    assert_eq!(read, [false]);
}

/// What the dispatch script does, in Rust.
fn completed(position: &str, previous: &str, random: u32, parts: &[&[u8]]) -> Bytes {
    const PREVIOUS_RANDOM: u32 = 6;
    let mut out = vec![0x0a, position.len() as u8];
    out.extend(position.as_bytes());
    out.extend([0x12, previous.len() as u8]);
    out.extend(previous.as_bytes());
    out.push(0x1d);
    out.extend(random.to_le_bytes());
    out.push(0x65);
    out.extend(PREVIOUS_RANDOM.to_le_bytes());
    out.extend(parts.concat());
    out.into()
}

fn announced(message: Bytes) -> (Announced, u64) {
    let queued = decode(message).unwrap();
    let expires_at_ms = queued.expires_at_ms();
    match queued.into_event() {
        GatewayEvent::Notice(announced) => (announced, expires_at_ms),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_announcement_in_parts_is_one_message() {
    let user = UserId::new("alice").unwrap();
    let mut stored = encode_notice(&a_notice(), Some(WANTED));
    let length = stored.len();
    append_expiry(&mut stored, 99);
    assert_eq!(stored.len(), length + EXPIRY_BYTES);
    let announcement = encode_announcement(&user, Some(WANTED));
    let parts = [&announcement[..], &encode_notice_tag(stored.len()), &stored];
    let (announced, expires_at_ms) = announced(completed("12-3", "11-0", 7, &parts));
    assert_eq!(announced.user, user);
    assert_eq!(announced.place, Place { position: Position { ms: 12, seq: 3 }, random: 7 });
    assert_eq!(announced.previous, Position { ms: 11, seq: 0 });
    assert_eq!(announced.previous_random, Some(6));
    assert_eq!(announced.receipts, Some(WANTED));
    assert_eq!((announced.notice, expires_at_ms), (Some(a_notice()), 99));
}

#[test]
fn what_is_too_large_is_only_announced() {
    let user = UserId::new("alice").unwrap();
    let parts = [&encode_announcement(&user, None)[..], b":\0"];
    let (announced, _) = announced(completed("12-3", "0-0", 7, &parts));
    assert_eq!((announced.notice, announced.receipts), (None, None));
}

#[test]
fn a_volatile_notice_is_read_as_it_was_written() {
    let (user, id) = (UserId::new("alice").unwrap(), VolatileId::random());
    let expected = VolatileNotice { id, sent_at_ms: 5, notice: a_notice() };
    let completed = |user: Option<&UserId>| {
        let mut message = encode_volatile(user, id, &a_notice());
        message.push(81);
        message.extend(5_u64.to_le_bytes());
        decode(message.into()).unwrap().into_event()
    };
    assert_eq!(completed(None), GatewayEvent::Broadcast(expected.clone()));
    let event = completed(Some(&user));
    assert_eq!(event, GatewayEvent::Volatile(user, expected));
}

#[test]
fn an_ending_is_read_as_it_was_written() {
    let user = UserId::new("alice").unwrap();
    for sessions in [None, Some(vec![]), Some(vec![SessionId::random(), SessionId::random()])] {
        for why in [EndReason::Kicked, EndReason::Evicted, EndReason::Purged] {
            let ending =
                Ending { sessions: sessions.clone(), tokens: true, why, words: "so".into() };
            let mut message = encode_end(&user, &ending);
            message.push(81);
            message.extend(7_u64.to_le_bytes());
            let event = decode(message.into()).unwrap().into_event();
            let (user, sessions) = (user.clone(), sessions.clone());
            let order = EndOrder { user, sessions, mark: Mark(7), why, words: "so".into() };
            assert_eq!(event, GatewayEvent::End(order));
        }
    }
}

#[test]
fn a_question_for_places_is_read_as_it_was_written() {
    let user = UserId::new("alice").unwrap();
    let mut message = encode_ask_places(&user, WANTED);
    message.push(81);
    message.extend(7_u64.to_le_bytes());
    let event = decode(message.into()).unwrap().into_event();
    assert_eq!(event, GatewayEvent::AskPlaces(user, WANTED));
}

/// What the gateways before version 2 did.
#[test]
fn to_an_older_gateway_a_volatile_notice_is_a_hint() {
    for user in [Some(UserId::new("alice").unwrap()), None] {
        let message = encode_volatile(user.as_ref(), VolatileId::random(), &a_notice());
        let mut message = ChannelMessage::decode(&message[..]).unwrap();
        assert!(message.version > ANNOUNCEMENT);
        // A body that a gateway does not know is none to it.
        message.body = None;
        let (announced, _) = announced(message.encode_to_vec().into());
        assert_eq!((announced.notice, announced.previous), (None, Position::ZERO));
        assert_eq!(announced.user, user.unwrap_or(UserId::new("*").unwrap()));
    }
}

#[test]
fn a_newer_version_is_a_hint_to_read() {
    let message = ChannelMessage {
        position: "12-3".into(),
        previous: "0-0".into(),
        version: CHANNEL_VERSION + 1,
        user_id: "alice".into(),
        body: Some(Body::Notice(StoredNotice { event: "notice".into(), ..Default::default() })),
        ..Default::default()
    };
    assert_eq!(announced(message.encode_to_vec().into()).0.notice, None);
}

#[test]
fn the_digest_is_of_event_payload_and_ttl_and_of_nothing_else() {
    let notice = |event: &str, json: &'static str| Notice {
        event: EventName::new(event).unwrap(),
        payload: Payload::new(json, 100).unwrap(),
        traceparent: None,
    };
    let ttl = |ms| Some(Duration::from_millis(ms));
    let first = digest(&notice("ab", "1"), None);
    assert_eq!(first.len(), 32);
    let traced = Notice { traceparent: a_notice().traceparent, ..notice("ab", "1") };
    assert_eq!(digest(&traced, None), first);
    for other in [
        digest(&notice("ab", "1"), ttl(1)),
        digest(&notice("ab", "2"), None),
        digest(&notice("ab", "[1]"), None),
        digest(&notice("a", "1"), None),
    ] {
        assert_ne!(other, first);
    }
}

#[test]
fn sessions_and_notices_are_read_as_they_were_written() {
    for receipts in [None, Some(WANTED)] {
        let mut stored = encode_notice(&a_notice(), receipts);
        for expires_at_ms in [0, 9] {
            let expected = Stored { notice: a_notice(), expires_at_ms, receipts };
            assert_eq!(decode_notice(stored.clone().into()).unwrap(), expected);
            append_expiry(&mut stored, 9);
        }
    }
    let gateway = GatewayId(0xfeed);
    let session = SessionRecord {
        id: SessionId::random(),
        gateway,
        gateway_name: GatewayName::new("gw:1").unwrap(),
        namespace: Namespace::new("/notice").unwrap(),
        socket_id: "abc".into(),
        connected_at_ms: 5,
        transport: Transport::Polling,
        user_agent: None,
        device: Some(Device::new("phone").unwrap()),
    };
    let value = encode_session(gateway, &session);
    assert!(value.starts_with(b"000000000000feed"));
    assert_eq!(decode_session(session.id.to_string().as_bytes(), &value).unwrap(), session);
    assert!(decode_session(b"zz", &value).is_err());
    assert!(decode_session(session.id.to_string().as_bytes(), b"short").is_err());
}
