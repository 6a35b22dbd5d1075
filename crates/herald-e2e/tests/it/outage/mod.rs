//! Redis that is not there yet, goes away, comes back empty or as it was, hangs, or cuts
//! connections: everything waits, says so, loses nothing that was accepted, and recovers by itself.

mod cut;
mod frozen;

use std::time::{Duration, Instant};

use herald_e2e::{Gateway, Notifier, Sandbox, Service, eventually};
use herald_loadgen::{
    Checker, ConnectError, Outgoing, Session, Transport, checker::Start, http::HttpClient,
    sender::HttpSender,
};
use http::StatusCode;
use serde_json::json;
use tokio::{task::JoinSet, time::timeout};
use tonic::Code;

use crate::{
    probe::{assert_idle, expect_gap, expect_notice, figure, leases},
    support::{PATIENCE, all_arrives, follow, send, sessions_become},
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
    assert_eq!(accepted.sessions.len(), 3);
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
        let (status, _) = sandbox.notifier().admin("/ready").await?;
        anyhow::ensure!(status == StatusCode::SERVICE_UNAVAILABLE);
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
    assert_eq!(accepted.sessions.len(), 2);
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
        // Its id is unknown by then: said with a 503 where all new clients are turned away.
        match answer.status() {
            StatusCode::BAD_REQUEST | StatusCode::SERVICE_UNAVAILABLE => break,
            status => assert_eq!(status, StatusCode::OK),
        }
    }
}
