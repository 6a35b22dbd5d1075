//! What became of a notice; gateways are stood in for, so that what they report, and answer, is
//! the test's.

use std::time::Duration;

use herald_backplane::{
    Announced, BackplaneOptions, GatewayEvent, GatewayEvents, GatewayPort, GoneReason, Outgoing,
    Places, Receipt, ReceiptState, Report, SessionPlace as Stands,
};
use herald_core::{
    Cursor, Device, GatewayName, InboxLimits, Namespace, NoticeId, Place, Position, SessionId,
};
use herald_notifier::Options;
use herald_proto::api::{
    self, ExplainNoticeRequest, ExplainNoticeResponse, FindingKind, FindingSource, GatewayHearing,
    InboxStanding, SendNoticeRequest, SessionPlace, SessionState, SessionTrace, WaitFor,
};
use tokio::task::JoinHandle;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Herald, connect, eventually, in_time, notice, user};

/// A gateway that hears what it is told when the test looks, and answers what the test says.
struct Gateway {
    name: &'static str,
    port: GatewayPort,
    events: GatewayEvents,
}

impl Gateway {
    async fn start(herald: &Herald, name: &'static str) -> Self {
        let (port, events) = herald.gateway(name).await;
        Self { name, port, events }
    }

    async fn connect(&self, id: &str, at_ms: u64) -> SessionId {
        connect(&self.port, self.name, id, at_ms).await
    }

    async fn hears(&mut self) -> Announced {
        match in_time(self.events.next()).await {
            Some(GatewayEvent::Notice(announced)) => announced,
            other => panic!("heard {other:?}"),
        }
    }

    /// Answers once where its sessions stand.
    async fn answers(&mut self, sessions: Vec<Stands>) {
        let Some(GatewayEvent::AskPlaces(of, to)) = in_time(self.events.next()).await else {
            panic!("nobody asks")
        };
        assert_eq!(of, user("alice"));
        let gateway_name = GatewayName::new(self.name).unwrap();
        let places = Places { gateway: self.port.id(), gateway_name, sessions };
        assert!(self.port.tell_places(to, &places).await.unwrap());
    }

    async fn reports(&self, of: &Announced, roll_call: bool, receipts: Vec<Receipt>) {
        let report = Report {
            gateway_name: GatewayName::new(self.name).unwrap(),
            roll_call: roll_call.then(|| self.port.id()),
            receipts,
        };
        let to = of.receipts.into_iter().collect();
        let (user, place) = (of.user.clone(), of.place);
        let outgoing = Outgoing { user, place, to, keep: true, report };
        self.port.report(&[outgoing]).await.unwrap();
    }
}

fn receipt(session: SessionId, state: ReceiptState, at_ms: u64) -> Receipt {
    Receipt {
        session,
        namespace: Namespace::new("/notice").unwrap(),
        device: Device::new("laptop").ok(),
        connected_at_ms: 1_000,
        state,
        at_ms,
        replayed: false,
        gone: None,
    }
}

/// A session that was served from one place to another.
fn stands(session: SessionId, began: Cursor, at: Cursor) -> Stands {
    Stands { session, at, began: Some(began), resumed: false, reading: false, lagging: false }
}

/// A place of the inbox that the cursor is of, this far after it.
fn later(cursor: Cursor, ms: u64) -> Cursor {
    let position = Position { ms: cursor.place.position.ms + ms, seq: 0 };
    Cursor { place: Place { position, random: 1 }, ..cursor }
}

/// A place of it before every notice.
fn beginning(cursor: Cursor) -> Cursor {
    Cursor { place: Place::ZERO, ..cursor }
}

async fn explain(herald: &Herald, id: &str) -> Result<ExplainNoticeResponse, Status> {
    let request = ExplainNoticeRequest { user_id: "alice".into(), notice_id: id.into() };
    Ok(herald.notices().await.explain_notice(request).await?.into_inner())
}

/// Sends to alice, waiting for acknowledgements in the background.
async fn send(herald: &Herald, seconds: i64) -> JoinHandle<()> {
    let mut grpc = herald.notices().await;
    let request = SendNoticeRequest {
        wait_for: WaitFor::AckedAll.into(),
        wait_timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
        idempotency_key: "k".into(),
        ..notice("alice", "1")
    };
    tokio::spawn(async move {
        grpc.send_notice(request).await.unwrap();
    })
}

fn of(explained: &ExplainNoticeResponse, id: SessionId) -> &SessionTrace {
    let id = id.to_string();
    explained.sessions.iter().find(|session| session.session_id == id).expect("it is told of")
}

fn kinds(explained: &ExplainNoticeResponse) -> Vec<FindingKind> {
    explained.timeline.iter().map(|finding| finding.kind()).collect()
}

