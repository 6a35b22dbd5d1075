//! Official clients of a gateway that leaves, through nginx as deploy/nginx has it.

use std::time::{Duration, Instant};

use herald_e2e::{Sandbox, Script, Signal, Upstream, eventually};
use herald_loadgen::{Outgoing, Session};
use serde_json::{Value, json};

use crate::support::{PATIENCE, sessions_of};

/// What a client says, up to and with the first of this type.
async fn until(client: &mut Script, kind: &str) -> Vec<Value> {
    let mut said = Vec::new();
    while said.last().is_none_or(|last: &Value| last["type"] != kind) {
        said.push(client.next(PATIENCE).await.unwrap());
    }
    said
}

/// The payloads of the notices among what a client said.
fn payloads(said: &[Value]) -> Vec<u64> {
    said.iter()
        .filter(|line| line["event"] == "notice")
        .map(|line| line["args"][0].as_u64().unwrap())
        .collect()
}

fn config(sandbox: &Sandbox, user: &str, transports: &[&str]) -> Value {
    json!({
        "url": format!("http://{}/notice", sandbox.nginx().address()), "path": "/notice",
        "auth": {"token": user}, "resume": true, "transports": transports,
    })
}

#[tokio::test]
async fn official_clients_move_to_the_other_gateway_and_miss_and_double_nothing() {
    let builder = Sandbox::builder().gateways(2).notifier().nginx(Upstream::IpHash);
    let mut sandbox = builder.start().await.unwrap();
    let mut clients = Vec::new();
    for (user, transports) in
        [("ws", &["websocket"][..]), ("poll", &["polling"]), ("move", &["polling", "websocket"])]
    {
        let config = config(&sandbox, user, transports);
        let mut client = sandbox.node("client.mjs", &config).unwrap();
        until(&mut client, "connect").await;
        clients.push((user, client));
    }
    let grpc = sandbox.notifier().grpc();
    let mut number = 0;
    let mut tell_all = async || {
        number += 1;
        for user in ["ws", "poll", "move"] {
            grpc.send(&Outgoing::new(user, number.to_string())).await.unwrap();
        }
        number
    };
    tell_all().await;
    let home = eventually("a session", PATIENCE, async || {
        sessions_of(sandbox.notifier(), "poll").await.pop().ok_or("none")
    });
    let home = home.await.gateway;
    let gateway = sandbox.gateways.iter_mut().find(|gateway| gateway.name() == home).unwrap();

    let begin = Instant::now();
    let mut ending = Box::pin(gateway.terminate());
    let status = loop {
        // Before, during and after.
        tell_all().await;
        tokio::select! {
            status = &mut ending => break status.unwrap(),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    };
    drop(ending);
    assert_eq!(status.code(), Some(0));
    println!("{home} had left after {:?}", begin.elapsed());
    let last = tell_all().await;
    for (user, client) in &mut clients {
        let mut said = until(client, "disconnect").await;
        let warned = said.iter().position(|line| line["event"] == "herald:reconnect");
        assert!(warned.is_some(), "{user} was not told: {said:?}");
        let end = said.last().unwrap()["reason"].clone();
        assert!(end == "transport close" || end == "transport error", "{user}: {end}");
        while payloads(&said).last() != Some(&last) {
            said.push(client.next(PATIENCE).await.unwrap());
        }
        assert!(payloads(&said).iter().copied().eq(1..=last), "{user}: {:?}", payloads(&said));
        let sessions = sessions_of(sandbox.notifier(), user).await;
        assert!(sessions.len() == 1 && sessions[0].gateway != home, "{user}: {sessions:?}");
    }
}

#[tokio::test]
async fn who_polls_gets_through_to_the_other_gateway_while_the_first_one_leaves() {
    // Slow enough to be watched.
    let builder = Sandbox::builder().env("HERALD_DRAIN_RATE", "1").gateways(2).notifier();
    let mut sandbox = builder.nginx(Upstream::IpHash).start().await.unwrap();
    // nginx sends all of 127.0.0.x to this one.
    let probe = Session::connect(sandbox.nginx().session("probe")).await.unwrap();
    let home = eventually("a session", PATIENCE, async || {
        sessions_of(sandbox.notifier(), "probe").await.pop().ok_or("none")
    });
    let home = home.await.gateway;
    let nth = sandbox.gateways.iter().position(|gateway| gateway.name() == home).unwrap();
    let mut lingering = Vec::new();
    for _ in 0..60 {
        let options = sandbox.gateways[nth].session("lingers");
        lingering.push(Session::connect(options).await.unwrap());
    }
    sandbox.gateways[nth].process().unwrap().signal(Signal::TERM).unwrap();
    eventually("it leaves", PATIENCE, async || {
        match Session::connect(sandbox.gateways[nth].session("late")).await {
            Err(error) if error.status().is_some_and(|status| status == 503) => Ok(()),
            other => Err(format!("{:?}", other.err())),
        }
    })
    .await;

    let mut clients = Vec::new();
    for (user, transports) in [("poll", &["polling"][..]), ("move", &["polling", "websocket"])] {
        let config = config(&sandbox, user, transports);
        let mut client = sandbox.node("client.mjs", &config).unwrap();
        until(&mut client, "connect").await;
        clients.push((user, client));
    }
    let grpc = sandbox.notifier().grpc();
    for number in 1..=10 {
        for (user, client) in &mut clients {
            grpc.send(&Outgoing::new(*user, number.to_string())).await.unwrap();
            loop {
                let line = client.next(PATIENCE).await.unwrap();
                assert_ne!(line["type"], "disconnect", "{user}: {line}");
                if line["event"] == "notice" {
                    assert_eq!(line["args"][0], number, "{user}");
                    break;
                }
            }
        }
    }
    for (user, _) in &clients {
        let sessions = sessions_of(sandbox.notifier(), user).await;
        assert!(sessions.len() == 1 && sessions[0].gateway != home, "{user}: {sessions:?}");
    }
    // Each request of a session that began elsewhere was offered to the leaving one first.
    let log = sandbox.nginx().access_log();
    let passed_on = log.lines().filter(|line| line.contains("upstream_status=503, 200")).count();
    println!("{passed_on} requests were passed on to the other gateway");
    assert!(passed_on > 10, "{log}");
    drop((probe, lingering));
    // A second signal ends it at once, whoever is still there.
    let status = sandbox.gateways[nth].terminate().await.unwrap();
    assert!(status.code() == Some(143) || status.code() == Some(0), "{status}");
}
