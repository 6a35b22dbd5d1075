//! Processes from their first check to their end, and what they say meanwhile.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use herald_e2e::{GatewayOptions, NotifierOptions, Sandbox, Script, eventually};
use herald_loadgen::{
    Checker, Outgoing, Session, SessionOptions, TokenIn, Transport, checker::Start,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    probe::{expect_notice, keys, leases},
    support::{PATIENCE, all_arrives, follow, send, sessions_become},
    wire::Wire,
};

/// The events of this name, from the next one on, as many as asked for: their arguments.
async fn events(client: &mut Script, name: &str, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    while found.len() < count {
        let event = client.expect("event", PATIENCE).await.unwrap();
        if event["event"] == name {
            found.push(event["args"].clone());
        }
    }
    found
}

#[tokio::test]
async fn official_clients_come_back_to_a_restarted_gateway_and_miss_nothing() {
    let mut sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let address = sandbox.gateways[0].address();
    let mut clients = Vec::new();
    for transports in [json!(["websocket"]), json!(["polling"]), json!(["polling", "websocket"])] {
        let config = json!({"url": format!("http://{address}/notice"), "path": "/notice",
            "auth": {"token": "alice"}, "resume": true, "transports": transports,
            "reconnectionDelay": 100, "reconnectionDelayMax": 500});
        clients.push(sandbox.node("client.mjs", &config).unwrap());
    }
    for transport in ["websocket", "polling"] {
        let config = json!({"url": format!("http://{address}"), "path": "notice",
            "namespace": "/notice", "auth": {"token": "alice"}, "resume": true,
            "transports": [transport]});
        clients.push(sandbox.python("client.py", &config).unwrap());
    }
    for client in &mut clients {
        events(client, "herald:ready", 1).await;
    }
    let producer = sandbox.notifier().grpc();
    producer.send(&Outgoing::new("alice", "1")).await.unwrap();
    for client in &mut clients {
        assert_eq!(events(client, "notice", 1).await[0][0], 1);
    }

    let status = sandbox.gateways[0].terminate().await.unwrap();
    assert_eq!(status.code(), Some(0));
    for client in &mut clients {
        client.expect("disconnect", PATIENCE).await.unwrap();
    }
    for number in ["2", "3"] {
        let accepted = producer.send(&Outgoing::new("alice", number)).await.unwrap();
        assert_eq!(accepted.outcome, "OFFLINE");
    }
    sandbox.gateways[0].start().await.unwrap();
    for client in &mut clients {
        events(client, "herald:ready", 1).await;
        let missed = events(client, "notice", 2).await;
        assert_eq!((&missed[0][0], &missed[1][0]), (&json!(2), &json!(3)));
    }
    sessions_become(sandbox.notifier(), "alice", clients.len(), PATIENCE).await;
    producer.send(&Outgoing::new("alice", "4")).await.unwrap();
    for client in &mut clients {
        assert_eq!(events(client, "notice", 1).await[0][0], 4);
    }
}

#[tokio::test]
async fn sigterm_ends_both_services_in_time_though_redis_hangs_and_a_peer_reads_nothing() {
    let mut sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let address = sandbox.gateways[0].address();
    let checker = Checker::new();
    let options = sandbox.gateways[0].session("alice");
    let quick = follow(&checker, options.clone(), Start::Now).await;
    let polling = follow(&checker, options.transport(Transport::Polling), Start::Now).await;
    let mut deaf = Wire::open(address, None, Some(4096)).await.unwrap();
    deaf.request_upgrade("").await.unwrap();
    deaf.head().await.unwrap();
    deaf.send(r#"40/notice,{"token":"alice"}"#).await.unwrap();
    sessions_become(sandbox.notifier(), "alice", 3, PATIENCE).await;
    let producer = sandbox.notifier().grpc();
    let fill = "x".repeat(60_000);
    for number in 0..15 {
        // Some for the other sockets to be given at once, more than the kernel holds for this one.
        let notice = Outgoing::new("alice", format!("[{number},\"{fill}\"]"));
        send(&producer, &checker, &notice).await;
    }
    all_arrives(&checker, PATIENCE).await;

    sandbox.redis.freeze().unwrap();
    let last = Outgoing::new("alice", "\"last\"");
    let call = producer.send(&last);
    let begin = Instant::now();
    let Sandbox { gateways, notifiers, .. } = &mut sandbox;
    let gateway = async { (gateways[0].terminate().await.unwrap(), begin.elapsed()) };
    let notifier = async { (notifiers[0].terminate().await.unwrap(), begin.elapsed()) };
    let (answer, gateway, notifier) = tokio::join!(call, gateway, notifier);
    println!("gateway ended after {:?}, notifier after {:?}", gateway.1, notifier.1);
    for (status, took) in [gateway, notifier] {
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(15), "{took:?}");
    }
    // A call under way is answered, whatever the answer.
    assert!(answer.unwrap_err().is_unknown());
    for session in [quick, polling] {
        let end = session.ended().await;
        assert_ne!(end, herald_loadgen::CloseReason::ServerDisconnect);
    }
    drop(deaf);
}

