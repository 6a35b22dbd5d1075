//! The `herald-loadgen` binary: what it finds is in its exit status.

use herald_e2e::{Sandbox, Spawn};
use serde_json::Value;

use crate::support::PATIENCE;

#[tokio::test]
async fn a_run_through_both_transports_is_clean_and_says_so() {
    let sandbox = Sandbox::builder().gateways(2).notifier().start().await.unwrap();
    let gateways: Vec<_> =
        sandbox.gateways.iter().map(|gateway| gateway.address().to_string()).collect();
    let (grpc, http) = (sandbox.notifier().grpc_address(), sandbox.notifier().http_address());
    for http in [None, Some(http.to_string())] {
        let mut spawn = Spawn::ours("herald-loadgen")
            .unwrap()
            .args(["--gateway", &gateways.join(","), "--grpc", &grpc.to_string()])
            .args(["--users", "50", "--sessions", "1-3", "--polling", "30", "--upgrade", "20"])
            .args(["--notices", "1000", "--source", "127.0.1.1,127.0.2.1"]);
        if let Some(http) = &http {
            spawn = spawn.args(["--http", http, "--rate", "2000"]);
        }
        let mut process = sandbox.spawn(&spawn).unwrap();
        let status = process.wait(PATIENCE).await.unwrap();
        let log = process.log();
        assert!(status.success(), "{status}: {log}");
        let summary = log.rsplit_once("sent ").unwrap().1;
        for words in ["1000 in", "p50", "p99", "0 ended early", "nothing wrong"] {
            assert!(summary.contains(words), "{words:?} is not in {summary}");
        }
    }
}

#[tokio::test]
async fn notices_that_are_not_accepted_and_sessions_that_do_not_open_fail_a_run() {
    let mut sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let gateway = sandbox.gateways[0].address().to_string();
    let grpc = sandbox.notifier().grpc_address().to_string();
    let spawn = Spawn::ours("herald-loadgen").unwrap().args([
        "--gateway",
        &gateway,
        "--grpc",
        &grpc,
        "--users",
        "3",
        "--notices",
        "3",
    ]);

    sandbox.notifiers[0].kill().await.unwrap();
    let mut process = sandbox.spawn(&spawn).unwrap();
    assert_eq!(process.wait(PATIENCE).await.unwrap().code(), Some(1), "{}", process.log());
    assert!(process.log().contains("3 not accepted"), "{}", process.log());

    sandbox.gateways[0].kill().await.unwrap();
    let mut process = sandbox.spawn(&spawn).unwrap();
    assert_eq!(process.wait(PATIENCE).await.unwrap().code(), Some(2), "{}", process.log());
    assert!(process.log().contains("cannot open a session"), "{}", process.log());
}

#[tokio::test]
async fn measuring_counts_what_arrives_however_it_is_sent_and_shared() {
    let sandbox = Sandbox::builder().gateways(2).notifier().start().await.unwrap();
    let gateways: Vec<_> =
        sandbox.gateways.iter().map(|gateway| gateway.address().to_string()).collect();
    let (grpc, http) = (sandbox.notifier().grpc_address(), sandbox.notifier().http_address());
    let (grpc, http) = (grpc.to_string(), http.to_string());
    let ways: [&[&str]; 6] = [
        &["--grpc", &grpc, "--in-flight", "4"],
        &["--grpc", &grpc, "--rate", "500", "--processes", "2", "--sources", "3"],
        &["--grpc", &grpc, "--in-flight", "2", "--batch", "10"],
        &["--http", &http, "--rate", "200"],
        &["--grpc", &grpc, "--in-flight", "4", "--wait", "acked-any"],
        &["--grpc", &grpc, "--in-flight", "4", "--volatile"],
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let mut spawn = Spawn::ours("herald-loadgen")
            .unwrap()
            .args(["measure", "--gateway", &gateways.join(","), "--clients", "20", "--json"])
            .args(["--warm-up", "0.1", "--duration", "0.5"])
            .args(way);
        spawn.name = format!("measure-{number}");
        let mut process = sandbox.spawn(&spawn).unwrap();
        let status = process.wait(PATIENCE).await.unwrap();
        let log = process.log();
        assert!(status.success(), "{way:?}: {status}: {log}");
        let lines: Vec<Value> =
            log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [connected, measuring, measured, result] = &lines[..] else { panic!("{way:?}: {log}") };
        assert!(measuring["measuring"].is_object() && measured["measured"].is_object(), "{log}");
        assert_eq!(connected["connected"]["connections"], 20, "{way:?}");
        let result = &result["result"];
        assert!(result["arrived"].as_u64().unwrap() > 10, "{way:?}: {log}");
        assert!(result["accepted"].as_u64() >= result["arrived"].as_u64(), "{way:?}: {log}");
        assert_eq!((&result["missing"], &result["failed"]), (&0.into(), &0.into()), "{way:?}");
        assert!(result["latency_us"]["p50"].as_u64().unwrap() > 0, "{way:?}: {log}");
    }
}

#[tokio::test]
async fn measuring_fails_when_nothing_is_accepted() {
    let mut sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let gateway = sandbox.gateways[0].address().to_string();
    let grpc = sandbox.notifier().grpc_address().to_string();
    sandbox.notifiers[0].kill().await.unwrap();
    let spawn = Spawn::ours("herald-loadgen")
        .unwrap()
        .args(["measure", "--gateway", &gateway, "--grpc", &grpc, "--clients", "3"])
        .args(["--rate", "100", "--warm-up", "0", "--duration", "0.2"]);
    let mut process = sandbox.spawn(&spawn).unwrap();
    assert_eq!(process.wait(PATIENCE).await.unwrap().code(), Some(1), "{}", process.log());
    assert!(process.log().contains("Unavailable"), "{}", process.log());
}
