//! A Redis that cuts connections.

use std::time::{Duration, Instant};

use herald_e2e::Sandbox;
use herald_loadgen::{Checker, Outgoing, checker::Start};
use tokio::{task::JoinSet, time::timeout};
use tonic::Code;

use crate::{
    probe::figure,
    support::{PATIENCE, all_arrives, follow, sessions_become},
};

/// Sends from ten producers to ten users with sessions on both gateways, while Redis cuts
/// connections of this kind every 150 ms. How many notices were accepted and are unknown.
async fn cut_while_notices_flow(sandbox: &Sandbox, kind: &str) -> (u32, u32) {
    const USERS: usize = 10;
    let checker = Checker::new();
    let (mut sessions, mut senders) = (Vec::new(), JoinSet::new());
    for nth in 0..USERS {
        for gateway in &sandbox.gateways {
            let options = gateway.session(&format!("user-{nth}"));
            sessions.push(follow(&checker, options, Start::Beginning).await);
        }
    }
    let begin = Instant::now();
    for nth in 0..USERS {
        let (producer, checker) = (sandbox.notifier().grpc(), checker.clone());
        senders.spawn(async move {
            let (mut accepted, mut unknown) = (0, 0);
            while begin.elapsed() < Duration::from_secs(5) {
                let number = accepted + unknown;
                let notice = Outgoing::new(format!("user-{nth}"), format!("[{nth},{number}]"));
                match producer.send(&notice).await {
                    Ok(answer) => {
                        checker.accepted(&notice.user, &answer.notice_id, &notice.payload);
                        accepted += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.code, Code::Unavailable, "{error}");
                        checker.unknown(&notice.user, &notice.payload);
                        unknown += 1;
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (accepted, unknown)
        });
    }
    let (mut killed, mut accepted, mut unknown) = (0, 0, 0);
    while !senders.is_empty() {
        let cut = sandbox.redis.cli(&["client", "kill", "type", kind]).await.unwrap();
        killed += cut.parse::<u32>().unwrap();
        let pause = timeout(Duration::from_millis(150), senders.join_next()).await;
        if let Ok(Some(sent)) = pause {
            let sent = sent.unwrap();
            accepted += sent.0;
            unknown += sent.1;
        }
    }
    assert!(killed >= 10, "only {killed} connections cut");
    all_arrives(&checker, PATIENCE).await;
    assert!(sessions.iter().all(|session| !session.has_ended()));
    println!("{killed} {kind} connections cut, {accepted} notices accepted, {unknown} unknown");
    (accepted, unknown)
}

#[tokio::test]
async fn notices_arrive_once_and_in_order_though_redis_cuts_the_subscribers_again_and_again() {
    let sandbox = Sandbox::builder().gateways(2).notifier().start().await.unwrap();
    let (_, unknown) = cut_while_notices_flow(&sandbox, "pubsub").await;
    assert_eq!(unknown, 0, "sending has nothing to do with the subscribers");
    let mut audits = 0.0;
    for gateway in &sandbox.gateways {
        audits += figure(gateway, "herald_gateway_audits_total", "channel").await.unwrap();
    }
    assert!(audits > 0.0);
}

#[tokio::test]
async fn notices_arrive_once_and_in_order_though_redis_cuts_all_other_connections() {
    let sandbox = Sandbox::builder().gateways(2).notifier().start().await.unwrap();
    let (accepted, unknown) = cut_while_notices_flow(&sandbox, "normal").await;
    assert!(accepted > unknown, "{unknown} of {accepted} unknown");
    sessions_become(sandbox.notifier(), "user-0", 0, PATIENCE).await;
}
