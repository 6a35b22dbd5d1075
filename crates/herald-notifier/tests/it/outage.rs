//! Redis that is not there.

use herald_backplane::BackplaneOptions;
use herald_notifier::Options;
use herald_proto::api::{
    BatchGetPresenceRequest, BatchSendNoticesItem, BatchSendNoticesRequest, ListNoticesRequest,
    batch_send_notices_result::Result as ItemResult,
};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;

use crate::harness::{Herald, eventually, in_time, notice};

/// A notifier whose Redis is a port that nobody listens on.
async fn without_redis() -> Herald {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/0", taken.local_addr().unwrap());
    drop(taken);
    let backplane = BackplaneOptions { url, ..BackplaneOptions::default() };
    Herald::start_with(Options::default(), &backplane).await
}

#[tokio::test]
async fn it_starts_without_redis_and_says_why_it_is_not_ready() {
    let herald = without_redis().await;
    let reason = eventually(|| async {
        let report = herald.readiness.report();
        let reason = report.reasons.into_iter().find(|reason| reason.check == "backplane")?;
        (reason.reason != "starting").then_some(reason.reason)
    })
    .await;
    assert!(!reason.is_empty() && !herald.readiness.is_ready());
    let mut health = HealthClient::new(herald.channel().await);
    let check = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(check.status(), ServingStatus::NotServing);
    assert!(!herald.running.is_finished());
}

#[tokio::test]
async fn every_call_is_unavailable_with_the_time_to_return() {
    let herald = without_redis().await;
    let mut grpc = herald.notices().await;
    let list = ListNoticesRequest { user_id: "a".into(), ..Default::default() };
    let presence = BatchGetPresenceRequest { user_ids: vec!["a".into()] };
    for status in [
        in_time(grpc.send_notice(notice("a", "1"))).await.unwrap_err(),
        in_time(grpc.list_notices(list)).await.unwrap_err(),
        in_time(grpc.batch_get_presence(presence)).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        let retry = status.get_details_retry_info().expect("when to retry");
        assert!(retry.retry_delay.is_some());
    }
    let status = grpc.send_notice(notice("a", "1")).await.unwrap_err();
    assert!(status.message().starts_with("the notice was not accepted"), "{status}");

    let answer = herald.post("/v1/notices", r#"{"userId":"a","data":1}"#).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers["retry-after"], "1");
    let error = answer.json();
    assert_eq!(error["status"], "UNAVAILABLE");
    assert_eq!(error["details"][0]["@type"], "type.googleapis.com/google.rpc.RetryInfo");
}

#[tokio::test]
async fn a_batch_says_so_for_each_item() {
    let herald = without_redis().await;
    let item = |n: i32| BatchSendNoticesItem {
        r#ref: n.to_string(),
        notice: Some(notice("a", n.to_string())),
    };
    let items = (0..100).map(item).collect();
    let mut grpc = herald.notices().await;
    let answer = in_time(grpc.batch_send_notices(BatchSendNoticesRequest { items })).await;
    let results = answer.unwrap().into_inner().results;
    assert_eq!(results.len(), 100);
    for result in results {
        let Some(ItemResult::Error(error)) = result.result else { panic!("{result:?}") };
        assert_eq!(error.code, i32::from(Code::Unavailable));
    }
}

#[tokio::test]
async fn bad_input_is_told_as_such_all_the_same() {
    let herald = without_redis().await;
    let status = herald.notices().await.send_notice(notice("", "1")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}
