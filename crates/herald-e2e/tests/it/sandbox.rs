//! The sandbox itself: a test that waits for what its parts never do would pass for no reason.

use std::time::Duration;

use herald_e2e::Sandbox;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn redis_keeps_its_data_over_a_kill_only_if_asked_to() {
    for persist in [true, false] {
        let builder = Sandbox::builder();
        let builder = if persist { builder.persist() } else { builder };
        let mut sandbox = builder.start().await.unwrap();
        sandbox.redis.cli(&["set", "key", "value"]).await.unwrap();
        sandbox.redis.kill().await.unwrap();
        sandbox.redis.cli(&["ping"]).await.unwrap_err();
        sandbox.redis.start().await.unwrap();
        let value = sandbox.redis.cli(&["get", "key"]).await.unwrap();
        assert_eq!(value, if persist { "value" } else { "" });
    }
}

#[tokio::test]
async fn a_frozen_redis_answers_when_it_is_thawed() {
    let mut sandbox = Sandbox::builder().start().await.unwrap();
    sandbox.redis.freeze().unwrap();
    let address = sandbox.redis.address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PING\r\n").await.unwrap();
    let mut answer = [0; 7];
    // That nothing comes can only be seen by waiting.
    let silence = timeout(Duration::from_millis(300), stream.read_exact(&mut answer)).await;
    assert!(silence.is_err(), "it answers: {answer:?}");

    sandbox.redis.thaw().unwrap();
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[tokio::test]
async fn a_monitor_sees_all_publications_scripts_included() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    let monitor = sandbox.redis.monitor().await.unwrap();
    sandbox.redis.cli(&["publish", "first", "1"]).await.unwrap();
    let script = "return redis.call('publish', KEYS[1], ARGV[1])";
    sandbox.redis.cli(&["eval", script, "1", "second", "2"]).await.unwrap();
    let published = monitor.published().await.unwrap();
    let published: Vec<_> =
        published.iter().map(|p| (p.channel.as_str(), p.message.as_slice())).collect();
    assert_eq!(published, [("first", &b"1"[..]), ("second", &b"2"[..])]);
}

#[tokio::test]
async fn a_script_ends_with_its_input_and_its_end_explains_itself() {
    let mut sandbox = Sandbox::builder().prepare().unwrap();
    let server = sandbox.node("server.mjs", &json!({})).unwrap();
    assert!(server.finish(PATIENCE).await.unwrap().success());

    let mut broken = sandbox.node("server.mjs", &json!({})).unwrap();
    broken.expect("listening", PATIENCE).await.unwrap();
    broken.command(&json!({"do": "nonsense"})).await.unwrap();
    let error = broken.next(PATIENCE).await.unwrap_err().to_string();
    assert!(error.contains("has ended") && error.contains("TypeError"), "{error}");
}
