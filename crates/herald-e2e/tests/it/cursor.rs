//! A client that comes back gets what it missed.

use std::{sync::Arc, time::Duration};

use herald_e2e::Sandbox;
use herald_loadgen::{Checker, Event, Follower, Outgoing, Session, Transport, checker::Start};
use serde_json::json;

use crate::support::{PATIENCE, all_arrives, follow, send, sessions_become};

async fn two_gateways() -> Sandbox {
    Sandbox::builder().gateways(2).notifier().start().await.unwrap()
}

#[tokio::test]
async fn who_leaves_before_the_first_notice_gets_it_with_the_cursor_of_ready() {
    let sandbox = two_gateways().await;
    let grpc = sandbox.notifier().grpc();
    for transport in [Transport::WebSocket, Transport::Polling, Transport::Upgrade] {
        let (checker, user) = (Checker::new(), format!("{transport:?}"));
        let reader = Arc::new(checker.reader(&user, "phone", Start::Now));
        let options = sandbox.gateways[0].session(&user).transport(transport);
        let session = Session::connect(options).await.unwrap();
        let first = Follower::start(session, Arc::clone(&reader), |_| {}).await.unwrap();
        let cursor = first.cursor();
        first.close().await;
        sessions_become(sandbox.notifier(), &user, 0, PATIENCE).await;

        // More than one page of an inbox, and some too large for a channel.
        for number in 0..250 {
            let fill = if number % 50 == 0 { 6_000 } else { 10 };
            let payload = format!(r#"{{"number":{number},"fill":"{}"}}"#, "x".repeat(fill));
            let accepted = send(&grpc, &checker, &Outgoing::new(&user, payload)).await;
            assert_eq!((accepted.outcome.as_str(), accepted.sessions.len()), ("OFFLINE", 0));
        }
        assert_eq!(reader.count(), 0);

        // Any gateway will do.
        let options = sandbox.gateways[1].session(&user).transport(transport).cursor(&cursor);
        let session = Session::connect(options).await.unwrap();
        let back = Follower::start(session, Arc::clone(&reader), |notice| {
            assert!(notice.replayed == notice.payload.contains("number"), "{notice:?}");
        });
        let back = back.await.unwrap();
        all_arrives(&checker, PATIENCE).await;
        assert_ne!(back.cursor(), cursor);

        // What comes now is no replay, and follows.
        send(&grpc, &checker, &Outgoing::new(&user, "\"new\"")).await;
        all_arrives(&checker, PATIENCE).await;
        assert!(!back.has_ended());
    }
}

#[tokio::test]
async fn a_broken_connection_misses_nothing_while_notices_keep_coming() {
    let sandbox = two_gateways().await;
    let checker = Checker::new();
    let reader = Arc::new(checker.reader("alice", "phone", Start::Now));
    let sending = tokio::spawn({
        let (checker, http) = (checker.clone(), sandbox.notifier().http());
        async move {
            for number in 0..400 {
                send(&http, &checker, &Outgoing::new("alice", number.to_string())).await;
            }
        }
    });
    let mut cursor = None;
    let mut turns = 0;
    while !sending.is_finished() {
        let mut options = sandbox.gateways[turns % 2].session("alice");
        options.cursor.clone_from(&cursor);
        // The first life has no cursor: it must be there before the first notice is owed to it.
        if cursor.is_none() {
            options = options.cursor("start");
        }
        let session = Session::connect(options).await.unwrap();
        let follower = Follower::start(session, Arc::clone(&reader), |_| {}).await.unwrap();
        let before = reader.count();
        while reader.count() < before + 10 && !sending.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cursor = Some(follower.cursor());
        turns += 1;
        // Dropped, not closed: nobody takes leave of a broken network.
    }
    sending.await.unwrap();
    let options = sandbox.gateways[0].session("alice").cursor(cursor.unwrap());
    let session = Session::connect(options).await.unwrap();
    let _last = Follower::start(session, reader, |_| {}).await.unwrap();
    all_arrives(&checker, PATIENCE).await;
    assert!(turns > 3, "only {turns} connections: nothing was interrupted");
}

#[tokio::test]
async fn a_cursor_never_refuses_a_connection() {
    let sandbox = two_gateways().await;
    let checker = Checker::new();
    let grpc = sandbox.notifier().grpc();
    for number in 0..3 {
        send(&grpc, &checker, &Outgoing::new("alice", number.to_string())).await;
    }
    let whole =
        follow(&checker, sandbox.gateways[0].session("alice").cursor("start"), Start::Beginning)
            .await;
    all_arrives(&checker, PATIENCE).await;
    let alices = whole.cursor();

    for (user, cursor) in [("alice", "nonsense"), ("alice", ""), ("bob", alices.as_str())] {
        let options = sandbox.gateways[1].session(user).cursor(cursor);
        let mut session = Session::connect(options).await.unwrap();
        let mut gap = None;
        let mut notices = 0;
        let expected = if user == "alice" && !cursor.is_empty() { 3 } else { 0 };
        session.emit("done", &[]).await;
        while gap.is_none() || notices < expected {
            match tokio::time::timeout(PATIENCE, session.next()).await.unwrap() {
                Some(Event::Gap(found)) => gap = Some(found.reason),
                Some(Event::Notice(_)) => notices += 1,
                Some(Event::Ready(_)) if cursor.is_empty() => break,
                Some(Event::Ready(_) | Event::Other { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        let expected = (!cursor.is_empty()).then(|| "malformed".to_owned());
        assert_eq!(gap, expected, "{user} with {cursor:?}");
    }
}

#[tokio::test]
async fn a_notice_sent_from_the_clients_own_connect_callback_arrives_a_thousand_times() {
    let mut sandbox = two_gateways().await;
    let url = format!("http://{}/notice", sandbox.gateways[0].address());
    let http = format!("http://{}", sandbox.notifier().http_address());
    for (prefix, transports, times) in
        [("ws-", json!(["websocket"]), 1000), ("any-", json!(["polling", "websocket"]), 200)]
    {
        let config = json!({
            "url": url, "path": "/notice", "http": http, "prefix": prefix, "transports": transports,
            "times": times, "parallel": 8, "patience": 10_000,
        });
        let mut script = sandbox.node("connect-callback.mjs", &config).unwrap();
        let mut missed = Vec::new();
        let done = loop {
            let said = script.next(PATIENCE * 4).await.unwrap();
            match said["type"].as_str() {
                Some("done") => break said,
                _ => missed.push(said),
            }
        };
        assert_eq!((&done["times"], &done["missed"]), (&json!(times), &json!(0)), "{missed:?}");
    }
}
