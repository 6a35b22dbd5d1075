//! What one caller may take, and when it gets its answer.

use std::time::{Duration, Instant};

use herald_backplane::BackplaneOptions;
use herald_notifier::Options;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{Herald, eventually, in_time, notice};

/// A notifier that takes one call at a time, so that one can be seen to be under way.
pub(crate) async fn one_at_a_time(options: Options) -> Herald {
    let options = Options { max_calls: 1, ..options };
    Herald::start_with(options, &BackplaneOptions::default()).await
}

/// The one call, over HTTP: it is under way until its body is sent.
pub(crate) async fn begin_call(herald: &Herald) -> TcpStream {
    let head = "POST /v1/notices HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 26\r\nconnection: close\r\n\r\n";
    in_time(async {
        loop {
            let mut stream = TcpStream::connect(herald.http).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            // Seen to be under way when others are refused; itself it may have been refused for
            // one of those.
            while stream.try_read(&mut [0]).is_err() {
                if herald.post("/v1/presence:query", "{}").await.status == 429 {
                    return stream;
                }
            }
        }
    })
    .await
}

pub(crate) async fn end_call(mut stream: TcpStream) -> String {
    stream.write_all(br#"{"userId":"held","data":1}"#).await.unwrap();
    let mut answer = String::new();
    in_time(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn calls_beyond_the_limit_are_refused_at_once_and_told_when_to_return() {
    let herald = one_at_a_time(Options::default()).await;
    let grpc = herald.notices().await;
    let held = begin_call(&herald).await;
    let status = grpc.clone().send_notice(notice("a", "1")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.get_details_retry_info().is_some());
    let answer = herald.post("/v1/notices", r#"{"userId":"a","data":1}"#).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.json()["details"][0]["retryDelay"], "0.250s");
    // What is not a call of the API still answers.
    assert_eq!(herald.get("/openapi.json").await.status, 200);

    assert!(end_call(held).await.starts_with("HTTP/1.1 200"));
    eventually(|| async { grpc.clone().send_notice(notice("a", "1")).await.ok() }).await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up_and_its_place_is_free_again() {
    let body_timeout = Duration::from_millis(500);
    let herald = one_at_a_time(Options { body_timeout, ..Options::default() }).await;
    let mut held = begin_call(&herald).await;
    let mut answer = String::new();
    in_time(held.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("DEADLINE_EXCEEDED"), "{answer}");
    assert_eq!(herald.post("/v1/notices", r#"{"userId":"a","data":1}"#).await.status, 200);
}

#[tokio::test]
async fn a_head_that_does_not_arrive_ends_the_connection() {
    let head_timeout = Duration::from_millis(100);
    let options = Options { head_timeout, ..Options::default() };
    let herald = Herald::start_with(options, &BackplaneOptions::default()).await;
    let mut stream = TcpStream::connect(herald.http).await.unwrap();
    stream.write_all(b"POST /v1/notices HTTP/1.1\r\nhost:").await.unwrap();
    let mut answer = Vec::new();
    // The end of the stream; whether it is told why does not matter.
    let _ = in_time(stream.read_to_end(&mut answer)).await;
}

#[tokio::test]
async fn the_callers_deadline_is_answered_by_us_and_says_what_is_known() {
    // A Redis that takes connections and never says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/0", silent.local_addr().unwrap());
    let backplane = BackplaneOptions { url, ..BackplaneOptions::default() };
    let herald = Herald::start_with(Options::default(), &backplane).await;
    let mut request = tonic::Request::new(notice("a", "1"));
    request.metadata_mut().insert("grpc-timeout", "500m".parse().unwrap());
    let started = Instant::now();
    let status = in_time(herald.notices().await.send_notice(request)).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(status.message().contains("accepted"), "{status}");
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable), "{status}");
}
