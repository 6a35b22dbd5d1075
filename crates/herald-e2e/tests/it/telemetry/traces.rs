//! One trace from who sends a notice to the device that acknowledges it.

use std::{collections::BTreeSet, time::Duration};

use herald_e2e::{Sandbox, eventually};
use herald_loadgen::{Outgoing, Session, http::HttpClient};
use herald_proto::api::{
    BatchSendNoticesItem, BatchSendNoticesRequest, SendNoticeRequest, WaitFor, send_notice_request,
};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinSet;
use tonic::{Request, metadata::AsciiMetadataValue};

use super::collector::{Collector, Seen};
use crate::{
    probe::expect_notice,
    support::{PATIENCE, api},
};

/// The spans of a notice that is sent alone, to one session that does not acknowledge it.
const ALONE: [&str; 5] = [
    "herald.v1.NoticeService/SendNotice",
    "send inbox",
    "EVALSHA dispatch",
    "deliver sessions",
    "emit session",
];

/// A caller's trace, of which it records a span or not.
struct Caller {
    trace: [u8; 16],
    span: [u8; 8],
    sampled: bool,
}

impl Caller {
    fn new(sampled: bool) -> Self {
        Self { trace: rand::random(), span: rand::random(), sampled }
    }

    fn header(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("00-{}-{}-0{}", hex(&self.trace), hex(&self.span), u8::from(self.sampled))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let header = AsciiMetadataValue::try_from(self.header()).unwrap();
        request.metadata_mut().insert("traceparent", header);
        request
    }
}

fn notice(user: &str, json: &'static str) -> SendNoticeRequest {
    SendNoticeRequest {
        user_id: user.into(),
        payload: Some(send_notice_request::Payload::Json(json.into())),
        ..Default::default()
    }
}

/// The only one of these that has this name.
#[track_caller]
fn one<'s>(spans: &'s [Seen], name: &str) -> &'s Seen {
    let mut found = spans.iter().filter(|seen| seen.span.name == name);
    match (found.next(), found.next()) {
        (Some(span), None) => span,
        (first, second) => panic!("{name}: {first:?} and {second:?} of {spans:#?}"),
    }
}

/// From its sender, over both protocols, to the device that acknowledges.
#[track_caller]
fn is_one_trace(spans: &[Seen], caller: &Caller) {
    let way = [
        ("herald-notifier", "herald.v1.NoticeService/SendNotice"),
        ("herald-notifier", "send inbox"),
        ("herald-gateway", "deliver sessions"),
        ("herald-gateway", "emit session"),
        ("herald-gateway", "acknowledge session"),
    ];
    let mut parent = caller.span.to_vec();
    for (service, name) in way {
        let seen = one(spans, name);
        assert_eq!(
            (seen.service.as_str(), &seen.span.parent_span_id),
            (service, &parent),
            "{name}"
        );
        assert!(seen.span.end_time_unix_nano >= seen.span.start_time_unix_nano);
        parent = seen.span.span_id.clone();
    }
    let send = one(spans, "send inbox");
    let script = one(spans, "EVALSHA dispatch");
    assert_eq!(script.span.parent_span_id, send.span.span_id);
    assert_eq!(script.attribute("db.system.name").unwrap(), "redis");
    let call = one(spans, "herald.v1.NoticeService/SendNotice");
    assert_eq!(call.attribute("rpc.response.status_code").unwrap(), "OK");
    assert_eq!(one(spans, "acknowledge session").attribute("herald.acknowledged").unwrap(), "true");
    assert_eq!(one(spans, "emit session").attribute("herald.outcome").unwrap(), "taken");
    let id = send.attribute("messaging.message.id").unwrap();
    for name in ["deliver sessions", "emit session"] {
        assert_eq!(one(spans, name).attribute("messaging.message.id").unwrap(), id);
    }
    assert_eq!(spans.len(), way.len() + 1, "{spans:#?}");
}

