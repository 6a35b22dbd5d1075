//! What is lost without a word is found and made good.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use herald_backplane::Backplane;
use herald_core::{SessionRecord, UserId};
use serde_json::json;

use crate::support::{
    client::Client,
    herald::{Herald, options, send},
    polling::Http,
    redis_server::RedisServer,
    soon,
};

const SOMETIMES: (&str, &str) = ("HERALD_AUDIT_INTERVAL", "1s");

/// A key of a user, as the documentation has it.
fn key(user: &str, part: &str) -> String {
    format!("herald:v1:{{{}}}:{part}", URL_SAFE_NO_PAD.encode(user))
}

/// Sends a notice that no gateway hears of, though the user's sessions are registered.
async fn send_unheard(server: &RedisServer, backplane: &Backplane, user: &str, json: &str) {
    let (registry, aside) = (key(user, "sessions"), key(user, "aside"));
    assert_eq!(server.ask(&format!("RENAME {registry} {aside}")), "OK");
    assert_eq!(send(backplane, user, json).await.targets, []);
    assert_eq!(server.ask(&format!("RENAME {aside} {registry}")), "OK");
}

async fn on_redis(server: &RedisServer, changes: &[(&str, &str)]) -> Herald {
    let options = options(&[&[("HERALD_BACKPLANE", &*server.url)], changes].concat());
    let backplane = Backplane::open(&options.backplane).unwrap();
    Herald::on(backplane, options).await
}

