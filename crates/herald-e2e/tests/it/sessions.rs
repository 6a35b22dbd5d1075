//! Sessions come and go, gateways too, and only what has gone is gone.

use std::time::{Duration, Instant};

use herald_e2e::{GatewayOptions, Sandbox, eventually};
use herald_loadgen::{Checker, CloseReason, Follower, Outgoing, Transport, checker::Start};

use crate::support::{PATIENCE, all_arrives, follow, send, sessions_become, sessions_of};

/// Short leases, so that a test sees one lapse.
const LEASE: Duration = Duration::from_secs(4);

async fn two_gateways() -> Sandbox {
    Sandbox::builder()
        .env("HERALD_LEASE", "4s")
        .env("HERALD_LEASE_RENEWAL", "1s")
        .gateways(2)
        .notifier()
        .start()
        .await
        .unwrap()
}

/// Three sessions of alice: two on the first gateway, one on the second.
async fn three_sessions(sandbox: &Sandbox, checker: &Checker) -> [Follower; 3] {
    let [first, second] = &sandbox.gateways[..] else { panic!("two gateways") };
    [
        follow(checker, first.session("alice").device("a"), Start::Now).await,
        follow(
            checker,
            first.session("alice").device("b").transport(Transport::Polling),
            Start::Now,
        )
        .await,
        follow(checker, second.session("alice").device("c"), Start::Now).await,
    ]
}

#[tokio::test]
async fn closing_one_of_three_sockets_leaves_two_that_get_everything() {
    let sandbox = two_gateways().await;
    let grpc = sandbox.notifier().grpc();
    for leaver in 0..3 {
        for politely in [true, false] {
            let checker = Checker::new();
            let mut followers = Vec::from(three_sessions(&sandbox, &checker).await);
            send(&grpc, &checker, &Outgoing::new("alice", "1")).await;
            all_arrives(&checker, PATIENCE).await;
            assert_eq!(sessions_of(sandbox.notifier(), "alice").await.len(), 3);

            let gone = followers.remove(leaver);
            let session = gone.session().to_owned();
            // It is owed nothing from now on; the two others are.
            gone.reader().end();
            // A long-polling client that vanishes is only missed at the next ping.
            if politely || leaver == 1 {
                assert_eq!(gone.close().await, CloseReason::Local);
            } else {
                drop(gone);
            }
            sessions_become(sandbox.notifier(), "alice", 2, PATIENCE).await;
            let left = sessions_of(sandbox.notifier(), "alice").await;
            assert!(left.iter().all(|left| left.session_id != session), "the wrong one went");

            let accepted = send(&grpc, &checker, &Outgoing::new("alice", "2")).await;
            assert_eq!(accepted.sessions.len(), 2);
            all_arrives(&checker, PATIENCE).await;
            for follower in followers {
                assert!(!follower.has_ended(), "another session ended with it");
                follower.close().await;
            }
            sessions_become(sandbox.notifier(), "alice", 0, PATIENCE).await;
        }
    }
}

#[tokio::test]
async fn a_killed_gateway_that_comes_back_takes_over_only_what_its_name_left() {
    let mut sandbox = two_gateways().await;
    let checker = Checker::new();
    let [one, two, other] = three_sessions(&sandbox, &checker).await;

    let killed = Instant::now();
    sandbox.gateways[0].kill().await.unwrap();
    sandbox.gateways[0].start().await.unwrap();
    sessions_become(sandbox.notifier(), "alice", 1, LEASE + Duration::from_secs(1)).await;
    assert!(killed.elapsed() <= LEASE + Duration::from_secs(1), "{:?}", killed.elapsed());
    for ended in [one, two] {
        assert_ne!(ended.ended().await, CloseReason::Local);
    }

    let left = sessions_of(sandbox.notifier(), "alice").await;
    assert_eq!(left[0].gateway, sandbox.gateways[1].name());
    assert!(!other.has_ended());

    let checker = Checker::new();
    let back = follow(&checker, sandbox.gateways[0].session("alice"), Start::Now).await;
    send(&sandbox.notifier().grpc(), &checker, &Outgoing::new("alice", "1")).await;
    all_arrives(&checker, PATIENCE).await;
    assert_eq!(sessions_of(sandbox.notifier(), "alice").await.len(), 2);
    assert!(!other.has_ended() && !back.has_ended());
}

