//! Waiting for receipts; gateways are stood in for, so that what they report, and when, is the
//! test's.

use std::time::{Duration, Instant};

use herald_backplane::{
    Announced, BackplaneOptions, GatewayEvent, GatewayEvents, GatewayPort, Outgoing, Receipt,
    ReceiptState, ReceiptsWanted, Report,
};
use herald_core::{Device, GatewayName, Namespace, SessionId};
use herald_notifier::Options;
use herald_proto::api::{
    BatchSendNoticesItem, BatchSendNoticesRequest, Outcome, SendNoticeRequest, SendNoticeResponse,
    SessionState, WaitFor, batch_send_notices_result::Result as ItemResult,
};
use serde_json::json;
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::harness::{Herald, connect, eventually, in_time, notice, user};

/// A gateway that does nothing by itself.
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

    /// Says this of sessions that connected at 1_000, to everybody who asked for the notice.
    async fn says(&self, of: &Announced, roll_call: bool, states: &[(SessionId, ReceiptState)]) {
        let receipts = states.iter().map(|(session, state)| Receipt {
            session: *session,
            namespace: Namespace::new("/notice").unwrap(),
            device: Device::new("laptop").ok(),
            connected_at_ms: 1_000,
            state: *state,
            at_ms: 1_700_000_000_000,
            replayed: false,
            gone: None,
        });
        let report = Report {
            gateway_name: GatewayName::new(self.name).unwrap(),
            roll_call: roll_call.then(|| self.port.id()),
            receipts: receipts.collect(),
        };
        let wanted: ReceiptsWanted = of.receipts.expect("somebody wants to hear of it");
        let (user, place) = (of.user.clone(), of.place);
        let outgoing = Outgoing { user, place, to: vec![wanted], keep: wanted.acks, report };
        self.port.report(&[outgoing]).await.unwrap();
    }
}

fn waits(id: &str, wait_for: WaitFor, seconds: i64) -> SendNoticeRequest {
    SendNoticeRequest {
        wait_for: wait_for.into(),
        wait_timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..notice(id, "1")
    }
}

type Answer = JoinHandle<Result<SendNoticeResponse, Status>>;

async fn send(herald: &Herald, request: SendNoticeRequest) -> Answer {
    let mut grpc = herald.notices().await;
    tokio::spawn(async move { Ok(grpc.send_notice(request).await?.into_inner()) })
}

async fn answer(answer: Answer) -> SendNoticeResponse {
    in_time(answer).await.unwrap().unwrap()
}

fn states(answer: &SendNoticeResponse) -> Vec<(String, SessionState)> {
    let state = |s: &herald_proto::api::SessionOutcome| (s.session_id.clone(), s.state());
    let states: Vec<_> = answer.sessions.iter().map(state).collect();
    let counts = answer.counts.unwrap();
    let of = |state| states.iter().filter(|(_, of)| *of == state).count() as u32;
    assert_eq!(counts.accepted, of(SessionState::Accepted));
    assert_eq!(counts.emitted, of(SessionState::Emitted));
    assert_eq!(counts.acked, of(SessionState::Acked));
    assert_eq!(counts.lagging, of(SessionState::Lagging));
    assert_eq!(counts.gone, of(SessionState::Gone));
    assert_eq!(counts.unheard, of(SessionState::Unheard));
    assert_eq!(counts.unknown, of(SessionState::Unknown));
    states
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let herald = Herald::start().await;
    for wait_for in [WaitFor::Emitted, WaitFor::AckedAny, WaitFor::AckedAll] {
        let answer = answer(send(&herald, waits("alice", wait_for, 30)).await).await;
        assert_eq!((answer.outcome(), answer.wait_satisfied), (Outcome::Offline, false));
        assert!(answer.sessions.is_empty() && !answer.notice_id.is_empty());
    }
    assert_eq!(herald.inbox("alice").await.len(), 3, "accepted all the same");
}