#[tokio::test]
async fn a_notice_is_one_trace_from_its_sender_to_the_acknowledgement_and_ends_flush_all_of_it() {
    let collector = Collector::start().await;
    let mut sandbox = Sandbox::builder()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
        // Nothing leaves by itself while this test runs: only what the end of a service flushes.
        .env("OTEL_BSP_SCHEDULE_DELAY", "600000")
        .gateways(1)
        .notifier()
        .start()
        .await
        .unwrap();
    let mut phone = Session::connect(sandbox.gateways[0].session("alice")).await.unwrap();
    phone.ready(PATIENCE).await.unwrap();
    let mut devices = JoinSet::new();
    devices.spawn(async move {
        while let Ok(notice) = phone.notice(PATIENCE).await {
            phone.acknowledge(&notice).await;
        }
    });
    let mut api = api(sandbox.notifier());

    let grpc = Caller::new(true);
    let request = SendNoticeRequest { wait_for: WaitFor::AckedAny.into(), ..notice("alice", "1") };
    let answer = api.send_notice(grpc.request(request)).await.unwrap().into_inner();
    assert!(answer.wait_satisfied);
    let http = Caller::new(true);
    let body = json!({"userId": "alice", "data": 2, "waitFor": "WAIT_FOR_ACKED_ANY"}).to_string();
    let header = http.header();
    let headers = [("traceparent", header.as_str()), ("content-type", "application/json")];
    let mut client = HttpClient::new(sandbox.notifier().http_address());
    let answer = client.request(Method::POST, "/v1/notices", &headers, body.into()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);

    // Who is not sampled leaves no span anywhere.
    let quiet = Caller::new(false);
    api.send_notice(quiet.request(notice("alice", "3"))).await.unwrap();
    // A batch has one for the log.
    let item = BatchSendNoticesItem { notice: Some(notice("carol", "1")), ..Default::default() };
    let items = vec![item];
    api.batch_send_notices(quiet.request(BatchSendNoticesRequest { items })).await.unwrap();

    // Of a batch each notice is delivered on its own, and found again when it is replayed.
    let batch = Caller::new(true);
    let item =
        |json| BatchSendNoticesItem { notice: Some(notice("bob", json)), ..Default::default() };
    let items = vec![item("1"), item("2"), item("3")];
    api.batch_send_notices(batch.request(BatchSendNoticesRequest { items })).await.unwrap();
    let mut bob =
        Session::connect(sandbox.gateways[0].session("bob").cursor("start")).await.unwrap();
    for json in ["1", "2", "3"] {
        expect_notice(&mut bob, json).await;
    }

    // A call that fails says how.
    let wrong = Caller::new(true);
    api.send_notice(wrong.request(notice("", "1"))).await.unwrap_err();

    assert!(collector.named("deliver sessions").is_empty(), "it was exported before its time");
    assert!(sandbox.notifiers[0].terminate().await.unwrap().success());
    assert!(sandbox.gateways[0].terminate().await.unwrap().success());

    is_one_trace(&collector.trace(&grpc.trace), &grpc);
    is_one_trace(&collector.trace(&http.trace), &http);
    assert!(collector.trace(&quiet.trace).is_empty());
    let traced = [&grpc.trace, &http.trace, &batch.trace, &wrong.trace];
    // A replay is a trace of its own, and so is what it emits.
    for name in ["create inbox"].iter().chain(&ALONE[..4]) {
        let mut spans = collector.named(name);
        spans.retain(|seen| traced.iter().all(|trace| seen.span.trace_id != trace[..]));
        assert!(spans.is_empty(), "of a call that is not traced: {spans:?}");
    }
    let wrong = collector.trace(&wrong.trace);
    let refused = one(&wrong, "herald.v1.NoticeService/SendNotice");
    assert_eq!(refused.attribute("rpc.response.status_code").unwrap(), "INVALID_ARGUMENT");
    assert!(refused.attribute("error.type").is_none(), "the caller's fault is no server's error");

    let spans = collector.trace(&batch.trace);
    let sent = one(&spans, "send inbox");
    let created: Vec<_> = spans.iter().filter(|seen| seen.span.name == "create inbox").collect();
    assert_eq!((created.len(), sent.span.links.len()), (3, 3));
    assert_eq!(sent.attribute("messaging.batch.message_count").unwrap(), "3");
    let replays = collector.named("replay sessions");
    let replayed = one(&replays, "replay sessions");
    assert_eq!(replayed.span.links.len(), 3);
    for span in created {
        assert_eq!(span.span.parent_span_id, sent.span.span_id);
        for links in [&sent.span.links, &replayed.span.links] {
            assert!(links.iter().any(|link| link.span_id == span.span.span_id), "{links:?}");
        }
    }
    std::fs::write(sandbox.directory().join("otlp.traces"), collector.text()).unwrap();
}

#[tokio::test]
async fn calls_that_are_in_no_trace_begin_one_as_often_as_the_sampler_says() {
    for (share, traced) in [("0", false), ("1", true)] {
        let collector = Collector::start().await;
        let mut sandbox = Sandbox::builder()
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
            .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
            .env("OTEL_TRACES_SAMPLER_ARG", share)
            .gateways(1)
            .notifier()
            .start()
            .await
            .unwrap();
        let mut alice = Session::connect(sandbox.gateways[0].session("alice")).await.unwrap();
        alice.ready(PATIENCE).await.unwrap();
        api(sandbox.notifier()).send_notice(notice("alice", "1")).await.unwrap();
        expect_notice(&mut alice, "1").await;
        assert!(sandbox.notifiers[0].terminate().await.unwrap().success());
        assert!(sandbox.gateways[0].terminate().await.unwrap().success());
        let seen: Vec<_> = ALONE.iter().flat_map(|name| collector.named(name)).collect();
        assert_eq!(seen.len(), if traced { ALONE.len() } else { 0 }, "{seen:?}");
        let traces: BTreeSet<_> = seen.iter().map(|seen| &seen.span.trace_id).collect();
        assert_eq!(traces.len(), usize::from(traced), "{seen:?}");
    }
}

#[tokio::test]
async fn a_collector_that_is_away_or_hangs_holds_up_no_notice_and_no_end() {
    // It accepts connections, and says nothing.
    let hangs = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut sandbox = Sandbox::builder()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", hangs.local_addr().unwrap()))
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .gateways(1)
        .notifier()
        .start()
        .await
        .unwrap();
    let mut session = Session::connect(sandbox.gateways[0].session("alice")).await.unwrap();
    session.ready(PATIENCE).await.unwrap();
    let producer = sandbox.notifier().grpc();
    for number in 0..50 {
        producer.send(&Outgoing::new("alice", number.to_string())).await.unwrap();
        expect_notice(&mut session, &number.to_string()).await;
    }
    eventually("it is asked", PATIENCE, async || {
        let accepted = tokio::time::timeout(Duration::from_millis(100), hangs.accept()).await;
        accepted.map(drop).map_err(|_| "nobody")
    })
    .await;
    assert!(sandbox.notifiers[0].terminate().await.unwrap().success());
    assert!(sandbox.gateways[0].terminate().await.unwrap().success());
}
