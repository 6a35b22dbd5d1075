//! Peers that take nothing.

use std::time::{Duration, Instant};

use herald_e2e::{Sandbox, eventually};
use herald_loadgen::{Checker, Outgoing, checker::Start};

use crate::{
    support::{PATIENCE, all_arrives, follow, send, sessions_become, sessions_of},
    wire::Wire,
};

/// Ping interval and ping time-out together.
const SILENCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_peer_that_reads_nothing_is_reaped_and_its_users_other_sockets_get_everything() {
    let builder = Sandbox::builder()
        .env("HERALD_PING_INTERVAL", "1s")
        .env("HERALD_PING_TIMEOUT", "1s")
        // Nothing of what is sent here is to be removed.
        .env("HERALD_INBOX_BYTES", "256MiB");
    let sandbox = builder.gateways(1).notifier().start().await.unwrap();
    let gateway = &sandbox.gateways[0];
    let checker = Checker::new();
    let quick = follow(&checker, gateway.session("alice"), Start::Now).await;
    let other = follow(&checker, gateway.session("bob"), Start::Now).await;

    // One says nothing more; the other goes on to answer pings that it does not read.
    let mut deaf = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::open(gateway.address(), None, Some(4096)).await.unwrap();
        wire.request_upgrade("").await.unwrap();
        wire.head().await.unwrap();
        wire.send(r#"40/notice,{"token":"alice"}"#).await.unwrap();
        deaf.push(wire);
    }
    sessions_become(sandbox.notifier(), "alice", 3, PATIENCE).await;

    let producer = sandbox.notifier().grpc();
    let begin = Instant::now();
    let (mut stuck, mut sent) = (None, 0);
    let fill = "x".repeat(60_000);
    let mut blind = deaf.pop().unwrap();
    while sessions_of(sandbox.notifier(), "alice").await.len() > 1 {
        assert!(begin.elapsed() < PATIENCE, "still there after {sent} notices");
        for user in ["alice", "bob"] {
            send(&producer, &checker, &Outgoing::new(user, format!("[{sent},\"{fill}\"]"))).await;
        }
        sent += 1;
        // From the first large notice on nothing fits.
        stuck.get_or_insert_with(Instant::now);
        let _ = blind.send("3").await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = stuck.expect("something was sent").elapsed();
    println!("reaped {took:?} after the window closed, {sent} notices of 60 kB later");
    assert!(took < SILENCE * 4, "{took:?}");

    all_arrives(&checker, PATIENCE).await;
    assert!(!quick.has_ended() && !other.has_ended());
    eventually("their connections are gone", PATIENCE, async || {
        let (_, text) = gateway.admin("/metrics").await?;
        let open = crate::support::figure(&text, "herald_gateway_connections");
        anyhow::ensure!(open == Some(2.0), "{open:?}");
        anyhow::Ok(())
    })
    .await;
    drop(deaf);
}
