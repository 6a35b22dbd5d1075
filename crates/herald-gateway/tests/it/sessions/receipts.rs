//! What a gateway tells those who want to hear what becomes of a notice.

use std::collections::BTreeMap;

use herald_backplane::{
    Dispatched, EndReason, Ending, GoneReason, Key, NotifierPort, Places, ReceiptEvent,
    ReceiptEvents, ReceiptState, ReceiptsWanted, Report, Terms,
};
use herald_core::{EventName, IdempotencyKey, Notice, NotifierId, Payload, SessionId, UserId};
use serde_json::json;

use crate::support::{
    SOON,
    client::{Client, Event},
    herald::Herald,
    polling::Http,
    soon,
    websocket::WebSocket,
};

/// Of notices that only find out how a session is.
const PROBE: u64 = 0;

/// A notifier that listens.
struct Notifier {
    port: NotifierPort,
    reports: ReceiptEvents,
}

fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

impl Notifier {
    async fn of(herald: &Herald) -> Self {
        let port = herald.backplane.notifier();
        let mut reports = port.receipts(NotifierId::random());
        assert_eq!(reports.next().await, Some(ReceiptEvent::Doubt));
        Self { port, reports }
    }

    /// Sends a notice to alice, whose receipts come with `token`.
    async fn send(&self, token: u64, acks: bool, key: Option<&str>, json: &str) -> Dispatched {
        let key =
            key.map(|key| Key { caller: String::new(), key: IdempotencyKey::new(key).unwrap() });
        let receipts = Some(ReceiptsWanted { notifier: self.reports.id(), token, acks });
        let notice = Notice {
            event: EventName::notice(),
            payload: Payload::new(json.to_owned(), 1 << 20).unwrap(),
            traceparent: None,
        };
        let terms = Terms { key, receipts, ..Terms::default() };
        self.port.dispatch_with(&alice(), &notice, &terms).await.unwrap()
    }

    /// The next one; of probes only what is answered at once.
    async fn next(&mut self) -> (u64, Report) {
        loop {
            match soon("a report", self.reports.next()).await.unwrap() {
                ReceiptEvent::Report { token: PROBE, report } if report.roll_call.is_none() => {}
                ReceiptEvent::Report { token, report } => return (token, report),
                other => panic!("nothing was lost, and nothing else asked for: {other:?}"),
            }
        }
    }

    /// The next report, which must be a roll call, by session.
    async fn roll_call(&mut self, token: u64) -> BTreeMap<SessionId, ReceiptState> {
        let (of, report) = self.next().await;
        assert_eq!(of, token);
        assert!(report.roll_call.is_some(), "{report:?}");
        report.receipts.iter().map(|receipt| (receipt.session, receipt.state)).collect()
    }

    /// The next report, which must be of one session alone.
    async fn one(&mut self, token: u64) -> (SessionId, ReceiptState) {
        let (of, report) = self.next().await;
        assert_eq!((of, report.roll_call, report.receipts.len()), (token, None, 1), "{report:?}");
        (report.receipts[0].session, report.receipts[0].state)
    }
}

/// The only session of alice's.
async fn session(herald: &Herald) -> SessionId {
    herald.sessions("alice", 1).await[0].id
}

