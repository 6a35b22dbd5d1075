//! The raw client against a stock Socket.IO server: what it says about gateways can be believed.

use std::{net::SocketAddr, time::Duration};

use herald_e2e::{Sandbox, Script};
use herald_loadgen::{
    CloseReason, ConnectError, Event, Session, SessionOptions, TokenIn, Transport,
};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

const TRANSPORTS: [Transport; 3] = [Transport::WebSocket, Transport::Polling, Transport::Upgrade];

/// A stock server, and options for a session with it.
async fn server(options: serde_json::Value) -> (Sandbox, Script, SessionOptions) {
    let mut sandbox = Sandbox::builder().prepare().unwrap();
    let mut server = sandbox.node("server.mjs", &options).unwrap();
    let port = server.expect("listening", PATIENCE).await.unwrap()["port"].as_u64().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
    (sandbox, server, SessionOptions::new(address, "alice"))
}

#[tokio::test]
async fn every_transport_joins_receives_acknowledges_emits_and_takes_leave() {
    let (_sandbox, mut server, options) = server(json!({})).await;
    for transport in TRANSPORTS {
        let options = options.clone().transport(transport).cursor("c1").device("phone");
        let mut session = Session::connect(options).await.unwrap();

        let seen = server.expect("connect", PATIENCE).await.unwrap();
        assert_eq!(seen["auth"], json!({"token": "alice", "cursor": "c1", "device": "phone"}));
        assert_eq!(seen["id"], session.socket_id());
        let expected = if transport == Transport::Polling { "polling" } else { "websocket" };
        assert_eq!(seen["transport"], expected, "{transport:?}");
        let ready = session.ready(PATIENCE).await.unwrap();
        assert_eq!(ready.cursor, "c1");

        let meta = json!({"id": "n1", "cursor": "c2", "sentAt": 5, "replayed": false});
        let payload = r#"{"text":"ü \" \u001e","list":[1,null,{}]}"#;
        let notice = json!({"do": "notice", "event": "notice", "payload": payload, "meta": meta, "ack": true});
        server.command(&notice).await.unwrap();
        let notice = session.notice(PATIENCE).await.unwrap();
        assert_eq!((notice.id.as_str(), &*notice.payload), ("n1", payload));
        session.acknowledge(&notice).await;
        server.expect("acknowledged", PATIENCE).await.unwrap();

        session.emit("hello", &["1", r#"{"a":2}"#]).await;
        let seen = server.expect("event", PATIENCE).await.unwrap();
        assert_eq!((&seen["event"], &seen["args"]), (&json!("hello"), &json!([1, {"a": 2}])));

        session.close().await;
        let seen = server.expect("disconnect", PATIENCE).await.unwrap();
        assert_eq!(seen["reason"], "client namespace disconnect", "{transport:?}");
    }
}

#[tokio::test]
async fn a_token_in_the_query_arrives_and_the_default_namespace_works() {
    let (_sandbox, mut server, options) = server(json!({})).await;
    let options = SessionOptions { token_in: TokenIn::Query, ..options.namespace("/") };
    let session = Session::connect(options).await.unwrap();
    let seen = server.expect("connect", PATIENCE).await.unwrap();
    assert_eq!((&seen["namespace"], &seen["query"]["token"]), (&json!("/"), &json!("alice")));
    assert_eq!(seen["auth"], json!({}));
    drop(session);
    let seen = server.expect("disconnect", PATIENCE).await.unwrap();
    assert_ne!(seen["reason"], "client namespace disconnect");
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let (_sandbox, _server, options) = server(json!({})).await;
    for transport in TRANSPORTS {
        let options = options.clone().transport(transport);

        let nobody = SessionOptions { token: None, ..options.clone() };
        let error = Session::connect(nobody).await.unwrap_err();
        let ConnectError::Rejected { message } = &error else { panic!("{error}") };
        assert_eq!(message, "Authentication error: missing");
        assert!(!error.is_retryable());

        let error = Session::connect(options.clone().namespace("/other")).await.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Rejected { message } if message == "Invalid namespace")
        );

        let elsewhere = SessionOptions { path: "/elsewhere".to_owned(), ..options.clone() };
        let elsewhere = SessionOptions { timeout: Duration::from_millis(500), ..elsewhere };
        let error = Session::connect(elsewhere).await.unwrap_err();
        // A stock server leaves requests for other paths to others: nobody answers.
        assert!(matches!(error, ConnectError::TimedOut(_) | ConnectError::Transport(_)), "{error}");

        let nobody = SessionOptions { address: ([127, 0, 0, 1], 1).into(), ..options };
        let error = Session::connect(nobody).await.unwrap_err();
        assert!(matches!(error, ConnectError::Transport(_)), "{error}");
    }
}