#[tokio::test]
async fn the_answer_comes_when_it_is_known_and_says_what_was_seen() {
    let herald = Herald::start().await;
    let mut here = Gateway::start(&herald, "gateway-1:8013").await;
    let mut there = Gateway::start(&herald, "gateway-2:8013").await;
    let one = here.connect("alice", 1_000).await;
    let two = there.connect("alice", 2_000).await;
    let waiting = send(&herald, waits("alice", WaitFor::Emitted, 30)).await;
    let (heard, other) = (here.hears().await, there.hears().await);
    assert_eq!(heard.receipts, other.receipts);
    assert!(!heard.receipts.unwrap().acks);
    here.says(&heard, true, &[(one, ReceiptState::Lagging)]).await;
    there.says(&heard, true, &[(two, ReceiptState::Emitted)]).await;
    let answer = answer(waiting).await;
    assert_eq!((answer.outcome(), answer.wait_satisfied), (Outcome::Emitted, true));
    let expected =
        [(one.to_string(), SessionState::Lagging), (two.to_string(), SessionState::Emitted)];
    assert_eq!(states(&answer), expected);
    let last = &answer.sessions[1];
    assert_eq!((last.gateway.as_str(), last.device.as_deref()), ("gateway-2:8013", Some("laptop")));
    assert_eq!(last.time.unwrap().seconds, 1_700_000_000);
}

#[tokio::test]
async fn acknowledgements_of_any_and_of_all() {
    let herald = Herald::start().await;
    let mut gateway = Gateway::start(&herald, "gateway-1:8013").await;
    let one = gateway.connect("alice", 1_000).await;
    let two = gateway.connect("alice", 2_000).await;
    let both = [(one, ReceiptState::Emitted), (two, ReceiptState::Emitted)];
    for (wait_for, second) in
        [(WaitFor::AckedAny, SessionState::Emitted), (WaitFor::AckedAll, SessionState::Acked)]
    {
        let waiting = send(&herald, waits("alice", wait_for, 30)).await;
        let heard = gateway.hears().await;
        assert!(heard.receipts.unwrap().acks);
        gateway.says(&heard, true, &both).await;
        gateway.says(&heard, false, &[(one, ReceiptState::Acked)]).await;
        if wait_for == WaitFor::AckedAll {
            gateway.says(&heard, false, &[(two, ReceiptState::Acked)]).await;
        }
        let answer = answer(waiting).await;
        assert_eq!((answer.outcome(), answer.wait_satisfied), (Outcome::Acked, true));
        assert_eq!(states(&answer)[1], (two.to_string(), second));
    }
}

#[tokio::test]
async fn a_session_that_left_is_made_good_for_by_one_that_returned() {
    let herald = Herald::start().await;
    let mut gateway = Gateway::start(&herald, "gateway-1:8013").await;
    let one = gateway.connect("alice", 900).await;
    let waiting = send(&herald, waits("alice", WaitFor::AckedAll, 30)).await;
    let heard = gateway.hears().await;
    gateway.says(&heard, true, &[(one, ReceiptState::Emitted)]).await;
    gateway.says(&heard, false, &[(one, ReceiptState::Gone)]).await;
    let back = SessionId::random();
    for state in [ReceiptState::Emitted, ReceiptState::Acked] {
        gateway.says(&heard, false, &[(back, state)]).await;
    }
    let answer = answer(waiting).await;
    assert_eq!((answer.outcome(), answer.wait_satisfied), (Outcome::Acked, true));
    let expected = [(one.to_string(), SessionState::Gone), (back.to_string(), SessionState::Acked)];
    assert_eq!(states(&answer), expected);
}

#[tokio::test]
async fn a_wait_is_cut_short_of_the_calls_deadline_and_answers_what_is_known() {
    let herald = Herald::start().await;
    let mut here = Gateway::start(&herald, "gateway-1:8013").await;
    let there = Gateway::start(&herald, "gateway-2:8013").await;
    let one = here.connect("alice", 1_000).await;
    let two = there.connect("alice", 2_000).await;
    let mut grpc = herald.notices().await;
    let mut request = Request::new(waits("alice", WaitFor::AckedAll, 30));
    request.set_timeout(Duration::from_secs(3));
    let start = Instant::now();
    let waiting = tokio::spawn(async move { Ok(grpc.send_notice(request).await?.into_inner()) });
    let heard = here.hears().await;
    here.says(&heard, true, &[(one, ReceiptState::Emitted)]).await;
    // The other one says nothing, as if it had died.
    let answer = answer(waiting).await;
    println!("answered after {:?} of 3 s", start.elapsed());
    assert_eq!((answer.outcome(), answer.wait_satisfied), (Outcome::Emitted, false));
    let expected =
        [(one.to_string(), SessionState::Emitted), (two.to_string(), SessionState::Unknown)];
    assert_eq!(states(&answer), expected);
}