/// A session of alice's whose socket's queue is full: it reads nothing.
async fn stuck(herald: &Herald, notifier: &mut Notifier) -> WebSocket {
    let mut stuck = WebSocket::open_narrow(herald.address).await;
    stuck.send(r#"40/notice,{"token":"alice"}"#).await;
    assert!(stuck.next().await.unwrap().starts_with("40"));
    assert_eq!(Event::parse(&stuck.next().await.unwrap()).name, "herald:ready");
    // More than the system's buffers take (4 MiB), so that what comes behind it waits however late
    // the gateway writes; and fewer than an inbox keeps.
    let filler = json!("x".repeat(20_000)).to_string();
    for round in 0..9 {
        for _ in 0..100 {
            herald.send("alice", &filler).await;
        }
        if round < 4 {
            continue;
        }
        notifier.send(PROBE, false, None, "0").await;
        let called = notifier.roll_call(PROBE).await;
        if called.values().all(|state| *state == ReceiptState::Lagging) {
            return stuck;
        }
    }
    panic!("never lagging");
}

#[tokio::test]
async fn a_roll_call_tells_of_every_session_that_the_user_has() {
    let herald = Herald::start().await;
    let mut notifier = Notifier::of(&herald).await;
    let auth = json!({"token": "alice", "device": "phone"});
    let (mut one, _) = Client::connect_with(herald.address, auth).await;
    one.join("/", json!({"token": "alice"})).await;
    let sessions = herald.sessions("alice", 2).await;
    let dispatched = notifier.send(7, false, None, "1").await;
    let (token, report) = notifier.next().await;
    assert_eq!((token, report.roll_call), (7, Some(sessions[0].gateway)));
    assert_eq!(report.gateway_name, sessions[0].gateway_name);
    assert_eq!(report.receipts.len(), 2);
    for receipt in report.receipts {
        let of = sessions.iter().find(|session| session.id == receipt.session).unwrap();
        assert_eq!(receipt.state, ReceiptState::Emitted);
        assert_eq!((&receipt.namespace, &receipt.device), (&of.namespace, &of.device));
        assert_eq!(receipt.connected_at_ms, of.connected_at_ms);
        assert!(receipt.at_ms >= of.connected_at_ms);
    }
    for _ in 0..2 {
        assert_eq!(one.event().await.ack, None, "none is asked for");
    }
    let kept = notifier.port.kept(&alice(), dispatched.place).await.unwrap();
    assert_eq!(kept.reports, []);
}

#[tokio::test]
async fn an_acknowledgement_is_reported_whatever_is_said_with_it() {
    let herald = Herald::start().await;
    let mut notifier = Notifier::of(&herald).await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let id = session(&herald).await;
    for (token, said) in [json!([]), json!(["ok"]), json!([{"a": [1]}, 2])].into_iter().enumerate()
    {
        let token = 1 + token as u64;
        let dispatched = notifier.send(token, true, None, "1").await;
        assert_eq!(notifier.roll_call(token).await, BTreeMap::from([(id, ReceiptState::Emitted)]));
        let event = client.event().await;
        assert_eq!(event.args.len(), 2, "payload and meta");
        client.acknowledge(&event, said).await;
        assert_eq!(notifier.one(token).await, (id, ReceiptState::Acked));
        let kept = notifier.port.kept(&alice(), dispatched.place).await.unwrap();
        assert_eq!(kept.targets.map(|targets| targets.sessions.len()), Some(1));
        let states: Vec<_> =
            kept.reports.iter().map(|kept| kept.report.receipts[0].state).collect();
        assert_eq!(states, [ReceiptState::Emitted, ReceiptState::Acked]);
    }
}

#[tokio::test]
async fn who_leaves_without_acknowledging_is_gone_at_once() {
    let herald = Herald::start().await;
    let mut notifier = Notifier::of(&herald).await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let id = session(&herald).await;
    notifier.send(1, true, None, "1").await;
    notifier.send(2, false, None, "2").await;
    for token in [1, 2] {
        let called = notifier.roll_call(token).await;
        assert_eq!(called, BTreeMap::from([(id, ReceiptState::Emitted)]));
    }
    client.expect([1, 2], false).await;
    drop(client);
    let (token, report) = notifier.next().await;
    let gone = &report.receipts[0];
    assert_eq!((token, gone.session, gone.state), (1, id, ReceiptState::Gone));
    assert_eq!(gone.gone, Some(GoneReason::ConnectionLost));
    notifier.send(3, false, None, "3").await;
    herald.sessions("alice", 0).await;
    notifier.send(4, false, None, "4").await;
    // The third one may still have found it registered; nothing is said of the second, which
    // asked for no more.
    let (mut back, _) =
        Client::connect_with(herald.address, json!({"token": "alice", "cursor": "start"})).await;
    back.expect([1, 2, 3, 4], true).await;
    let mut heard = Vec::new();
    while heard.last() != Some(&4) {
        let (token, report) = notifier.next().await;
        for receipt in report.receipts {
            if receipt.state == ReceiptState::Emitted {
                assert!(receipt.replayed);
                heard.push(token);
            }
        }
    }
    assert_eq!(heard, [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_socket_lags_until_it_has_the_notice_and_is_gone_if_it_never_gets_it() {
    let herald = Herald::with(&[("HERALD_INBOX_BYTES", "64MiB")]).await;
    let mut notifier = Notifier::of(&herald).await;
    let mut slow = stuck(&herald, &mut notifier).await;
    let id = session(&herald).await;
    notifier.send(1, true, None, "1").await;
    assert_eq!(notifier.roll_call(1).await, BTreeMap::from([(id, ReceiptState::Lagging)]));
    let event = loop {
        let event = Event::parse(&slow.next().await.unwrap());
        if event.args[0] == json!(1) {
            break event;
        }
    };
    assert_eq!(notifier.one(1).await, (id, ReceiptState::Emitted));
    slow.send(&format!("43/notice,{}[]", event.ack.unwrap())).await;
    assert_eq!(notifier.one(1).await, (id, ReceiptState::Acked));
    drop(slow);
    herald.sessions("alice", 0).await;

    let slow = stuck(&herald, &mut notifier).await;
    let id = session(&herald).await;
    notifier.send(2, false, None, "2").await;
    assert_eq!(notifier.roll_call(2).await, BTreeMap::from([(id, ReceiptState::Lagging)]));
    drop(slow);
    assert_eq!(notifier.one(2).await, (id, ReceiptState::Gone));
}

#[tokio::test]
async fn a_device_that_returns_is_told_of_and_can_acknowledge() {
    let herald = Herald::start().await;
    let other = herald.beside().await;
    let mut notifier = Notifier::of(&herald).await;
    let (client, cursor) = Client::connect(herald.address, "alice").await;
    drop(client);
    herald.sessions("alice", 0).await;
    assert_eq!(notifier.send(1, true, None, "1").await.targets, []);
    let auth = json!({"token": "alice", "cursor": cursor, "device": "phone"});
    let (mut back, _) = Client::connect_with(other.address, auth).await;
    let event = back.event().await;
    assert_eq!(event.notice(), (&json!(1), true));
    let (token, report) = notifier.next().await;
    assert_eq!((token, report.roll_call), (1, None));
    let registered = &other.sessions("alice", 1).await[0];
    assert_eq!(report.gateway_name, registered.gateway_name);
    assert_eq!(report.receipts[0].session, registered.id);
    assert_eq!(report.receipts[0].device, registered.device);
    back.acknowledge(&event, json!([])).await;
    assert_eq!(notifier.one(1).await, (registered.id, ReceiptState::Acked));
}

#[tokio::test]
async fn a_large_notice_is_emitted_once_it_was_read() {
    let herald = Herald::start().await;
    let mut notifier = Notifier::of(&herald).await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let id = session(&herald).await;
    notifier.send(1, true, None, &json!("x".repeat(10_000)).to_string()).await;
    assert_eq!(notifier.roll_call(1).await, BTreeMap::from([(id, ReceiptState::Accepted)]));
    assert_eq!(notifier.one(1).await, (id, ReceiptState::Emitted));
    let event = client.event().await;
    client.acknowledge(&event, json!([])).await;
    assert_eq!(notifier.one(1).await, (id, ReceiptState::Acked));
}

#[tokio::test]
async fn a_retry_is_answered_with_what_happened() {
    let herald = Herald::start().await;
    let mut notifier = Notifier::of(&herald).await;
    let (mut first, _) = Client::connect(herald.address, "alice").await;
    let id = session(&herald).await;
    notifier.send(1, true, Some("k"), "1").await;
    assert_eq!(notifier.roll_call(1).await, BTreeMap::from([(id, ReceiptState::Emitted)]));
    let event = first.event().await;
    // It begins after the notice and never gets it.
    let (_second, _) = Client::connect(herald.address, "alice").await;
    let sessions = herald.sessions("alice", 2).await;
    let later = sessions.iter().find(|session| session.id != id).unwrap().id;
    assert!(notifier.send(2, true, Some("k"), "1").await.duplicate);
    let expected = BTreeMap::from([(id, ReceiptState::Emitted), (later, ReceiptState::Accepted)]);
    assert_eq!(notifier.roll_call(2).await, expected);
    first.acknowledge(&event, json!([])).await;
    for token in [1, 2] {
        assert_eq!(notifier.one(token).await, (id, ReceiptState::Acked));
    }
    notifier.send(3, true, Some("k"), "1").await;
    let expected = BTreeMap::from([(id, ReceiptState::Acked), (later, ReceiptState::Accepted)]);
    assert_eq!(notifier.roll_call(3).await, expected);
    herald.send("alice", "2").await;
    first.expect([2], false).await;
}

#[tokio::test]
async fn an_acknowledgement_has_its_time() {
    let herald = Herald::with(&[("HERALD_ACK_TIMEOUT", "1s")]).await;
    let mut notifier = Notifier::of(&herald).await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let id = session(&herald).await;
    let mut http = Http::connect(herald.admin).await;
    let mut given_up = async || {
        let body = http.get("/metrics").await.body;
        let name = "herald_gateway_acks_total{outcome=\"timeout\"} ";
        let line = body.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.parse::<u64>().unwrap()
    };
    let before = given_up().await;
    notifier.send(1, true, None, "1").await;
    let emitted = BTreeMap::from([(id, ReceiptState::Emitted)]);
    assert_eq!(notifier.roll_call(1).await, emitted);
    let late = client.event().await;
    let deadline = tokio::time::Instant::now() + SOON;
    while given_up().await == before {
        assert!(tokio::time::Instant::now() < deadline, "it is not given up");
    }
    client.acknowledge(&late, json!([])).await;
    notifier.send(2, true, None, "2").await;
    assert_eq!(notifier.roll_call(2).await, emitted, "of the late one nothing is said");
    let event = client.event().await;
    client.acknowledge(&event, json!([])).await;
    assert_eq!(notifier.one(2).await, (id, ReceiptState::Acked));
}

#[tokio::test]
async fn a_gateway_that_ends_tells_of_those_it_sends_away() {
    let herald = Herald::start().await;
    let mut notifier = Notifier::of(&herald).await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let id = session(&herald).await;
    notifier.send(1, true, None, "1").await;
    assert_eq!(notifier.roll_call(1).await, BTreeMap::from([(id, ReceiptState::Emitted)]));
    client.expect([1], false).await;
    herald.stop().await.unwrap();
    assert_eq!(notifier.one(1).await, (id, ReceiptState::Gone));
}

#[tokio::test]
async fn a_session_that_is_ended_says_why() {
    let herald = Herald::start().await;
    let mut notifier = Notifier::of(&herald).await;
    let (_client, _) = Client::connect(herald.address, "alice").await;
    let id = session(&herald).await;
    notifier.send(1, true, None, "1").await;
    assert_eq!(notifier.roll_call(1).await, BTreeMap::from([(id, ReceiptState::Emitted)]));
    let why = EndReason::Kicked;
    let ending = Ending { sessions: None, tokens: false, why, words: String::new() };
    notifier.port.end_sessions(&alice(), &ending).await.unwrap();
    let (_, report) = notifier.next().await;
    assert_eq!(report.receipts[0].gone, Some(GoneReason::Kicked));
}

#[tokio::test]
async fn where_sessions_stand_is_told_to_who_asks() {
    let herald = Herald::start().await;
    let mut notifier = Notifier::of(&herald).await;
    let before = herald.send("alice", "1").await;
    let (mut fresh, _) = Client::connect(herald.address, "alice").await;
    let new = session(&herald).await;
    let auth = json!({"token": "alice", "cursor": "start"});
    let (mut resumed, _) = Client::connect_with(herald.address, auth).await;
    resumed.expect([1], true).await;
    let after = herald.send("alice", "2").await;
    fresh.expect([2], false).await;
    resumed.expect([2], false).await;

    let to = ReceiptsWanted { notifier: notifier.reports.id(), token: 9, acks: false };
    let asked = notifier.port.ask_places(&alice(), to).await.unwrap();
    assert_eq!(asked.len(), 2);
    let answer = soon("the places", notifier.reports.next()).await.unwrap();
    let ReceiptEvent::Places { token: 9, places } = answer else { panic!("{answer:?}") };
    let Places { gateway, gateway_name, sessions } = places;
    assert_eq!(gateway, asked[0].session.gateway);
    assert_eq!(gateway_name, asked[0].session.gateway_name);
    assert_eq!(sessions.len(), 2);
    for place in sessions {
        assert_eq!(place.at.place, after.place);
        let began = place.began.unwrap().place.position;
        let is_new = place.session == new;
        assert_eq!(place.resumed, !is_new);
        assert_eq!(began >= before.place.position, is_new, "one began after the first notice");
        assert!(!place.reading && !place.lagging, "{place:?}");
    }
    // Who has no session here by now says so too.
    drop((fresh, resumed));
    herald.sessions("alice", 0).await;
    assert_eq!(notifier.port.ask_places(&alice(), to).await.unwrap(), []);
}