#[tokio::test]
async fn bad_questions_are_refused_with_what_is_wrong() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let request = ExplainNoticeRequest { user_id: String::new(), notice_id: "x".into() };
    let refused = grpc.explain_notice(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["user_id", "notice_id"]);
    assert!(violations[1].description.contains("as in `1764000000000-0-89abcdef`"));

    for (path, status, fields) in [
        ("/v1/users/alice/notices/x:explain", 400, vec!["noticeId"]),
        ("/v1/users/alice/notices/1-0-00000000:explain?a=1", 400, vec!["a"]),
        ("/v1/users/%0a/notices/1-0-00000000:explain", 400, vec!["userId"]),
        ("/v1/users/alice/notices/1-0-00000000", 404, vec![]),
        ("/v1/users/alice/notices/1-0-00000000:explain", 404, vec![]),
    ] {
        let answer = herald.get(path).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.fields(), fields, "{path}");
    }
    let post = herald.post("/v1/users/alice/notices/1-0-00000000:explain", "{}").await;
    assert_eq!(post.status, 405);
}

#[tokio::test]
async fn of_what_is_not_known_is_said_why_it_may_be_so() {
    let inbox = InboxLimits { notices: 2, ..InboxLimits::default() };
    let options = Options { inbox, ..Options::default() };
    let backplane = BackplaneOptions { inbox, ..BackplaneOptions::default() };
    let herald = Herald::start_with(options, &backplane).await;
    let why = async |id: &str| {
        let unknown = explain(&herald, id).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
        unknown.message().to_owned()
    };
    assert!(why("1-0-00000000").await.contains("the user has no inbox"));
    let mut grpc = herald.notices().await;
    let mut sent = Vec::new();
    for n in 0..4 {
        let answer = grpc.send_notice(notice("alice", n.to_string())).await.unwrap();
        sent.push(answer.into_inner().notice_id);
    }
    let removed = why(&sent[1]).await;
    assert!(removed.contains("a limit has removed it (an inbox keeps 2 notices"), "{removed}");
    let other: NoticeId = sent[3].parse().unwrap();
    let other = NoticeId(Place { random: other.0.random ^ 1, ..other.0 });
    assert!(why(&other.to_string()).await.contains("does not have it"));
    let NoticeId(place) = other;
    let position = Position { ms: place.position.ms + 60_000, seq: 0 };
    let newer = NoticeId(Place { position, ..place });
    assert!(why(&newer.to_string()).await.contains("newer than everything"));
    let kept = explain(&herald, &sent[3]).await.unwrap();
    assert_eq!(kept.standing(), InboxStanding::Kept);
    assert!(!kept.recorded && kept.sessions.is_empty());
    assert!(kept.summary.contains("The user has no session now."), "{}", kept.summary);
    assert_eq!(kinds(&kept), [FindingKind::Accepted]);
    assert_eq!((kept.event.as_deref(), kept.expire_time), (Some("notice"), None));
    assert!(kept.stored_bytes.unwrap() > 1);
}

