//! Starting, being ready, and ending.

use std::time::Duration;

use herald_backplane::{Backplane, BackplaneOptions};
use herald_notifier::{Notifier, Options, RunError};
use herald_service::Readiness;
use tokio::net::TcpStream;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    harness::{Herald, eventually, in_time, notice},
    limits::{begin_call, end_call, one_at_a_time},
};

/// Waits far too long for calls under way.
fn patient() -> Options {
    Options { drain_deadline: Duration::from_secs(3_600), ..Options::default() }
}

#[tokio::test]
async fn several_live_in_one_process() {
    let (first, second) = (Herald::start().await, Herald::start().await);
    first.notices().await.send_notice(notice("alice", "1")).await.unwrap();
    assert_eq!(first.inbox("alice").await.len(), 1);
    assert!(second.inbox("alice").await.is_empty());
    first.shutdown.request();
    second.notices().await.send_notice(notice("alice", "2")).await.unwrap();
}

#[tokio::test]
async fn it_becomes_ready_and_an_address_in_use_is_named() {
    let herald = Herald::start().await;
    in_time(herald.readiness.until_ready()).await;
    let options = Options { http_listen: herald.http, ..Options::default() };
    let backplane = Backplane::open(&BackplaneOptions::default()).unwrap();
    let error = Notifier::bind(options, backplane, &Readiness::new()).await.unwrap_err();
    assert!(error.to_string().contains("HERALD_NOTIFIER_HTTP_LISTEN"), "{error}");
}

#[tokio::test]
async fn ending_closes_the_door_and_lets_calls_under_way_finish() {
    let mut herald = one_at_a_time(patient()).await;
    in_time(herald.readiness.until_ready()).await;
    let held = begin_call(&herald).await;
    herald.shutdown.request();
    eventually(|| async {
        let refused = |address| async move { TcpStream::connect(address).await.is_err() };
        (refused(herald.http).await && refused(herald.grpc).await).then_some(())
    })
    .await;
    in_time(herald.readiness.until_not_ready()).await;
    let report = herald.readiness.report();
    assert!(report.reasons.iter().any(|reason| reason.reason == "shutting down"), "{report:?}");
    assert!(end_call(held).await.starts_with("HTTP/1.1 200"));
    in_time(&mut herald.running).await.unwrap().unwrap();
    assert_eq!(herald.inbox("held").await, ["1"]);
}

#[tokio::test]
async fn idle_connections_and_health_watchers_hold_nothing_up() {
    let mut herald = Herald::start_with(patient(), &BackplaneOptions::default()).await;
    let mut grpc = herald.notices().await;
    grpc.send_notice(notice("a", "1")).await.unwrap();
    let mut health = HealthClient::new(herald.channel().await);
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    let mut statuses = Vec::new();
    while statuses.last() != Some(&ServingStatus::Serving) {
        statuses.push(in_time(watched.message()).await.unwrap().unwrap().status());
    }
    herald.shutdown.request();
    // Said before the stream, and with it the door, is closed.
    let last = in_time(watched.message()).await.unwrap().unwrap().status();
    assert_eq!(last, ServingStatus::NotServing);
    in_time(&mut herald.running).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_does_not_end_is_cut_off_and_said_to_be() {
    let options = Options { drain_deadline: Duration::from_millis(50), ..Options::default() };
    let mut herald = one_at_a_time(options).await;
    let _held = begin_call(&herald).await;
    herald.shutdown.request();
    let error = in_time(&mut herald.running).await.unwrap().unwrap_err();
    assert!(matches!(error, RunError::CutOff { calls: 1, .. }), "{error}");
}