#[tokio::test]
async fn the_same_over_http() {
    let herald = Herald::start().await;
    let mut gateway = Gateway::start(&herald, "gateway-1:8013").await;
    let one = gateway.connect("alice", 1_000).await;
    let body = r#"{"userId":"alice","data":1,"waitFor":"WAIT_FOR_ACKED_ANY","waitTimeout":"20s"}"#;
    let play = async {
        let heard = gateway.hears().await;
        gateway.says(&heard, true, &[(one, ReceiptState::Emitted)]).await;
        gateway.says(&heard, false, &[(one, ReceiptState::Acked)]).await;
    };
    let (answer, ()) = tokio::join!(herald.post("/v1/notices", body), play);
    let answer = answer.json();
    assert_eq!(answer["outcome"], "OUTCOME_ACKED");
    assert_eq!((&answer["waitSatisfied"], &answer["counts"]["acked"]), (&json!(true), &json!(1)));
    assert_eq!(answer["sessions"][0]["state"], "SESSION_STATE_ACKED");

    let body = r#"{"userId":"alice","data":1,"waitFor":"WAIT_FOR_EMITTED","waitTimeout":"0.2s"}"#;
    let answer = herald.post("/v1/notices", body).await.json();
    assert_eq!(
        (&answer["waitSatisfied"], &answer["counts"]["unknown"]),
        (&json!(false), &json!(1))
    );
}