#[tokio::test]
async fn each_session_has_its_story() {
    let herald = Herald::start().await;
    let mut one = Gateway::start(&herald, "gateway-1:8013").await;
    let frozen = Gateway::start(&herald, "gateway-2:8013").await;
    let deaf = Gateway::start(&herald, "gateway-3:8013").await;
    let acks = one.connect("alice", 1_000).await;
    let loses = one.connect("alice", 1_100).await;
    let expires = one.connect("alice", 1_200).await;
    let left = one.connect("alice", 1_300).await;
    let silent = frozen.connect("alice", 1_400).await;
    let unheard = deaf.connect("alice", 1_500).await;
    drop(deaf);
    let waiting = send(&herald, 20).await;
    let heard = one.hears().await;
    let sent_ms = heard.place.position.ms;
    let emitted = |session| receipt(session, ReceiptState::Emitted, sent_ms + 1);
    one.reports(&heard, true, vec![emitted(acks), emitted(loses), emitted(expires)]).await;
    let gone = |session, why| Receipt {
        gone: Some(why),
        ..receipt(session, ReceiptState::Gone, sent_ms + 3)
    };
    let happens = [
        receipt(acks, ReceiptState::Acked, sent_ms + 2),
        gone(loses, GoneReason::ConnectionLost),
        gone(expires, GoneReason::TokenExpired),
    ];
    for receipt in happens {
        one.reports(&heard, false, vec![receipt]).await;
    }
    let gone = [loses, expires, left].map(|session| (user("alice"), session));
    one.port.disconnect(&gone).await.unwrap();
    // It came back, on the same gateway.
    let back = one.connect("alice", sent_ms + 10).await;
    let again = Receipt {
        replayed: true,
        connected_at_ms: sent_ms + 10,
        ..receipt(back, ReceiptState::Emitted, sent_ms + 12)
    };
    one.reports(&heard, false, vec![again]).await;
    let retry = send(&herald, 1).await;
    in_time(retry).await.unwrap();
    let again = one.hears().await;
    // A roll call of the retry says once more what is known.
    let known = receipt(acks, ReceiptState::Acked, sent_ms + 2);
    one.reports(&again, true, vec![known, emitted(back)]).await;
    waiting.abort();

    let epoch = herald.backplane.notifier().find(&user("alice"), heard.place).await.unwrap();
    let at = Cursor { epoch: epoch.inbox.unwrap().epoch, place: heard.place };
    let id = NoticeId(heard.place).to_string();
    let places = vec![stands(acks, beginning(at), at), stands(back, beginning(at), later(at, 5))];
    let (explained, ()) = tokio::join!(explain(&herald, &id), one.answers(places));
    let explained = explained.unwrap();
    println!("{}", explained.summary);
    for session in &explained.sessions {
        println!("  {}", session.text);
    }
    for finding in &explained.timeline {
        println!("  {:?} {}", finding.kind(), finding.text);
    }

    assert_eq!((explained.notice_id.as_str(), explained.recorded), (id.as_str(), true));
    assert_eq!((explained.standing(), explained.retries), (InboxStanding::Kept, 1));
    assert!(!explained.truncated);
    let gateways: Vec<_> = explained
        .gateways
        .iter()
        .map(|of| (of.gateway.as_str(), of.hearing(), of.reported))
        .collect();
    let expected = [
        ("gateway-1:8013", GatewayHearing::Listened, true),
        ("gateway-2:8013", GatewayHearing::Listened, false),
        ("gateway-3:8013", GatewayHearing::Deaf, false),
    ];
    assert_eq!(gateways, expected);
    let told: Vec<_> = explained
        .sessions
        .iter()
        .map(|of| (of.state(), of.target, of.gone_reason(), of.place(), of.source()))
        .collect();
    let none = api::GoneReason::Unspecified;
    let (report, dispatch) = (FindingSource::Report, FindingSource::Dispatch);
    let expected = [
        (SessionState::Acked, true, none, SessionPlace::Passed, report),
        (
            SessionState::Gone,
            true,
            api::GoneReason::ConnectionLost,
            SessionPlace::NotConnected,
            report,
        ),
        (
            SessionState::Gone,
            true,
            api::GoneReason::TokenExpired,
            SessionPlace::NotConnected,
            report,
        ),
        (SessionState::Gone, true, none, SessionPlace::NotConnected, report),
        (SessionState::Unknown, true, none, SessionPlace::NoAnswer, dispatch),
        (SessionState::Unheard, true, none, SessionPlace::NoAnswer, dispatch),
        (SessionState::Emitted, false, none, SessionPlace::Passed, report),
    ];
    assert_eq!(told, expected);
    let words = [
        (acks, "its client acknowledged it"),
        (loses, "its connection closed or broke. The device may have got it or not."),
        (expires, "its token expired"),
        (left, "not there any more when gateway-1:8013 reported"),
        (
            silent,
            "gateway-2:8013 did not answer within 1 s. It listens on its channel, and its lease is good",
        ),
        (unheard, "gateway-3:8013 was not listening when the notice was published"),
        (back, "from the inbox, its client having come back"),
    ];
    for (session, words) in words {
        let text = &of(&explained, session).text;
        assert!(text.contains(words), "{words} is not in: {text}");
    }
    assert!(of(&explained, back).replayed);
    use FindingKind::{Accepted, Acked, Connected, Emitted, Gone, Heard, Published, Retried};
    let mut kinds = kinds(&explained);
    assert_eq!(kinds[0], Accepted);
    kinds.sort();
    let expected = [
        Accepted, Published, Published, Published, Retried, Heard, Heard, Emitted, Emitted,
        Emitted, Emitted, Acked, Gone, Gone, Connected,
    ];
    assert_eq!(kinds, expected, "each once, though a roll call repeats it");
    let times: Vec<_> = explained.timeline.iter().map(|of| of.time.unwrap()).collect();
    assert!(times[1..].is_sorted_by_key(|time| (time.seconds, time.nanos)));
}

