//! A Redis that hangs and goes on.

use std::time::{Duration, Instant};

use herald_e2e::{Sandbox, eventually};
use herald_loadgen::{Outgoing, SendError, Session};
use rustix::process::Signal;
use tonic::Code;

use crate::{
    probe::{assert_idle, expect_notice, figure, inbox, leases},
    support::{PATIENCE, sessions_become, sessions_of},
};

#[tokio::test]
async fn what_a_frozen_redis_did_not_take_in_time_is_never_applied_and_nobody_is_reaped() {
    const LEASE: Duration = Duration::from_secs(4);
    let builder = Sandbox::builder()
        .env("HERALD_LEASE", "4s")
        .env("HERALD_LEASE_RENEWAL", "500ms")
        .env("HERALD_BACKPLANE_DEADLINE", "300ms");
    let mut sandbox = builder.gateways(1).notifier().start().await.unwrap();
    let prefix = sandbox.key_prefix().to_owned();
    let mut session = Session::connect(sandbox.gateways[0].session("alice")).await.unwrap();
    session.ready(PATIENCE).await.unwrap();
    let (grpc, http) = (sandbox.notifier().grpc(), sandbox.notifier().http());
    grpc.send(&Outgoing::new("alice", "\"before\"")).await.unwrap();
    expect_notice(&mut session, "\"before\"").await;
    let before = leases(&sandbox.redis, &prefix).await.unwrap();
    let registered = sessions_of(sandbox.notifier(), "alice").await;

    sandbox.redis.freeze().unwrap();
    let begin = Instant::now();
    let (mut slowest, mut unknown, mut refused) = (Duration::ZERO, 0, 0);
    while begin.elapsed() < LEASE + Duration::from_secs(1) {
        for producer in [&grpc, &http] {
            let asked = Instant::now();
            let error = producer.send(&Outgoing::new("alice", "\"frozen\"")).await.unwrap_err();
            slowest = slowest.max(asked.elapsed());
            assert_eq!(error.code, Code::Unavailable, "{error}");
            assert!(error.retry_after.is_some(), "{error:?}");
            count(&error, &mut unknown, &mut refused);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert!(unknown > 0 && refused > 0, "{unknown} unknown, {refused} refused");
    println!("frozen: {unknown} unknown, {refused} refused, slowest answer {slowest:?}");

    // The gateway comes back later than the reaper, which looks every second: it has to wait.
    sandbox.gateways[0].process().unwrap().signal(Signal::STOP).unwrap();
    sandbox.redis.thaw().unwrap();
    sandbox.notifiers[0].ready().await.unwrap();
    let healthy = Instant::now();
    tokio::time::sleep(LEASE / 2).await;
    assert_eq!(leases(&sandbox.redis, &prefix).await.unwrap(), before);
    grpc.send(&Outgoing::new("alice", "\"after\"")).await.unwrap();
    sandbox.gateways[0].process().unwrap().signal(Signal::CONT).unwrap();
    sandbox.gateways[0].ready().await.unwrap();
    expect_notice(&mut session, "\"after\"").await;
    assert_eq!(inbox(sandbox.notifier(), "alice").await.unwrap(), ["\"before\"", "\"after\""]);
    eventually("the lease is renewed", PATIENCE, async || {
        match sessions_of(sandbox.notifier(), "alice").await {
            found if found == registered => Ok(()),
            found => Err(format!("{found:?}")),
        }
    })
    .await;
    // From here on the reaper is free to reap what has lapsed.
    while healthy.elapsed() < LEASE + Duration::from_millis(1_500) {
        assert_eq!(sessions_of(sandbox.notifier(), "alice").await, registered);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(leases(&sandbox.redis, &prefix).await.unwrap(), before);
    let lost = figure(&sandbox.gateways[0], "herald_gateway_leases_total", "lost").await.unwrap();
    assert!(lost < 1.0, "the lease was lost");
    assert_idle(&mut session);
}

fn count(error: &SendError, unknown: &mut u32, refused: &mut u32) {
    if error.message.starts_with("it is unknown whether") {
        *unknown += 1;
    } else {
        assert!(error.message.starts_with("the notice was not accepted"), "{error}");
        *refused += 1;
    }
}

#[tokio::test]
async fn nobody_is_reaped_after_a_silence_too_short_to_lose_a_connection() {
    // Longer than a lease, shorter than the deadline of a call, which is 2 s.
    const SILENCE: Duration = Duration::from_millis(1_600);
    let builder = Sandbox::builder().env("HERALD_LEASE", "1s").env("HERALD_LEASE_RENEWAL", "300ms");
    let mut sandbox = builder.gateways(1).notifier().start().await.unwrap();
    let prefix = sandbox.key_prefix().to_owned();
    let mut session = Session::connect(sandbox.gateways[0].session("alice")).await.unwrap();
    session.ready(PATIENCE).await.unwrap();
    let before = leases(&sandbox.redis, &prefix).await.unwrap();
    for _ in 0..3 {
        // The reaper needs a lease of health first, or it would not look at all.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        sandbox.redis.freeze().unwrap();
        tokio::time::sleep(SILENCE).await;
        sandbox.redis.thaw().unwrap();
    }
    sessions_become(sandbox.notifier(), "alice", 1, PATIENCE).await;
    assert_eq!(leases(&sandbox.redis, &prefix).await.unwrap(), before);
    sandbox.notifier().grpc().send(&Outgoing::new("alice", "1")).await.unwrap();
    expect_notice(&mut session, "1").await;
}
