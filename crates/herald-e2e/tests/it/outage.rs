//! Redis that is not there yet, goes away, comes back empty or as it was, hangs, or cuts
//! connections: everything waits, says so, loses nothing that was accepted, and recovers by itself.

use std::time::{Duration, Instant};

use herald_e2e::{Gateway, Notifier, Sandbox, Service, eventually};
use herald_loadgen::{
    Checker, ConnectError, Outgoing, SendError, Session, Transport, checker::Start,
    http::HttpClient, sender::HttpSender,
};
use http::StatusCode;
use rustix::process::Signal;
use serde_json::json;
use tokio::{task::JoinSet, time::timeout};
use tonic::Code;

use crate::{
    probe::{assert_idle, expect_gap, expect_notice, figure, inbox, leases},
    support::{PATIENCE, all_arrives, follow, send, sessions_become, sessions_of},
    wire::Wire,
};

const HANDSHAKE: &str = "/notice/?EIO=4&transport=polling";

/// A subscriber on redis-rs' ConnectionManager is deaf for good after about 13 s.
const LONG: Duration = Duration::from_secs(16);

async fn assert_waits<Kind>(service: &Service<Kind>, reason: &str) {
    assert_eq!(service.admin("/live").await.unwrap().0, StatusCode::OK);
    let (status, body) = service.admin("/ready").await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("backplane") && body.contains(reason), "{body}");
}

/// New clients get 503 with a time to come back, whatever their transport.
async fn assert_closed_to_new_clients(gateway: &Gateway) {
    for transport in [Transport::Polling, Transport::WebSocket] {
        let error = Session::connect(gateway.session("new").transport(transport)).await;
        let error = error.expect_err("nobody can be registered");
        let ConnectError::Refused { status, retry_after, .. } = &error else { panic!("{error}") };
        assert_eq!(*status, StatusCode::SERVICE_UNAVAILABLE, "{transport:?}");
        assert!(retry_after.is_some_and(|pause| pause >= Duration::from_secs(1)), "{error:?}");
    }
}

