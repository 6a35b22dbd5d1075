//! A user whose token was stolen: every session ends, wherever it is and whatever it does.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use herald_e2e::{GatewayOptions, Sandbox, Signal, eventually};
use herald_loadgen::{CloseReason, ConnectError, Outgoing, Session, SessionOptions};
use herald_proto::api::{DisconnectUserRequest, PurgeUserRequest};
use jsonwebtoken::Algorithm;
use serde_json::json;
use tokio::task::JoinSet;

use super::keys::{SECRET, now, sign};
use crate::{
    probe::{expect_notice, inbox, keys},
    support::{PATIENCE, api, sessions_become, sessions_of},
};

/// Clients that come back again and again with a stolen token.
const THIEVES: usize = 12;

fn token(issued: u64) -> String {
    let claims = json!({"sub": "alice", "iat": issued, "exp": now() + 600});
    sign(Algorithm::HS256, None, &claims)
}

async fn two_gateways() -> Sandbox {
    let jwt = Sandbox::builder()
        .env("HERALD_CLIENT_AUTH", "jwt")
        .env("HERALD_JWT_SECRET", SECRET)
        .env("HERALD_LEASE", "4s")
        .env("HERALD_LEASE_RENEWAL", "500ms");
    let gateway = || GatewayOptions {
        env: vec![("HERALD_CLIENT_AUTH".into(), "jwt".into())],
        ..Default::default()
    };
    jwt.gateway(gateway()).gateway(gateway()).notifier().start().await.unwrap()
}