#[tokio::test]
async fn a_gateway_paused_past_its_lease_takes_another_and_its_sessions_miss_nothing() {
    let builder = Sandbox::builder().env("HERALD_LEASE", "2s").env("HERALD_LEASE_RENEWAL", "500ms");
    let mut sandbox = builder.gateways(1).notifier().start().await.unwrap();
    let prefix = sandbox.key_prefix().to_owned();
    // Redis cuts a subscriber that falls so far behind.
    let limit = ["config", "set", "client-output-buffer-limit", "pubsub 262144 131072 1"];
    sandbox.redis.cli(&limit).await.unwrap();
    let (checker, producer) = (Checker::new(), sandbox.notifier().grpc());
    let mut sessions = Vec::new();
    for user in ["alice", "bob"] {
        for transport in [Transport::WebSocket, Transport::Polling] {
            let options = sandbox.gateways[0].session(user).transport(transport);
            sessions.push(follow(&checker, options, Start::Now).await);
        }
    }
    let before = leases(&sandbox.redis, &prefix).await.unwrap();

    sandbox.gateways[0].process().unwrap().signal(Signal::STOP).unwrap();
    let fill = "x".repeat(3_000);
    let mut sent = 0;
    eventually("the sessions are reaped", PATIENCE, async || {
        for user in ["alice", "bob"] {
            for _ in 0..10 {
                sent += 1;
                let notice = Outgoing::new(user, format!("[{sent},\"{fill}\"]"));
                send(&producer, &checker, &notice).await;
            }
        }
        let pattern = format!("{prefix}:*sessions");
        let left = keys(&sandbox.redis, &pattern).await.unwrap();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
    assert_eq!(leases(&sandbox.redis, &prefix).await.unwrap(), BTreeSet::new());
    sandbox.gateways[0].process().unwrap().signal(Signal::CONT).unwrap();

    all_arrives(&checker, PATIENCE).await;
    for user in ["alice", "bob"] {
        sessions_become(sandbox.notifier(), user, 2, PATIENCE).await;
    }
    let after = leases(&sandbox.redis, &prefix).await.unwrap();
    assert!(after.len() == 1 && after.is_disjoint(&before), "{before:?} {after:?}");
    send(&producer, &checker, &Outgoing::new("alice", "\"live\"")).await;
    all_arrives(&checker, PATIENCE).await;
    assert!(sessions.iter().all(|session| !session.has_ended()));
    println!("{sent} notices sent while it was paused");
}

#[tokio::test]
async fn healthcheck_and_check_config_speak_for_the_running_process() {
    let mut sandbox = Sandbox::builder().gateways(1).notifier().prepare().unwrap();
    for up in [false, true] {
        if up {
            sandbox.redis.start().await.unwrap();
            sandbox.gateways[0].ready().await.unwrap();
            sandbox.notifiers[0].ready().await.unwrap();
        } else {
            sandbox.gateways[0].start_unready().await.unwrap();
            sandbox.notifiers[0].start_unready().await.unwrap();
        }
        for (args, code) in
            [(&["healthcheck"][..], i32::from(!up)), (&["healthcheck", "--live"][..], 0)]
        {
            for (status, said) in [
                sandbox.gateways[0].run(args).await.unwrap(),
                sandbox.notifier().run(args).await.unwrap(),
            ] {
                assert_eq!(status.code(), Some(code), "{args:?}: {said}");
                assert!(code == 0 || said.contains("backplane"), "{said}");
            }
        }
        for (status, said) in [
            sandbox.gateways[0].run(&["--check-config"]).await.unwrap(),
            sandbox.notifier().run(&["--check-config"]).await.unwrap(),
        ] {
            assert_eq!(status.code(), Some(0), "{said}");
            assert!(said.contains(&format!("HERALD_BACKPLANE={}", sandbox.redis.url())), "{said}");
            assert!(said.contains("HERALD_KEY_PREFIX="), "{said}");
        }
        for (status, said) in [
            sandbox.gateways[0].run(&["--check-config", "--lease", "1y", "--inbox-age", "0"]).await,
            sandbox.notifier().run(&["--check-config", "--lease", "1y", "--inbox-age", "0"]).await,
        ]
        .map(Result::unwrap)
        {
            assert_eq!(status.code(), Some(64), "{said}");
            assert!(said.contains("HERALD_LEASE:") && said.contains("HERALD_INBOX_AGE:"), "{said}");
        }
    }
    sandbox.gateways[0].terminate().await.unwrap();
    for args in [&["healthcheck"][..], &["healthcheck", "--live"]] {
        let (status, said) = sandbox.gateways[0].run(args).await.unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
    }
}

#[tokio::test]
async fn no_token_and_no_secret_is_logged_at_any_level() {
    const SECRET: &str = "Confidential-of-the-tokens, of 32 bytes";
    const PASSWORD: &str = "Confidential-of-redis";
    let mut sandbox = Sandbox::builder().prepare().unwrap();
    sandbox.redis.start().await.unwrap();
    sandbox.redis.cli(&["config", "set", "requirepass", PASSWORD]).await.unwrap();
    let backplane = format!("redis://:{PASSWORD}@{}/0", sandbox.redis.address());
    let env = |more: &[(&str, &str)]| {
        let common = [("HERALD_BACKPLANE", backplane.as_str()), ("HERALD_LOG", "trace")];
        let all = common.iter().chain(more);
        all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let jwt = env(&[("HERALD_CLIENT_AUTH", "jwt"), ("HERALD_JWT_SECRET", SECRET)]);
    sandbox.add_gateway(GatewayOptions { env: jwt, ..GatewayOptions::default() }).unwrap();
    sandbox.add_notifier(NotifierOptions { env: env(&[]) }).unwrap();
    sandbox.gateways[0].start().await.unwrap();
    sandbox.notifiers[0].start().await.unwrap();

    let expires = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() + 600;
    let claims = json!({"sub": "alice", "exp": expires});
    let tokens = json!({"tokens": [{"claims": claims, "secret": SECRET},
        {"claims": claims, "secret": "Confidential of somebody else, 32 bytes"}]});
    let mut sign = sandbox.node("sign.mjs", &tokens).unwrap();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let token = sign.expect("token", PATIENCE).await.unwrap();
        tokens.push(token["token"].as_str().unwrap().to_owned());
    }
    let [good, bad] = <[String; 2]>::try_from(tokens).unwrap();
    let odd = format!("Confidential {} %&=#?", "x".repeat(50));
    let large = format!("Confidential{}", "y".repeat(9_000));
    for transport in [Transport::WebSocket, Transport::Polling, Transport::Upgrade] {
        for token_in in [TokenIn::Auth, TokenIn::Query, TokenIn::AuthAndQuery] {
            let options = |token: &str| SessionOptions {
                token_in,
                ..SessionOptions::new(sandbox.gateways[0].address(), token).transport(transport)
            };
            let mut session = Session::connect(options(&good)).await.unwrap();
            session.ready(PATIENCE).await.unwrap();
            sandbox.notifier().http().send(&Outgoing::new("alice", "1")).await.unwrap();
            expect_notice(&mut session, "1").await;
            for token in [&bad, &odd, &large] {
                Session::connect(options(token)).await.unwrap_err();
            }
            // Not a token's place, but where people put it.
            session.send_raw(format!("40/notice?token={good},{{\"token\":\"{good}\"}}")).await;
            session.close().await;
        }
    }
    let (_, said) = sandbox.gateways[0].run(&["--check-config"]).await.unwrap();
    assert!(said.contains("HERALD_JWT_SECRET=****"), "{said}");
    sandbox.gateways[0].terminate().await.unwrap();
    sandbox.notifiers[0].terminate().await.unwrap();

    let signature = |token: &str| token.rsplit_once('.').unwrap().1.to_owned();
    let claims = good.split('.').nth(1).unwrap().to_owned();
    let mut needles = vec!["Confidential".to_owned(), signature(&good), signature(&bad), claims];
    // As a dump of bytes shows it.
    let hex = |text: &String| text.bytes().map(|byte| format!("{byte:02x}")).collect();
    needles.extend(needles.iter().map(hex).collect::<Vec<String>>());
    let mut lines = 0;
    for entry in fs::read_dir(sandbox.directory()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        for line in String::from_utf8_lossy(&fs::read(&path).unwrap()).lines() {
            lines += 1;
            for needle in &needles {
                let told = line.contains(needle.as_str());
                assert!(!told, "{}: {needle} in {line}", path.display());
            }
        }
    }
    println!("{lines} lines without a secret");
    let log = sandbox.gateways[0].log();
    assert!(log.contains("DEBUG") && log.contains("client refused"), "not at that level: {log}");
}