/// Sends are answered at once: not now, come back.
async fn assert_refuses_notices(notifier: &Notifier) {
    let begin = Instant::now();
    let error = notifier.grpc().send(&Outgoing::new("alice", "0")).await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable, "{error}");
    assert!(error.retry_after.is_some(), "{error:?}");
    let answer = HttpSender::new(notifier.http_address(), PATIENCE)
        .post("/v1/notices", r#"{"userId":"alice","data":0}"#)
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn without_redis_everything_waits_and_begins_by_itself_when_it_comes() {
    let mut sandbox = Sandbox::builder().gateways(1).notifier().prepare().unwrap();
    sandbox.gateways[0].start_unready().await.unwrap();
    sandbox.notifiers[0].start_unready().await.unwrap();
    let redis = sandbox.redis.address().to_string();
    let why = async |gateway: &Gateway, notifier: &Notifier| {
        for body in [gateway.admin("/ready").await?.1, notifier.admin("/ready").await?.1] {
            anyhow::ensure!(body.contains(&redis), "{body}");
        }
        anyhow::Ok(())
    };
    let (gateway, notifier) = (&sandbox.gateways[0], &sandbox.notifiers[0]);
    eventually("the reason is known", PATIENCE, async || why(gateway, notifier).await).await;
    assert_waits(gateway, &redis).await;
    assert_waits(notifier, &redis).await;
    assert_closed_to_new_clients(gateway).await;
    assert_refuses_notices(notifier).await;

    // The official client takes the 503 for what it is, and tries again by itself.
    let url = format!("http://{}/notice", gateway.address());
    let mut stock = Vec::new();
    for transport in ["polling", "websocket"] {
        let options = json!({"url": url, "path": "/notice", "auth": {"token": "alice"},
            "transports": [transport], "reconnectionDelay": 200, "reconnectionDelayMax": 500});
        let mut client = sandbox.node("client.mjs", &options).unwrap();
        client.expect("connect_error", PATIENCE).await.unwrap();
        stock.push(client);
    }

    sandbox.redis.start().await.unwrap();
    sandbox.gateways[0].ready().await.unwrap();
    sandbox.notifiers[0].ready().await.unwrap();
    let mut session = Session::connect(sandbox.gateways[0].session("alice")).await.unwrap();
    session.ready(PATIENCE).await.unwrap();
    for client in &mut stock {
        client.expect("connect", PATIENCE).await.unwrap();
        client.expect("event", PATIENCE).await.unwrap();
    }
    let accepted = sandbox.notifier().http().send(&Outgoing::new("alice", "[1]")).await.unwrap();
    assert_eq!(accepted.sessions, 3);
    expect_notice(&mut session, "[1]").await;
    for client in &mut stock {
        let event = client.expect("event", PATIENCE).await.unwrap();
        assert_eq!((&event["event"], &event["args"][0]), (&json!("notice"), &json!([1])));
    }
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_finds_all_sessions_registered_anew() {
    let mut sandbox = Sandbox::builder().gateways(2).notifier().start().await.unwrap();
    let prefix = sandbox.key_prefix().to_owned();
    let [first, second] = [0, 1].map(|nth| sandbox.gateways[nth].session("alice"));
    let mut sessions = vec![
        Session::connect(first.clone()).await.unwrap(),
        Session::connect(second.clone().transport(Transport::Polling)).await.unwrap(),
        Session::connect(second.clone().transport(Transport::Upgrade)).await.unwrap(),
    ];
    for session in &mut sessions {
        session.ready(PATIENCE).await.unwrap();
    }
    let producer = sandbox.notifier().grpc();
    producer.send(&Outgoing::new("alice", "1")).await.unwrap();
    let mut cursor = String::new();
    for session in &mut sessions {
        cursor = expect_notice(session, "1").await.cursor;
    }
    sessions_become(sandbox.notifier(), "alice", 3, PATIENCE).await;
    let before = leases(&sandbox.redis, &prefix).await.unwrap();
    assert_eq!(before.len(), 2);

    sandbox.redis.kill().await.unwrap();
    let begin = Instant::now();
    eventually("the outage is noticed", PATIENCE, async || {
        for gateway in &sandbox.gateways {
            anyhow::ensure!(gateway.admin("/ready").await?.0 == StatusCode::SERVICE_UNAVAILABLE);
        }
        anyhow::Ok(())
    })
    .await;
    // One leaves meanwhile, and nobody can be told.
    drop(sessions.pop());
    while begin.elapsed() < Duration::from_secs(11) {
        for gateway in &sandbox.gateways {
            assert_waits(gateway, "Redis").await;
            assert_closed_to_new_clients(gateway).await;
        }
        assert_waits(sandbox.notifier(), "Redis").await;
        assert_refuses_notices(sandbox.notifier()).await;
        sessions.iter_mut().for_each(assert_idle);
        // The outage itself has to last.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    let recovery = Instant::now();
    sandbox.redis.start().await.unwrap();
    for session in &mut sessions {
        assert_eq!(expect_gap(session).await.reason, "reset");
    }
    println!("told of the reset {:?} after redis began to start", recovery.elapsed());
    sandbox.notifiers[0].ready().await.unwrap();
    sessions_become(sandbox.notifier(), "alice", 2, PATIENCE).await;
    let after = leases(&sandbox.redis, &prefix).await.unwrap();
    assert_eq!(after.len(), 2);
    assert!(before.is_disjoint(&after), "{before:?} {after:?}");

    let accepted = producer.send(&Outgoing::new("alice", "2")).await.unwrap();
    assert_eq!(accepted.sessions, 2);
    for session in &mut sessions {
        expect_notice(session, "2").await;
    }
    let mut returning = Session::connect(first.cursor(&cursor)).await.unwrap();
    let gap = expect_gap(&mut returning).await;
    assert_eq!((gap.reason.as_str(), gap.after.as_deref()), ("reset", Some(cursor.as_str())));
    assert!(expect_notice(&mut returning, "2").await.replayed);
    producer.send(&Outgoing::new("alice", "3")).await.unwrap();
    sessions.push(returning);
    for session in &mut sessions {
        expect_notice(session, "3").await;
    }
}

#[tokio::test]
async fn nothing_accepted_is_lost_over_a_long_outage_and_the_subscribers_hear_again() {
    const USERS: usize = 4;
    let mut sandbox = Sandbox::builder().gateways(1).notifier().persist().start().await.unwrap();
    let prefix = sandbox.key_prefix().to_owned();
    let producer = sandbox.notifier().grpc();
    let checker = Checker::new();
    let users: Vec<_> = (0..USERS).map(|nth| format!("user-{nth}")).collect();
    let (mut stay, mut cursors, mut senders) = (Vec::new(), Vec::new(), JoinSet::new());
    for user in users.clone() {
        let options = sandbox.gateways[0].session(&user).device("stays");
        let session = follow(&checker, options, Start::Beginning).await;
        // Nothing was sent yet: who comes back here later is owed everything.
        cursors.push(session.cursor());
        stay.push(session);
        let (producer, checker) = (producer.clone(), checker.clone());
        senders.spawn(async move {
            for number in 0.. {
                let notice = Outgoing::new(&user, format!("[\"{user}\",{number}]"));
                match producer.send(&notice).await {
                    Ok(accepted) => {
                        checker.accepted(&user, &accepted.notice_id, &notice.payload);
                    }
                    Err(error) => {
                        assert_eq!(error.code, Code::Unavailable, "{error}");
                        checker.unknown(&user, &notice.payload);
                        return number;
                    }
                }
            }
            unreachable!("all numbers were sent")
        });
    }
    eventually("notices flow", PATIENCE, async || {
        match figure(&sandbox.gateways[0], "herald_gateway_emitted_total", "").await {
            Ok(200.0..) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let before = leases(&sandbox.redis, &prefix).await.unwrap();
    sandbox.redis.kill().await.unwrap();
    let begin = Instant::now();
    // Each sends until the first that is not accepted.
    let accepted: i32 = senders.join_all().await.into_iter().sum();
    while begin.elapsed() < LONG {
        assert_refuses_notices(sandbox.notifier()).await;
        assert!(stay.iter().all(|session| !session.has_ended()));
        // The outage itself has to last.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let recovery = Instant::now();
    sandbox.redis.start().await.unwrap();
    sandbox.notifiers[0].ready().await.unwrap();
    sandbox.gateways[0].ready().await.unwrap();
    println!("ready {:?} after redis began to start", recovery.elapsed());
    // The same lease goes on, so this is the subscription of before that has to hear again.
    assert_eq!(leases(&sandbox.redis, &prefix).await.unwrap(), before);

    let mut return_ = Vec::new();
    for (user, cursor) in users.iter().zip(&cursors) {
        let options = sandbox.gateways[0].session(user).device("returns").cursor(cursor);
        return_.push(follow(&checker, options, Start::Beginning).await);
    }
    for number in 0..50 {
        let notice = Outgoing::new(&users[number % USERS], format!("\"after {number}\""));
        send(&producer, &checker, &notice).await;
    }
    all_arrives(&checker, PATIENCE).await;
    assert!(stay.iter().chain(&return_).all(|session| !session.has_ended()));
    println!("{accepted} accepted before an outage of {LONG:?}");
}

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
    let mut doubts = 0.0;
    for gateway in &sandbox.gateways {
        doubts += figure(gateway, "herald_gateway_doubts_total", "channel").await.unwrap();
    }
    assert!(doubts > 0.0);
}

#[tokio::test]
async fn notices_arrive_once_and_in_order_though_redis_cuts_all_other_connections() {
    let sandbox = Sandbox::builder().gateways(2).notifier().start().await.unwrap();
    let (accepted, unknown) = cut_while_notices_flow(&sandbox, "normal").await;
    assert!(accepted > unknown, "{unknown} of {accepted} unknown");
    sessions_become(sandbox.notifier(), "user-0", 0, PATIENCE).await;
}

#[tokio::test]
async fn a_client_caught_by_the_outage_has_its_transport_closed_and_gets_no_connect_error() {
    let mut sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let address = sandbox.gateways[0].address();
    let mut socket = Wire::websocket(address).await.unwrap();
    let mut polling = HttpClient::new(address);
    let open = polling.get(HANDSHAKE).await.unwrap();
    let open: serde_json::Value = serde_json::from_slice(&open.body()[1..]).unwrap();
    let target = format!("{HANDSHAKE}&sid={}", open["sid"].as_str().unwrap());

    sandbox.redis.kill().await.unwrap();
    let connect = r#"40/notice,{"token":"alice"}"#;
    socket.send(connect).await.unwrap();
    let said = socket.rest().await;
    assert!(said.is_empty(), "{said:?}");

    let headers = [("content-type", "text/plain;charset=UTF-8")];
    polling.request(http::Method::POST, &target, &headers, connect.into()).await.unwrap();
    loop {
        let answer = timeout(PATIENCE, polling.get(&target)).await.unwrap().unwrap();
        let body = String::from_utf8_lossy(answer.body());
        assert!(!body.contains("40/") && !body.contains("44/"), "{body}");
        if answer.status() == StatusCode::BAD_REQUEST {
            break;
        }
        assert_eq!(answer.status(), StatusCode::OK);
    }
}
