//! Idempotency keys, through two notifiers and both protocols.

use std::collections::BTreeSet;

use herald_notifier::{Notifier, Options};
use herald_proto::api::{Outcome, SendNoticeRequest, notice_service_client::NoticeServiceClient};
use herald_service::{Readiness, Shutdown};
use serde_json::json;
use tonic::{Code, transport::Channel};

use crate::harness::{Herald, connect, in_time, notice};

fn keyed(user: &str, key: &str, json: &str) -> SendNoticeRequest {
    SendNoticeRequest { idempotency_key: key.into(), ..notice(user, json.to_owned()) }
}

/// A second notifier on the same backplane.
async fn another(herald: &Herald) -> NoticeServiceClient<Channel> {
    let (readiness, backplane) = (Readiness::new(), herald.backplane.clone());
    let notifier = Notifier::bind(Options::default(), backplane, &readiness).await.unwrap();
    let address = notifier.grpc_address();
    tokio::spawn(notifier.run(Shutdown::new()));
    NoticeServiceClient::connect(format!("http://{address}")).await.unwrap()
}

#[tokio::test]
async fn a_retry_is_a_duplicate_with_the_same_id_and_todays_sessions() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    let first = grpc.send_notice(keyed("alice", "k", "1")).await.unwrap().into_inner();
    assert!(!first.duplicate && first.outcome() == Outcome::Offline);
    let (gateway, _events) = herald.gateway("gateway-1:8013").await;
    connect(&gateway, "gateway-1:8013", "alice", 1_000).await;
    let again = grpc.send_notice(keyed("alice", "k", "1")).await.unwrap().into_inner();
    assert!(again.duplicate && again.wait_satisfied);
    assert_eq!((&again.notice_id, again.outcome()), (&first.notice_id, Outcome::Accepted));
    assert_eq!((again.sessions.len(), again.counts.unwrap().accepted), (1, 1));

    let body = r#"{"userId":"alice","data":1,"idempotencyKey":"k"}"#;
    let answer = herald.post("/v1/notices", body).await.json();
    assert_eq!(
        (&answer["duplicate"], &answer["noticeId"]),
        (&json!(true), &json!(first.notice_id))
    );
    assert_eq!(herald.inbox("alice").await, ["1"]);
}

#[tokio::test]
async fn a_key_used_for_another_notice_is_already_exists() {
    let herald = Herald::start().await;
    let mut grpc = herald.notices().await;
    grpc.send_notice(keyed("alice", "k", "1")).await.unwrap();
    let status = grpc.send_notice(keyed("alice", "k", "2")).await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert!(status.message().contains("idempotency key"), "{status}");
    for body in [
        r#"{"userId":"alice","data":2,"idempotencyKey":"k"}"#,
        r#"{"userId":"alice","data":1,"event":"other","idempotencyKey":"k"}"#,
        r#"{"userId":"alice","data":1,"ttl":"5s","idempotencyKey":"k"}"#,
    ] {
        let answer = herald.post("/v1/notices", body).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (409, &json!(6)), "{body}");
        assert_eq!(answer.json()["status"], "ALREADY_EXISTS");
    }
    let body = r#"{"items":[{"ref":"a","notice":{"userId":"alice","data":2,"idempotencyKey":"k"}},
        {"ref":"b","notice":{"userId":"alice","data":1,"idempotencyKey":"k"}}]}"#;
    let results = herald.post("/v1/notices:batch", body).await.json()["results"].clone();
    assert_eq!(results[0]["error"]["status"], "ALREADY_EXISTS");
    assert_eq!(results[1]["response"]["duplicate"], true);
    assert_eq!(herald.inbox("alice").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn five_at_once_through_two_notifiers_are_one_notice_with_one_id() {
    let herald = Herald::start().await;
    let notifiers = [herald.notices().await, another(&herald).await];
    for round in 0..20 {
        let retries: Vec<_> = (0..5)
            .map(|n| {
                let mut grpc = notifiers[n % 2].clone();
                let request = keyed("alice", &format!("key-{round}"), &round.to_string());
                tokio::spawn(async move { grpc.send_notice(request).await.unwrap().into_inner() })
            })
            .collect();
        let (mut ids, mut firsts) = (BTreeSet::new(), 0);
        for retry in retries {
            let answer = in_time(retry).await.unwrap();
            ids.insert(answer.notice_id);
            firsts += usize::from(!answer.duplicate);
        }
        assert_eq!((ids.len(), firsts), (1, 1));
    }
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(herald.inbox("alice").await, expected);
}