/// Comes back at once, whatever it is told, until it is to stop. Its sessions may only end as those
/// that are kicked do.
async fn steal(options: SessionOptions, refused: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        match Session::connect(options.clone()).await {
            Ok(mut session) => {
                let end = session.closed(PATIENCE).await;
                assert_eq!(end, Some(CloseReason::ServerDisconnect));
            }
            Err(ConnectError::Rejected { message }) => {
                assert_eq!(message, "Authentication error: token_revoked");
                refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_kick_ends_sessions_in_a_storm_and_on_a_gateway_that_is_frozen() {
    let mut sandbox = two_gateways().await;
    let stolen = token(now() - 5);
    sandbox.secret(&stolen);
    let mut awake = Session::connect(sandbox.gateways[0].session(&stolen)).await.unwrap();
    awake.ready(PATIENCE).await.unwrap();
    let mut frozen = Session::connect(sandbox.gateways[1].session(&stolen)).await.unwrap();
    frozen.ready(PATIENCE).await.unwrap();
    let (refused, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut thieves = JoinSet::new();
    for _ in 0..THIEVES {
        let options = sandbox.gateways[0].session(&stolen);
        thieves.spawn(steal(options, Arc::clone(&refused), Arc::clone(&stop)));
    }
    sessions_become(sandbox.notifier(), "alice", 2 + THIEVES, PATIENCE).await;

    sandbox.gateways[1].process().unwrap().signal(Signal::STOP).unwrap();
    let request = DisconnectUserRequest {
        user_id: "alice".into(),
        reason: "stolen".into(),
        revoke_tokens: true,
        ..Default::default()
    };
    let answer = api(sandbox.notifier()).disconnect_user(request).await.unwrap().into_inner();
    assert_eq!((answer.closed, answer.unknown), (1 + THIEVES as u32, 1));
    assert_eq!(awake.closed(PATIENCE).await, Some(CloseReason::ServerDisconnect));
    assert!(sessions_of(sandbox.notifier(), "alice").await.is_empty());

    // The frozen one is thawed when its lease is long gone.
    eventually("its lease lapses", PATIENCE, async || {
        let key = format!("{}:v1:leases", sandbox.key_prefix());
        let leases = sandbox.redis.cli(&["hvals", &key]).await.unwrap();
        let held = leases.lines().filter(|lease| lease.starts_with("held")).count();
        if held == 1 { Ok(()) } else { Err(leases) }
    })
    .await;
    sandbox.gateways[1].process().unwrap().signal(Signal::CONT).unwrap();
    assert_eq!(frozen.closed(PATIENCE).await, Some(CloseReason::ServerDisconnect));
    sandbox.gateways[1].ready().await.unwrap();

    // All that time nobody got in, and nobody does now; but with a new token alice does.
    let before = refused.load(Ordering::Relaxed);
    eventually("the thieves try on", PATIENCE, async || {
        let tried = refused.load(Ordering::Relaxed) - before;
        if tried > THIEVES { Ok(()) } else { Err(tried) }
    })
    .await;
    assert!(sessions_of(sandbox.notifier(), "alice").await.is_empty());
    stop.store(true, Ordering::Relaxed);
    while let Some(thief) = thieves.join_next().await {
        thief.unwrap();
    }
    let mut owner = Session::connect(sandbox.gateways[1].session(&token(now() + 2))).await.unwrap();
    owner.ready(PATIENCE).await.unwrap();
    sandbox.notifier().grpc().send(&Outgoing::new("alice", "1")).await.unwrap();
    expect_notice(&mut owner, "1").await;
}

#[tokio::test]
async fn a_gateway_that_freezes_for_less_than_its_lease_obeys_when_it_thaws() {
    let mut sandbox = two_gateways().await;
    let mut frozen =
        Session::connect(sandbox.gateways[1].session(&token(now() - 5))).await.unwrap();
    frozen.ready(PATIENCE).await.unwrap();
    sandbox.gateways[1].process().unwrap().signal(Signal::STOP).unwrap();
    let notifier = api(sandbox.notifier());
    let request = DisconnectUserRequest { user_id: "alice".into(), ..Default::default() };
    let asked = tokio::spawn(async move { { notifier }.disconnect_user(request).await });
    eventually("the mark is there", PATIENCE, async || {
        let pattern = format!("{}:v1:*:state", sandbox.key_prefix());
        let states = keys(&sandbox.redis, &pattern).await.unwrap();
        let key = states.first().cloned().unwrap_or_default();
        let mark = sandbox.redis.cli(&["hget", &key, "m"]).await.unwrap();
        if mark.trim().is_empty() { Err(format!("{states:?}")) } else { Ok(()) }
    })
    .await;
    sandbox.gateways[1].process().unwrap().signal(Signal::CONT).unwrap();
    let answer = asked.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.closed + answer.unknown, 1);
    assert_eq!(frozen.closed(PATIENCE).await, Some(CloseReason::ServerDisconnect));
    sessions_become(sandbox.notifier(), "alice", 0, PATIENCE).await;
}

#[tokio::test]
async fn of_too_many_sessions_on_two_gateways_those_that_connected_first_end() {
    let limit = || GatewayOptions {
        env: vec![("HERALD_SESSIONS_PER_USER".into(), "5".into())],
        ..Default::default()
    };
    let builder = Sandbox::builder().gateway(limit()).gateway(limit()).notifier();
    let sandbox = builder.start().await.unwrap();
    let mut sessions = Vec::new();
    for number in 0..9 {
        let gateway = &sandbox.gateways[number % 2];
        let mut session = Session::connect(gateway.session("alice")).await.unwrap();
        session.ready(PATIENCE).await.unwrap();
        sessions.push(session);
        if number >= 5 {
            let oldest = &mut sessions[number - 5];
            assert_eq!(oldest.closed(PATIENCE).await, Some(CloseReason::ServerDisconnect));
        }
    }
    sessions_become(sandbox.notifier(), "alice", 5, PATIENCE).await;
    sandbox.notifier().grpc().send(&Outgoing::new("alice", "1")).await.unwrap();
    for session in &mut sessions[4..] {
        expect_notice(session, "1").await;
    }
}

#[tokio::test]
async fn a_purge_ends_sessions_and_leaves_nothing_of_the_user() {
    let sandbox = two_gateways().await;
    let producer = sandbox.notifier().grpc();
    let mut session =
        Session::connect(sandbox.gateways[0].session(&token(now() - 5))).await.unwrap();
    session.ready(PATIENCE).await.unwrap();
    producer.send(&Outgoing::new("alice", "\"private\"")).await.unwrap();
    expect_notice(&mut session, "\"private\"").await;
    let request = PurgeUserRequest { user_id: "alice".into(), ..Default::default() };
    let answer = api(sandbox.notifier()).purge_user(request).await.unwrap().into_inner();
    assert_eq!((answer.closed, answer.unknown), (1, 0));
    assert_eq!(session.closed(PATIENCE).await, Some(CloseReason::ServerDisconnect));
    assert!(inbox(sandbox.notifier(), "alice").await.unwrap().is_empty());
    let pattern = format!("{}:v1:*", sandbox.key_prefix());
    for key in keys(&sandbox.redis, &pattern).await.unwrap() {
        // A session's index entry may go a moment later, and the marks stay.
        assert!(!key.ends_with(":inbox") && !key.ends_with(":keys"), "{key}");
        if key.ends_with(":state") {
            let fields = sandbox.redis.cli(&["hkeys", &key]).await.unwrap();
            assert_eq!(fields.trim(), "m", "{key}");
        }
    }
}