#[tokio::test]
async fn the_waits_of_a_batch_run_side_by_side_and_its_order_stays() {
    let herald = Herald::start().await;
    let mut gateway = Gateway::start(&herald, "gateway-1:8013").await;
    gateway.connect("alice", 1_000).await;
    let sessions = gateway.connect("bob", 1_000).await;
    let item = |n: usize| {
        let id = if n.is_multiple_of(2) { "alice" } else { "bob" };
        let request = waits(id, WaitFor::Emitted, 2);
        let notice = SendNoticeRequest { payload: notice(id, n.to_string()).payload, ..request };
        BatchSendNoticesItem { r#ref: n.to_string(), notice: Some(notice) }
    };
    let items = (0..40).map(item).collect();
    let mut grpc = herald.notices().await;
    let start = Instant::now();
    let play = async {
        for _ in 0..40 {
            let heard = gateway.hears().await;
            if heard.user.as_str() == "bob" {
                gateway.says(&heard, true, &[(sessions, ReceiptState::Emitted)]).await;
            }
        }
    };
    // One after the other they would take 40 s, which is more than is waited for.
    let batch = grpc.batch_send_notices(BatchSendNoticesRequest { items });
    let (answer, ()) = tokio::join!(in_time(batch), play);
    println!("40 waits of up to 2 s took {:?}", start.elapsed());
    for (n, result) in answer.unwrap().into_inner().results.iter().enumerate() {
        let Some(ItemResult::Response(response)) = &result.result else { panic!("{result:?}") };
        assert_eq!(response.wait_satisfied, n % 2 == 1, "{n}");
        assert_eq!(result.r#ref, n.to_string());
    }
    let evens: Vec<_> = (0..40).step_by(2).map(|n: usize| n.to_string()).collect();
    assert_eq!(herald.inbox("alice").await, evens);
}

#[tokio::test]
async fn too_many_waits_are_refused_before_anything_is_sent() {
    let options = Options { max_waits: 1, ..Options::default() };
    let herald = Herald::start_with(options, &BackplaneOptions::default()).await;
    let mut gateway = Gateway::start(&herald, "gateway-1:8013").await;
    let one = gateway.connect("alice", 1_000).await;
    let waiting = send(&herald, waits("alice", WaitFor::Emitted, 30)).await;
    let heard = gateway.hears().await;
    let refused = send(&herald, waits("alice", WaitFor::Emitted, 30)).await;
    let status = in_time(refused).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().starts_with("the notice was not accepted"), "{status}");
    assert!(status.get_details_retry_info().is_some());
    assert_eq!(herald.inbox("alice").await.len(), 1);
    herald.notices().await.send_notice(notice("alice", "2")).await.unwrap();
    gateway.says(&heard, true, &[(one, ReceiptState::Emitted)]).await;
    assert!(answer(waiting).await.wait_satisfied);
    gateway.hears().await;
    let again = send(&herald, waits("alice", WaitFor::Emitted, 30)).await;
    let heard = gateway.hears().await;
    gateway.says(&heard, true, &[(one, ReceiptState::Emitted)]).await;
    assert!(answer(again).await.wait_satisfied, "there is room again");
}

#[tokio::test]
async fn a_retry_knows_what_was_acknowledged_before() {
    let herald = Herald::start().await;
    let mut gateway = Gateway::start(&herald, "gateway-1:8013").await;
    let one = gateway.connect("alice", 1_000).await;
    let keyed = |wait_for| SendNoticeRequest {
        idempotency_key: "k".into(),
        ..waits("alice", wait_for, 30)
    };
    let waiting = send(&herald, keyed(WaitFor::AckedAny)).await;
    let heard = gateway.hears().await;
    gateway.says(&heard, true, &[(one, ReceiptState::Emitted)]).await;
    gateway.says(&heard, false, &[(one, ReceiptState::Acked)]).await;
    let first = answer(waiting).await;
    gateway.port.disconnect(&[(user("alice"), one)]).await.unwrap();
    for wait_for in [WaitFor::AckedAny, WaitFor::AckedAll] {
        let again = answer(send(&herald, keyed(wait_for)).await).await;
        assert!(again.duplicate && again.wait_satisfied, "{again:?}");
        assert_eq!((again.outcome(), &again.notice_id), (Outcome::Acked, &first.notice_id));
        assert_eq!(states(&again), [(one.to_string(), SessionState::Acked)]);
    }
    let emitted = answer(send(&herald, keyed(WaitFor::Emitted)).await).await;
    assert_eq!((emitted.outcome(), emitted.wait_satisfied), (Outcome::Offline, false));
}

#[tokio::test]
async fn a_notice_that_expires_is_waited_for_no_longer_than_it_can_come() {
    let herald = Herald::start().await;
    let gateway = Gateway::start(&herald, "gateway-1:8013").await;
    gateway.connect("alice", 1_000).await;
    let request = SendNoticeRequest {
        ttl: Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 }),
        ..waits("alice", WaitFor::Emitted, 30)
    };
    // The wait is longer than anything here is waited for.
    let answer = answer(send(&herald, request).await).await;
    assert!(!answer.wait_satisfied);
    assert_eq!(states(&answer)[0].1, SessionState::Unknown);
}

#[tokio::test]
async fn who_waits_is_answered_when_the_notifier_ends() {
    let options = Options { drain_deadline: Duration::from_secs(4), ..Options::default() };
    let mut herald = Herald::start_with(options, &BackplaneOptions::default()).await;
    let mut gateway = Gateway::start(&herald, "gateway-1:8013").await;
    let one = gateway.connect("alice", 1_000).await;
    let waiting = [
        send(&herald, waits("alice", WaitFor::AckedAny, 30)).await,
        send(&herald, waits("alice", WaitFor::AckedAny, 30)).await,
    ];
    let heard = [gateway.hears().await, gateway.hears().await];
    herald.shutdown.request();
    eventually(async || (!herald.readiness.is_ready()).then_some(())).await;
    // It hears to the end.
    gateway.says(&heard[0], true, &[(one, ReceiptState::Emitted)]).await;
    gateway.says(&heard[0], false, &[(one, ReceiptState::Acked)]).await;
    let mut satisfied = Vec::new();
    for waiting in waiting {
        satisfied.push(answer(waiting).await.wait_satisfied);
    }
    satisfied.sort_unstable();
    assert_eq!(satisfied, [false, true]);
    in_time(&mut herald.running).await.unwrap().unwrap();
}
