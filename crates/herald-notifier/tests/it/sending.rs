//! What sending answers, and what arrives.

use herald_backplane::{GatewayEvent, Since};
use herald_proto::api::{
    BatchSendNoticesItem, BatchSendNoticesRequest, Outcome, SendNoticeRequest, SessionState,
    batch_send_notices_result::Result as ItemResult, send_notice_request::Payload,
};
use serde_json::json;
use tonic::Request;

use crate::harness::{Herald, connect, in_time, notice, user};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn a_notice_to_nobody_is_offline_and_kept() {
    let herald = Herald::start().await;
    let sent = herald.notices().await.send_notice(notice("alice", r#"{"a":1}"#)).await;
    let sent = sent.unwrap().into_inner();
    assert_eq!(sent.outcome(), Outcome::Offline);
    assert!(sent.wait_satisfied && !sent.duplicate && !sent.notice_id.is_empty());
    assert_eq!(herald.inbox("alice").await, [r#"{"a":1}"#]);
}

#[tokio::test]
async fn each_session_is_answered_for_in_the_order_they_connected() {
    let herald = Herald::start().await;
    let (gateway, mut events) = herald.gateway("gateway-1:8013").await;
    let late = connect(&gateway, "gateway-1:8013", "alice", 2_000).await;
    let early = connect(&gateway, "gateway-1:8013", "alice", 1_000).await;
    connect(&gateway, "gateway-1:8013", "bob", 1_000).await;

    let sent = herald.notices().await.send_notice(notice("alice", "[1]")).await;
    let sent = sent.unwrap().into_inner();
    assert_eq!(sent.outcome(), Outcome::Accepted);
    let ids: Vec<&str> = sent.sessions.iter().map(|session| &*session.session_id).collect();
    assert_eq!(ids, [early.to_string(), late.to_string()]);
    let first = &sent.sessions[0];
    assert_eq!(first.state(), SessionState::Accepted);
    assert_eq!((&*first.gateway, &*first.namespace), ("gateway-1:8013", "/notice"));
    assert_eq!(first.device.as_deref(), Some("laptop"));
    assert!(first.time.is_some());
    let counts = sent.counts.unwrap();
    assert_eq!((counts.accepted, counts.unheard), (2, 0));

    let Some(GatewayEvent::Notice(announced)) = in_time(events.next()).await else {
        panic!("the gateway was not told");
    };
    assert_eq!(announced.user, user("alice"));
    assert_eq!(announced.notice.unwrap().payload.bytes(), "[1]");
}

#[tokio::test]
async fn the_same_over_http_reads_the_same() {
    let herald = Herald::start().await;
    let (gateway, _events) = herald.gateway("gateway-1:8013").await;
    let session = connect(&gateway, "gateway-1:8013", "alice", 1_000).await;
    let answer = herald.post("/v1/notices", r#"{"userId":"alice","data":1}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    let answer = answer.json();
    assert_eq!(answer["outcome"], "OUTCOME_ACCEPTED");
    assert_eq!(answer["counts"]["accepted"], 1);
    assert_eq!(answer["sessions"][0]["sessionId"], session.to_string());
    assert_eq!(answer["sessions"][0]["state"], "SESSION_STATE_ACCEPTED");
}

#[tokio::test]
async fn payloads_stay_the_senders_bytes() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let payloads = [
        "null",
        "{}",
        "12345678901234567890.50e-3",
        r#"{"b":1, "a":[{ }],"é":"\u00e9𝄞","big":9007199254740993}"#,
        "\"\\u0000\"",
    ];
    for json in payloads {
        grpc.send_notice(notice("grpc", json)).await.unwrap();
        let body = format!(r#" {{"data" : {json} ,"userId":"http"}} "#);
        let answer = herald.post("/v1/notices", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(herald.inbox("grpc").await, payloads);
    assert_eq!(herald.inbox("http").await, payloads);
}

#[tokio::test]
async fn a_value_becomes_json() {
    use prost_types::{Struct, Value, value::Kind};
    let herald = Herald::start().await;
    let number = Value { kind: Some(Kind::NumberValue(42.0)) };
    let fields = [("n".to_owned(), number)].into();
    let data = Value { kind: Some(Kind::StructValue(Struct { fields })) };
    let request = SendNoticeRequest { payload: Some(Payload::Data(data)), ..notice("alice", "") };
    herald.notices().await.send_notice(request).await.unwrap();
    assert_eq!(herald.inbox("alice").await, [r#"{"n":42}"#]);
}

#[tokio::test]
async fn a_batch_answers_for_each_item_and_a_bad_one_spoils_no_other() {
    let herald = Herald::start().await;
    let item = |reference: &str, notice: Option<SendNoticeRequest>| BatchSendNoticesItem {
        r#ref: reference.into(),
        notice,
    };
    let reserved = SendNoticeRequest { event: "herald:x".into(), ..notice("alice", "2") };
    let timeout = Some(prost_types::Duration { seconds: 31, nanos: 0 });
    let too_long = SendNoticeRequest { wait_timeout: timeout, ..notice("alice", "3") };
    let items = vec![
        item("a", Some(notice("alice", "1"))),
        item("b", Some(reserved)),
        item("c", Some(too_long)),
        item("", None),
        item("a", Some(notice("bob", "4"))),
    ];
    let answer = herald.notices().await.batch_send_notices(BatchSendNoticesRequest { items }).await;
    let results = answer.unwrap().into_inner().results;
    let seen: Vec<(&str, i32, &str)> = results
        .iter()
        .map(|result| match result.result.as_ref().unwrap() {
            ItemResult::Response(_) => (&*result.r#ref, 0, ""),
            ItemResult::Error(error) => (&*result.r#ref, error.code, &*error.message),
        })
        .collect();
    assert_eq!(seen[0], ("a", 0, ""));
    assert_eq!((seen[1].0, seen[1].1), ("b", 3));
    assert!(seen[1].2.starts_with("items[1].notice.event: `herald:x` is reserved"), "{seen:?}");
    assert_eq!((seen[2].0, seen[2].1), ("c", 3));
    assert!(seen[2].2.starts_with("items[2].notice.wait_timeout: must be above 0s"), "{seen:?}");
    assert_eq!(seen[3], ("", 3, "items[3].notice: is required"));
    assert_eq!(seen[4], ("a", 0, ""));
    assert_eq!(herald.inbox("alice").await, ["1"]);
    assert_eq!(herald.inbox("bob").await, ["4"]);
}

#[tokio::test]
async fn a_batch_over_http_does_the_same_and_an_unreadable_item_fails_alone() {
    let herald = Herald::start().await;
    let body = r#"{"items":[
        {"ref":"a","notice":{"userId":"alice","data":{"n": 1.0}}},
        {"ref":"b","notice":{"userId":"alice","date":2}},
        {"ref":"c","notice":{"userId":"","data":3}},
        {"ref":"d","notice":{"userId":"alice","data":null}}]}"#;
    let answer = herald.post("/v1/notices:batch", body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].clone();
    assert_eq!(results[0]["response"]["outcome"], "OUTCOME_OFFLINE");
    assert_eq!(results[1]["error"]["status"], "INVALID_ARGUMENT");
    let message = results[1]["error"]["message"].as_str().unwrap();
    assert!(message.contains("unknown field `date`"), "{message}");
    let violation = &results[2]["error"]["details"][0]["fieldViolations"][0];
    assert_eq!(violation["field"], "items[2].notice.userId");
    let refs: Vec<_> = results.as_array().unwrap().iter().map(|r| r["ref"].clone()).collect();
    assert_eq!(json!(refs), json!(["a", "b", "c", "d"]));
    assert_eq!(herald.inbox("alice").await, [r#"{"n": 1.0}"#, "null"]);
}

#[tokio::test]
async fn a_full_batch_keeps_each_users_order() {
    let herald = Herald::start().await;
    let items = (0..1_000)
        .map(|n| BatchSendNoticesItem {
            r#ref: n.to_string(),
            notice: Some(notice(&format!("user-{}", n % 7), n.to_string())),
        })
        .collect();
    let answer = herald.notices().await.batch_send_notices(BatchSendNoticesRequest { items }).await;
    let results = answer.unwrap().into_inner().results;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.r#ref, n.to_string());
        assert!(matches!(result.result, Some(ItemResult::Response(_))), "{result:?}");
    }
    for of in 0..7 {
        let expected: Vec<String> =
            (0..1_000).filter(|n| n % 7 == of).map(|n| n.to_string()).collect();
        // One page of the embedded backplane is shorter than that.
        let kept = herald.inbox(&format!("user-{of}")).await;
        assert_eq!(kept, expected[..kept.len()]);
        assert!(kept.len() >= 100, "{}", kept.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_callers_at_once_are_all_served() {
    let herald = Herald::start().await;
    let grpc = herald.notices().await;
    let callers = (0..64).map(|caller| {
        let mut grpc = grpc.clone();
        tokio::spawn(async move {
            for n in 0..20 {
                let id = format!("user-{caller}");
                grpc.send_notice(notice(&id, n.to_string())).await.unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        in_time(caller).await.unwrap();
    }
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for caller in 0..64 {
        assert_eq!(herald.inbox(&format!("user-{caller}")).await, expected);
    }
}

#[tokio::test]
async fn a_valid_traceparent_goes_along_and_an_invalid_one_does_not() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    for value in [TRACEPARENT, "00-nonsense"] {
        let mut request = Request::new(notice("grpc", "1"));
        request.metadata_mut().insert("traceparent", value.parse().unwrap());
        grpc.send_notice(request).await.unwrap();

        let body = r#"{"userId":"http","data":1}"#;
        let mut request =
            herald.build(http::Method::POST, "/v1/notices", Some("application/json"), body);
        request.headers_mut().insert("traceparent", value.parse().unwrap());
        assert_eq!(herald.request(request).await.status, 200);
    }
    for id in ["grpc", "http"] {
        let page = herald.backplane.notifier().read(&user(id), Since::Start, 10).await.unwrap();
        let carried: Vec<_> =
            page.notices.iter().map(|kept| kept.notice.traceparent.as_deref()).collect();
        assert_eq!(carried, [Some(TRACEPARENT), None], "{id}");
    }
}