#[tokio::test]
async fn a_killed_gateways_sessions_are_gone_within_a_second_of_its_lease() {
    let mut sandbox = two_gateways().await;
    let checker = Checker::new();
    let [_one, _two, other] = three_sessions(&sandbox, &checker).await;
    sandbox.gateways[0].kill().await.unwrap();
    // The last renewal was at most a second before; asking takes a moment, too.
    sessions_become(sandbox.notifier(), "alice", 1, LEASE + Duration::from_secs(1)).await;
    let left = sessions_of(sandbox.notifier(), "alice").await;
    assert_eq!(left[0].gateway, sandbox.gateways[1].name());
    assert!(!other.has_ended());
}

#[tokio::test]
async fn a_second_live_gateway_of_the_same_name_is_refused_and_the_first_unharmed() {
    let mut sandbox = two_gateways().await;
    let checker = Checker::new();
    let followers = three_sessions(&sandbox, &checker).await;
    let name = sandbox.gateways[0].name().to_owned();

    let double = GatewayOptions { name: Some(name.clone()), ..GatewayOptions::default() };
    let double = sandbox.add_gateway(double).unwrap();
    let status = double.start_refused().await.unwrap();
    assert!(!status.success(), "{status}");
    let log = double.log();
    assert!(
        log.contains(&name) && log.contains("HERALD_GATEWAY_NAME"),
        "it does not say which name is taken and what to change: {log}"
    );

    send(&sandbox.notifier().grpc(), &checker, &Outgoing::new("alice", "1")).await;
    all_arrives(&checker, PATIENCE).await;
    assert_eq!(sessions_of(sandbox.notifier(), "alice").await.len(), 3);
    assert!(followers.iter().all(|follower| !follower.has_ended()));
}

#[tokio::test]
async fn sigterm_ends_both_services_cleanly_and_unregisters_at_once() {
    let mut sandbox = two_gateways().await;
    let checker = Checker::new();
    let [one, two, other] = three_sessions(&sandbox, &checker).await;

    let status = sandbox.gateways[0].terminate().await.unwrap();
    assert!(status.success(), "{status}");
    // At once and not when its lease lapses, which it would after 3 s at the earliest.
    sessions_become(sandbox.notifier(), "alice", 1, Duration::from_secs(2)).await;
    for ended in [one, two] {
        let reason = ended.ended().await;
        assert_ne!(reason, CloseReason::ServerDisconnect, "official clients would stay away");
    }

    let status = sandbox.notifiers[0].terminate().await.unwrap();
    assert!(status.success(), "{status}");
    assert!(!other.has_ended());
    sandbox.notifiers[0].start().await.unwrap();
    let checker = Checker::new();
    let _session = follow(&checker, sandbox.gateways[1].session("bob"), Start::Now).await;
    let notice = Outgoing::new("bob", "1");
    let accepted = eventually("the notifier sends", PATIENCE, async || {
        sandbox.notifier().http().send(&notice).await
    })
    .await;
    checker.accepted("bob", &accepted.notice_id, "1");
    all_arrives(&checker, PATIENCE).await;
}

#[tokio::test]
async fn both_namespaces_get_everything_and_device_and_address_are_told() {
    let sandbox = two_gateways().await;
    let checker = Checker::new();
    let gateway = &sandbox.gateways[0];
    let options = gateway.session("{alice} ü").device("phone");
    let _notice = follow(&checker, options, Start::Now).await;
    let options = gateway.session("{alice} ü").namespace("/").transport(Transport::Polling);
    let _default = follow(&checker, options, Start::Now).await;
    let accepted =
        send(&sandbox.notifier().http(), &checker, &Outgoing::new("{alice} ü", "{}")).await;
    assert_eq!((accepted.outcome.as_str(), accepted.sessions.len()), ("ACCEPTED", 2));
    all_arrives(&checker, PATIENCE).await;

    let sessions = sessions_of(sandbox.notifier(), "{alice} ü").await;
    let seen: Vec<_> = sessions
        .iter()
        .map(|session| {
            (
                session.namespace.as_str(),
                session.device.as_deref(),
                session.transport().as_str_name(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [("/notice", Some("phone"), "TRANSPORT_WEBSOCKET"), ("/", None, "TRANSPORT_POLLING"),]
    );
}