#[tokio::test]
async fn where_nothing_was_recorded_the_places_of_now_say_what_they_can() {
    let herald = Herald::start().await;
    let mut gateway = Gateway::start(&herald, "gateway-1:8013").await;
    let mut grpc = herald.notices().await;
    let mut sessions = Vec::new();
    for nth in 0..5 {
        sessions.push(gateway.connect("alice", 1_000 + nth).await);
    }
    let sent = grpc.send_notice(notice("alice", "1")).await.unwrap().into_inner();
    let heard = gateway.hears().await;
    let found = herald.backplane.notifier().find(&user("alice"), heard.place).await.unwrap();
    let at = Cursor { epoch: found.inbox.unwrap().epoch, place: heard.place };
    let (before, after) = (beginning(at), later(at, 1));
    let places = vec![
        stands(sessions[0], before, after),
        stands(sessions[1], at, after),
        Stands { resumed: true, ..stands(sessions[2], after, after) },
        Stands { lagging: true, reading: true, ..stands(sessions[3], before, before) },
        Stands { began: None, ..stands(sessions[4], before, before) },
    ];
    let asked = explain(&herald, &sent.notice_id);
    let (explained, ()) = tokio::join!(asked, gateway.answers(places));
    let explained = explained.unwrap();
    assert!(!explained.recorded && explained.gateways.is_empty());
    assert!(explained.summary.contains("did not wait for acknowledgements"));
    for (session, place, words) in [
        (sessions[0], SessionPlace::Passed, "was served past the notice"),
        (sessions[1], SessionPlace::BeganAfter, "without a cursor"),
        (sessions[2], SessionPlace::BeganAfter, "came back with a place at or after it"),
        (sessions[3], SessionPlace::Before, "takes notices more slowly"),
        (sessions[4], SessionPlace::Before, "has not come to the notice yet"),
    ] {
        let of = of(&explained, session);
        assert_eq!((of.place(), of.state()), (place, SessionState::Unspecified));
        assert_eq!((of.source(), of.target), (FindingSource::Gateway, false));
        assert!(of.text.contains(words), "{words} is not in: {}", of.text);
    }
}

#[tokio::test]
async fn an_expired_notice_and_one_that_newer_ones_drove_out() {
    let inbox = InboxLimits { notices: 2, ..InboxLimits::default() };
    let options = Options { inbox, ..Options::default() };
    let backplane = BackplaneOptions { inbox, ..BackplaneOptions::default() };
    let herald = Herald::start_with(options, &backplane).await;
    let mut grpc = herald.notices().await;
    let request = SendNoticeRequest {
        wait_for: WaitFor::AckedAny.into(),
        ttl: Some(prost_types::Duration { seconds: 0, nanos: 200_000_000 }),
        ..notice("alice", "1")
    };
    let sent = grpc.send_notice(request).await.unwrap().into_inner();
    let expired = eventually(async || {
        let explained = explain(&herald, &sent.notice_id).await.unwrap();
        (explained.standing() == InboxStanding::Expired).then_some(explained)
    })
    .await;
    assert_eq!(kinds(&expired), [FindingKind::Accepted, FindingKind::Expired]);
    assert!(expired.expire_time == expired.timeline[1].time && expired.expire_time.is_some());
    assert!(expired.summary.contains("Its ttl was over at"), "{}", expired.summary);
    assert!(expired.summary.contains("The user had no session then."), "{}", expired.summary);
    for _ in 0..2 {
        grpc.send_notice(notice("alice", "2")).await.unwrap();
    }
    let removed = explain(&herald, &sent.notice_id).await.unwrap();
    assert_eq!((removed.standing(), removed.recorded), (InboxStanding::Removed, true));
    assert!(removed.summary.contains("newer notices needed its room"), "{}", removed.summary);
    assert!(removed.event.is_none() && removed.expire_time.is_none());
}

#[tokio::test]
async fn a_notice_of_a_purged_user_is_not_known_and_the_purge_is_named() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let sent = grpc.send_notice(notice("alice", "1")).await.unwrap().into_inner();
    let purge = api::PurgeUserRequest { user_id: "alice".into(), ..Default::default() };
    grpc.purge_user(purge).await.unwrap();
    let unknown = explain(&herald, &sent.notice_id).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains("as PurgeUser does too"), "{unknown}");
}

#[tokio::test]
async fn a_call_with_little_time_is_answered_within_it() {
    let herald = Herald::start().await;
    let gateway = Gateway::start(&herald, "gateway-1:8013").await;
    gateway.connect("alice", 1_000).await;
    let mut grpc = herald.notices().await;
    let sent = grpc.send_notice(notice("alice", "1")).await.unwrap().into_inner();
    let ask = ExplainNoticeRequest { user_id: "alice".into(), notice_id: sent.notice_id };
    let mut request = tonic::Request::new(ask);
    request.set_timeout(Duration::from_millis(900));
    // An error of the client's own would be DEADLINE_EXCEEDED.
    let explained = grpc.explain_notice(request).await.unwrap().into_inner();
    assert_eq!(explained.sessions[0].place(), SessionPlace::NoAnswer);
}
