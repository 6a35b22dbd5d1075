//! A gateway whose channel carries nothing any more, though nothing was closed.

use std::time::Instant;

use herald_e2e::{GatewayOptions, NotifierOptions, Relay, Sandbox, eventually};
use herald_loadgen::{Checker, Outgoing, checker::Start};
use http::StatusCode;

use crate::{
    probe::figure,
    support::{PATIENCE, all_arrives, follow, send},
};

#[tokio::test]
async fn a_channel_that_falls_silent_is_noticed_and_healed_or_the_gateway_is_not_ready() {
    let mut sandbox = Sandbox::builder().prepare().unwrap();
    let relay = Relay::start(sandbox.redis.address()).await.unwrap();
    sandbox.redis.start().await.unwrap();
    let through = format!("redis://{}/0", relay.address());
    let env = vec![("HERALD_BACKPLANE".to_owned(), through)];
    sandbox.add_gateway(GatewayOptions { env, ..GatewayOptions::default() }).unwrap();
    sandbox.add_gateway(GatewayOptions::default()).unwrap();
    sandbox.add_notifier(NotifierOptions::default()).unwrap();
    for gateway in &mut sandbox.gateways {
        gateway.start().await.unwrap();
    }
    sandbox.notifiers[0].start().await.unwrap();
    let (checker, producer) = (Checker::new(), sandbox.notifier().grpc());
    let mut sessions = Vec::new();
    for gateway in &sandbox.gateways {
        sessions.push(follow(&checker, gateway.session("alice"), Start::Now).await);
    }
    send(&producer, &checker, &Outgoing::new("alice", "0")).await;
    all_arrives(&checker, PATIENCE).await;
    let lost = async || {
        figure(&sandbox.gateways[0], "herald_backplane_channel_lost_total", "gateway")
            .await
            .unwrap()
    };
    let heard = async || {
        let name = "herald_backplane_channel_lag_seconds_count";
        figure(&sandbox.gateways[0], name, "gateway").await.unwrap()
    };
    eventually("it hears itself", PATIENCE, async || match heard().await {
        0.0 => Err("not yet"),
        _ => Ok(()),
    })
    .await;
    assert_eq!(lost().await, 0.0);

    for round in 1..=3 {
        let before = lost().await;
        relay.silence_subscribers();
        let begin = Instant::now();
        for number in 0..20 {
            let notice = Outgoing::new("alice", format!("[{round},{number}]"));
            send(&producer, &checker, &notice).await;
        }
        eventually("it is noticed", PATIENCE, async || {
            if lost().await > before { Ok(()) } else { Err("nothing was lost yet") }
        })
        .await;
        let noticed = begin.elapsed();
        // A new connection is as silent.
        let (status, body) = eventually("it is not ready", PATIENCE, async || {
            match sandbox.gateways[0].admin("/ready").await.unwrap() {
                (StatusCode::OK, _) => Err("ready"),
                answer => Ok(answer),
            }
        })
        .await;
        let said = begin.elapsed();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains(r#""channel""#) && body.contains("nothing was heard"), "{body}");
        assert!(!body.contains(r#""backplane""#), "Redis answers all others: {body}");
        let refused = herald_loadgen::Session::connect(sandbox.gateways[0].session("bob")).await;
        assert_eq!(refused.unwrap_err().status(), Some(StatusCode::SERVICE_UNAVAILABLE));

        relay.mend();
        let mended = Instant::now();
        all_arrives(&checker, PATIENCE).await;
        eventually("it is ready", PATIENCE, async || {
            match sandbox.gateways[0].admin("/ready").await.unwrap() {
                (StatusCode::OK, _) => Ok(()),
                (_, body) => Err(body),
            }
        })
        .await;
        println!(
            "silence was noticed after {noticed:.1?}, said after {said:.1?}; all was well {:.1?} \
             after it had ended",
            mended.elapsed()
        );
    }
    assert!(sessions.iter().all(|session| !session.has_ended()));
}

#[tokio::test]
async fn a_notifier_that_hears_no_receipts_is_not_ready_and_accepts_notices() {
    let mut sandbox = Sandbox::builder().gateways(1).prepare().unwrap();
    let relay = Relay::start(sandbox.redis.address()).await.unwrap();
    sandbox.redis.start().await.unwrap();
    let through = format!("redis://{}/0", relay.address());
    let env = vec![("HERALD_BACKPLANE".to_owned(), through)];
    sandbox.add_notifier(NotifierOptions { env }).unwrap();
    sandbox.gateways[0].start().await.unwrap();
    sandbox.notifiers[0].start().await.unwrap();
    let (checker, producer) = (Checker::new(), sandbox.notifier().grpc());
    let session = follow(&checker, sandbox.gateways[0].session("alice"), Start::Now).await;

    relay.silence_subscribers();
    eventually("it is not ready", PATIENCE, async || {
        let (status, body) = sandbox.notifier().admin("/ready").await.unwrap();
        if status != StatusCode::OK && body.contains(r#""channel""#) { Ok(()) } else { Err(body) }
    })
    .await;
    send(&producer, &checker, &Outgoing::new("alice", "1")).await;
    all_arrives(&checker, PATIENCE).await;
    relay.mend();
    sandbox.notifiers[0].ready().await.unwrap();
    assert!(!session.has_ended());
}
