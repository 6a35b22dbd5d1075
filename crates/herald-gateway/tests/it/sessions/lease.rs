//! Leases that are lost and channels that lose something: nobody is disconnected, nothing missed.

use serde_json::json;

use crate::support::{client::Client, herald::Herald};

#[tokio::test]
async fn a_lost_lease_is_taken_anew_and_sessions_go_on_from_their_own_places() {
    let herald = Herald::start().await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let (mut second, _) = Client::connect_with(herald.address, json!({"token": "alice"})).await;
    herald.send("alice", "1").await;
    client.expect([1], false).await;
    second.expect([1], false).await;
    for round in 1..=5 {
        let lost = herald.sessions("alice", 2).await.remove(0);
        herald.fence(lost.gateway);
        // Meant for nobody, since the registry knows of no session; or already for the new lease.
        herald.send("alice", &(round * 10).to_string()).await;
        let back = herald.sessions("alice", 2).await.remove(0);
        assert_ne!(back.gateway, lost.gateway, "a fresh id");
        herald.send("alice", &(round * 10 + 1).to_string()).await;
        client.expect([round * 10, round * 10 + 1], false).await;
        second.expect([round * 10, round * 10 + 1], false).await;
    }
    assert!(herald.process.readiness.is_ready());
}

#[tokio::test]
async fn sessions_that_end_while_the_lease_changes_are_not_registered_again() {
    let herald = Herald::start().await;
    let (_stays, _) = Client::connect(herald.address, "alice").await;
    for _ in 0..50 {
        let (client, _) = Client::connect(herald.address, "alice").await;
        let lease = herald.sessions("alice", 2).await[0].gateway;
        drop(client);
        herald.fence(lease);
        herald.sessions("alice", 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_dropped_by_a_full_channel_are_made_good_from_the_inbox() {
    let herald = Herald::with(&[("HERALD_CHANNEL_CAPACITY", "16")]).await;
    let (mut alice, _) = Client::connect(herald.address, "alice").await;
    let (mut bob, _) = Client::connect(herald.address, "bob").await;
    for burst in 0..10 {
        for number in burst * 100..(burst + 1) * 100 {
            herald.send("alice", &number.to_string()).await;
            herald.send("bob", &number.to_string()).await;
        }
        alice.expect(burst * 100..(burst + 1) * 100, false).await;
        bob.expect(burst * 100..(burst + 1) * 100, false).await;
    }
    assert_eq!(herald.presence("alice").await.len(), 1);
}
