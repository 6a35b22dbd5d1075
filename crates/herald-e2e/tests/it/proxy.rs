//! Official clients through nginx, as deploy/nginx has it.

use herald_e2e::{Sandbox, Script, Upstream, eventually};
use herald_loadgen::{Outgoing, Sender};
use serde_json::{Value, json};

use crate::support::{PATIENCE, sessions_become, sessions_of};

async fn behind_nginx() -> Sandbox {
    Sandbox::builder().gateways(2).notifier().nginx(Upstream::IpHash).start().await.unwrap()
}

/// Waits for the next event of this name, and gives its arguments.
async fn event(client: &mut Script, name: &str) -> Vec<Value> {
    loop {
        let said = client.expect("event", PATIENCE).await.unwrap();
        if said["event"] == name {
            return said["args"].as_array().unwrap().clone();
        }
    }
}

/// Sends notices and waits for each, in order.
async fn exchange(client: &mut Script, sender: &Sender, user: &str) {
    for number in 0..20 {
        let payload = json!({"number": number, "text": "Grüße 🦀", "none": null, "nested": [[{}]]});
        let accepted = sender.send(&Outgoing::new(user, payload.to_string())).await.unwrap();
        let args = event(client, "notice").await;
        assert_eq!(args[0], payload);
        let meta = args[1].as_object().unwrap();
        assert_eq!(meta["id"], accepted.notice_id);
        assert_eq!(meta["replayed"], false);
        assert!(meta["cursor"].is_string() && meta["sentAt"].is_u64(), "{meta:?}");
        assert_eq!(meta.len(), 4, "{meta:?}");
    }
}

#[tokio::test]
async fn every_transport_works_through_the_proxy() {
    let mut sandbox = behind_nginx().await;
    let grpc = sandbox.notifier().grpc();
    for (user, transports, carried_by) in [
        ("js-websocket", json!(["websocket"]), Some("websocket")),
        ("js-polling", json!(["polling"]), Some("polling")),
        // It may be either while the transport changes.
        ("js-upgrade", json!(["polling", "websocket"]), None),
    ] {
        let config = json!({
            "url": format!("http://{}/notice", sandbox.nginx().address()), "path": "/notice",
            "transports": transports, "auth": {"token": user, "device": "node"},
        });
        let mut client = sandbox.node("client.mjs", &config).unwrap();
        let connected = client.expect("connect", PATIENCE).await.unwrap();
        if let Some(carried_by) = carried_by {
            assert_eq!(connected["transport"], carried_by, "{user}");
        }
        let ready = event(&mut client, "herald:ready").await;
        // What is sent while the transport changes must not be lost either.
        exchange(&mut client, &grpc, user).await;

        let sessions = sessions_of(sandbox.notifier(), user).await;
        let [session] = &sessions[..] else { panic!("{sessions:?}") };
        assert_eq!(ready[0]["session"], session.session_id);
        assert_eq!(session.device.as_deref(), Some("node"));
        let whole = connected["id"].as_str().unwrap();
        // Who knew the whole could speak in the client's place.
        assert!(whole.starts_with(&session.socket_id) && session.socket_id.len() == 6);

        client.command(&json!({"do": "close"})).await.unwrap();
        sessions_become(sandbox.notifier(), user, 0, PATIENCE).await;
        assert!(client.finish(PATIENCE).await.unwrap().success());
    }
}

#[tokio::test]
async fn the_upgrade_happens_and_the_session_goes_on() {
    let mut sandbox = behind_nginx().await;
    let url = format!("http://{}/notice", sandbox.nginx().address());
    let config = json!({"url": url, "path": "/notice", "auth": {"token": "alice"}});
    let mut client = sandbox.node("client.mjs", &config).unwrap();
    let (mut ready, mut upgraded) = (None, false);
    while ready.is_none() || !upgraded {
        let said = client.next(PATIENCE).await.unwrap();
        match said["type"].as_str() {
            Some("upgrade") => upgraded = said["transport"] == "websocket",
            Some("event") if said["event"] == "herald:ready" => ready = Some(said),
            _ => {}
        }
    }
    exchange(&mut client, &sandbox.notifier().http(), "alice").await;
    let sessions = sessions_of(sandbox.notifier(), "alice").await;
    assert_eq!(sessions.len(), 1);
    assert_eq!(ready.unwrap()["args"][0]["session"], sessions[0].session_id);
}

#[tokio::test]
async fn an_official_client_moves_to_the_other_gateway_when_its_own_ends() {
    let mut sandbox = behind_nginx().await;
    let config = json!({
        "url": format!("http://{}/notice", sandbox.nginx().address()), "path": "/notice",
        "auth": {"token": "alice"}, "resume": true, "reconnectionDelay": 50,
    });
    let mut client = sandbox.node("client.mjs", &config).unwrap();
    event(&mut client, "herald:ready").await;
    let home = sessions_of(sandbox.notifier(), "alice").await.remove(0).gateway;
    let gateway = sandbox.gateways.iter_mut().find(|gateway| gateway.name() == home).unwrap();
    assert!(gateway.terminate().await.unwrap().success());

    client.expect("disconnect", PATIENCE).await.unwrap();
    event(&mut client, "herald:ready").await;
    let sessions = eventually("alice is back", PATIENCE, async || {
        let sessions = sessions_of(sandbox.notifier(), "alice").await;
        if sessions.len() == 1 { Ok(sessions) } else { Err(sessions.len()) }
    });
    assert_ne!(sessions.await[0].gateway, home);
    exchange(&mut client, &sandbox.notifier().grpc(), "alice").await;
}