/// Waits until so many sessions of alice are registered.
async fn present(herald: &Herald, count: usize) -> Vec<SessionRecord> {
    let sessions = async {
        loop {
            match herald.presence("alice").await {
                sessions if sessions.len() == count => return sessions,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    soon("so many sessions", sessions).await
}

#[tokio::test]
async fn a_registration_that_went_missing_is_written_again_and_nothing_is_missed() {
    let herald = Herald::with(&[SOMETIMES]).await;
    let Backplane::Memory(memory) = herald.backplane.clone() else { panic!("embedded") };
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let (mut other, _) = Client::connect(herald.address, "alice").await;
    let alice = UserId::new("alice").unwrap();
    for round in 0..3 {
        let before = herald.sessions("alice", 2).await;
        for session in &before {
            assert!(memory.lose_registration(&alice, session.id));
        }
        assert_eq!(herald.send("alice", &round.to_string()).await.targets, [], "nobody is told");
        client.expect([round], false).await;
        other.expect([round], false).await;
        let after = herald.sessions("alice", 2).await;
        assert_eq!(after, before, "the same sessions under the same lease");
    }
}

#[tokio::test]
async fn a_registration_removed_from_redis_is_written_again_within_the_interval() {
    let server = RedisServer::reserve().start();
    let herald = on_redis(&server, &[SOMETIMES]).await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    assert_eq!(server.ask(&format!("DEL {}", key("alice", "sessions"))), "1");
    let removed = Instant::now();
    present(&herald, 1).await;
    println!("registered again after {:?}, audits at most 1 s apart", removed.elapsed());
    herald.send("alice", "1").await;
    client.expect([1], false).await;
    herald.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_that_a_failover_brings_back_into_the_registry_is_removed_again() {
    let server = RedisServer::reserve().start();
    let herald = on_redis(&server, &[SOMETIMES]).await;
    let (_stays, _) = Client::connect(herald.address, "alice").await;
    let stays = present(&herald, 1).await;
    let (leaves, _) = Client::connect(herald.address, "alice").await;
    present(&herald, 2).await;
    let registry = key("alice", "sessions");
    let index = format!("herald:v1:lease:{}:sessions", stays[0].gateway);
    for name in [&registry, &index] {
        assert_eq!(server.ask(&format!("COPY {name} {name}:before")), "1");
    }
    drop(leaves);
    assert_eq!(present(&herald, 1).await, stays);
    // The new master knows nothing of it.
    for name in [&registry, &index] {
        assert_eq!(server.ask(&format!("RENAME {name}:before {name}")), "OK");
    }
    assert_eq!(present(&herald, 1).await, stays);
    assert_eq!(server.ask(&format!("HLEN {index}")), "1");
    herald.stop().await.unwrap();
}

/// In a cluster a user's part of the registry may come back while the lease's does not, which audits
/// go by.
#[tokio::test]
async fn what_came_back_for_a_user_alone_is_removed_after_a_doubt() {
    let server = RedisServer::reserve().start();
    let herald = on_redis(&server, &[("HERALD_AUDIT_INTERVAL", "1h")]).await;
    let (client, _) = Client::connect(herald.address, "alice").await;
    present(&herald, 1).await;
    let registry = key("alice", "sessions");
    assert_eq!(server.ask(&format!("COPY {registry} {registry}:before")), "1");
    drop(client);
    assert_eq!(present(&herald, 0).await.len(), 0);
    // The new master knows nothing of it, and the channel is interrupted by its coming.
    assert_eq!(server.ask(&format!("RENAME {registry}:before {registry}")), "OK");
    assert_eq!(present(&herald, 1).await.len(), 1);
    assert_eq!(server.ask("CLIENT KILL TYPE pubsub"), "1");
    assert_eq!(present(&herald, 0).await.len(), 0);
    herald.stop().await.unwrap();
}

#[tokio::test]
async fn a_hint_lost_as_the_last_one_arrives_without_another_notice() {
    let server = RedisServer::reserve().start();
    let herald = on_redis(&server, &[SOMETIMES]).await;
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    for number in 0..3 {
        send_unheard(&server, &herald.backplane, "alice", &number.to_string()).await;
        let sent = Instant::now();
        client.expect([number], false).await;
        println!("arrived {:?} after it was lost, audits at most 1 s apart", sent.elapsed());
    }
    herald.send("alice", "3").await;
    client.expect([3], false).await;
    herald.stop().await.unwrap();
}

#[tokio::test]
async fn audits_tell_what_they_did() {
    let herald = Herald::with(&[SOMETIMES]).await;
    let Backplane::Memory(memory) = herald.backplane.clone() else { panic!("embedded") };
    let (mut client, _) = Client::connect(herald.address, "alice").await;
    let session = herald.sessions("alice", 1).await.remove(0);
    assert!(memory.lose_registration(&UserId::new("alice").unwrap(), session.id));
    herald.send("alice", "1").await;
    client.expect([1], false).await;
    let told = async {
        loop {
            let figures = Http::connect(herald.admin).await.get("/metrics").await.body;
            let is_told = |name: &&str| {
                figures.lines().any(|line| line.starts_with(*name) && !line.ends_with(" 0"))
            };
            let names = [
                "herald_gateway_audits_total{cause=\"interval\"}",
                "herald_gateway_audited_sessions_total",
                "herald_gateway_audit_findings_total{finding=\"unregistered\"}",
                "herald_gateway_doubts_total{reason=\"unregistered\"}",
                "herald_gateway_audit_seconds_count",
            ];
            if names.iter().all(is_told) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("told", told).await;
}

/// The price of a channel that is lost and regained: one question for 500 sessions, and reads for
/// those alone that missed something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_channel_costs_a_few_questions_and_a_read_for_each_who_missed_something() {
    const SESSIONS: usize = 2_000;
    const BEHIND: usize = 5;
    let server = RedisServer::reserve().start();
    // No audit but the one that is looked at.
    let herald = on_redis(&server, &[("HERALD_AUDIT_INTERVAL", "1h")]).await;
    let mut clients = Vec::with_capacity(SESSIONS);
    for nth in 0..SESSIONS {
        clients.push(Client::connect(herald.address, &format!("user-{nth}")).await.0);
    }
    for nth in 0..BEHIND {
        send_unheard(&server, &herald.backplane, &format!("user-{nth}"), &nth.to_string()).await;
    }
    let (before, start) = (server.commands(), Instant::now());
    assert_eq!(server.ask("CLIENT KILL TYPE pubsub"), "1");
    for (nth, client) in clients.iter_mut().enumerate().take(BEHIND) {
        client.expect([nth as u64], false).await;
    }
    let took = start.elapsed();
    // The last of those questions may still be under way.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut cost = server.commands();
    for (name, calls) in &mut cost {
        *calls -= before.get(name).copied().unwrap_or_default();
    }
    cost.retain(|_, calls| *calls > 0);
    let calls = |name: &str| cost.get(name).copied().unwrap_or_default();
    println!(
        "{SESSIONS} sessions, {BEHIND} behind: they had their notices {took:?} after CLIENT KILL; \
         Redis ran {cost:?}"
    );
    // Plain reads, 500 sessions a pipeline: two HMGET and a PTTL for each user, one HMGET for the index.
    let batches = SESSIONS.div_ceil(500) as u64;
    assert!(calls("hmget") <= 2 * SESSIONS as u64 + batches + 2 * BEHIND as u64, "{cost:?}");
    assert!(calls("pttl") <= SESSIONS as u64, "{cost:?}");
    // Nobody was registered anew, and scripts ran for those behind, probes and renewals alone.
    assert!(calls("hset") < 20 && calls("evalsha") < 100, "{cost:?}");

    // And all of them are still heard.
    for nth in [0, 7, SESSIONS - 1] {
        herald.send(&format!("user-{nth}"), "\"after\"").await;
        assert_eq!(clients[nth].event().await.notice().0, &json!("after"));
    }
    herald.stop().await.unwrap();
}