#[tokio::test]
async fn pings_are_answered_and_the_ends_of_a_session_told_apart() {
    let (_sandbox, mut server, options) =
        server(json!({"pingInterval": 200, "pingTimeout": 400})).await;
    for transport in TRANSPORTS {
        let mut session = Session::connect(options.clone().transport(transport)).await.unwrap();
        session.ready(PATIENCE).await.unwrap();
        // Several pings long; a session that does not answer is closed within 600 ms.
        let early = session.closed(Duration::from_millis(1500)).await;
        assert_eq!(early, None, "{transport:?}");
        server.command(&json!({"do": "disconnect"})).await.unwrap();
        let end = session.closed(PATIENCE).await;
        assert_eq!(end, Some(CloseReason::ServerDisconnect), "{transport:?}");

        let mut session = Session::connect(options.clone().transport(transport)).await.unwrap();
        session.ready(PATIENCE).await.unwrap();
        server.command(&json!({"do": "close"})).await.unwrap();
        let end = session.closed(PATIENCE).await.unwrap();
        let expected = match transport {
            Transport::Polling => {
                matches!(end, CloseReason::EngineClosed | CloseReason::Http { .. })
            }
            _ => matches!(end, CloseReason::WebSocketClosed(_) | CloseReason::EngineClosed),
        };
        assert!(expected, "{transport:?}: {end}");

        let frozen = Session::connect(options.clone().transport(transport)).await.unwrap();
        let id = frozen.socket_id().to_owned();
        frozen.freeze().await;
        loop {
            let seen = server.expect("disconnect", PATIENCE).await.unwrap();
            if seen["id"] == id {
                assert_eq!(seen["reason"], "ping timeout", "{transport:?}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn events_that_nobody_takes_wait_and_none_is_lost() {
    let (_sandbox, mut server, options) = server(json!({})).await;
    let options = SessionOptions { event_queue: 1, ..options };
    let mut session = Session::connect(options).await.unwrap();
    session.ready(PATIENCE).await.unwrap();
    for number in 0..500 {
        server.command(&json!({"do": "emit", "event": "tick", "args": [number]})).await.unwrap();
    }
    for number in 0..500 {
        match session.next().await {
            Some(Event::Other { event, args }) => {
                assert_eq!((event.as_str(), &*args[0]), ("tick", number.to_string().as_str()));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_scripts_of_the_official_clients_say_what_happens() {
    let (mut sandbox, mut server, options) = server(json!({})).await;
    let url = format!("http://{}", options.address);
    let node = json!({"url": format!("{url}/notice"), "path": "/notice", "auth": {"token": "js"},
        "transports": ["websocket"]});
    let python = json!({"url": url, "path": "notice", "namespace": "/notice",
        "auth": {"token": "py"}, "transports": ["polling"]});
    let clients =
        [sandbox.node("client.mjs", &node).unwrap(), sandbox.python("client.py", &python).unwrap()];
    for mut client in clients {
        client.expect("connect", PATIENCE).await.unwrap();
        let ready = client.expect("event", PATIENCE).await.unwrap();
        assert_eq!(ready["event"], "herald:ready");
        client.command(&json!({"do": "emit", "event": "hi", "args": [1]})).await.unwrap();
        assert_eq!(server.expect("event", PATIENCE).await.unwrap()["args"], json!([1]));
        server.command(&json!({"do": "emit", "event": "ho", "args": [{"b": 2}]})).await.unwrap();
        let event = client.expect("event", PATIENCE).await.unwrap();
        assert_eq!((&event["event"], &event["args"]), (&json!("ho"), &json!([{"b": 2}])));
        client.command(&json!({"do": "close"})).await.unwrap();
        client.expect("disconnect", PATIENCE).await.unwrap();
        assert!(client.finish(PATIENCE).await.unwrap().success());
    }
}
