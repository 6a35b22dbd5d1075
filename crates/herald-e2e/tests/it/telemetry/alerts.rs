//! Each alert fires when its fault is there, and clears when it is gone.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use herald_e2e::{GatewayOptions, NotifierOptions, Port, Relay, Sandbox, eventually};
use herald_loadgen::{Outgoing, Session};
use herald_proto::api::WaitFor;
use jsonwebtoken::Algorithm;
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use super::prometheus::{Prometheus, deployed};
use crate::{access::keys::jwk, probe::leases, support::PATIENCE};

/// A fault is done again as long as its alerts do not fire.
const LONG: Duration = Duration::from_secs(90);

/// The entry of a lease that lapsed long ago.
const LAPSED: &str = "held 1 0 dead:8013";

/// Every alert that there is.
fn all_alerts() -> BTreeSet<String> {
    let rules = deployed("prometheus/alerts.yml");
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    names.map(str::to_owned).collect()
}

/// What was seen to fire.
struct Watch {
    prometheus: Prometheus,
    seen: BTreeSet<String>,
}

impl Watch {
    /// Causes faults until these alerts have fired.
    async fn fire(&mut self, alerts: &[&str], mut fault: impl AsyncFnMut()) {
        let begin = tokio::time::Instant::now();
        let mut missing: BTreeSet<_> = alerts.iter().map(|alert| (*alert).to_owned()).collect();
        while !missing.is_empty() {
            assert!(begin.elapsed() < LONG, "these do not fire: {missing:?}");
            fault().await;
            let firing = self.prometheus.firing().await;
            missing.retain(|alert| !firing.contains(alert));
            self.seen.extend(firing);
        }
        println!("{alerts:?} fire after {:?}", begin.elapsed());
    }

    /// Waits until nothing fires any more.
    async fn clear(&self) {
        let begin = tokio::time::Instant::now();
        eventually("all alerts clear", LONG, async || {
            let firing = self.prometheus.firing().await;
            if firing.is_empty() { Ok(()) } else { Err(format!("{firing:?}")) }
        })
        .await;
        println!("clear after {:?}", begin.elapsed());
    }
}

fn env(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn gateway(variables: &[(&str, &str)]) -> GatewayOptions {
    GatewayOptions { env: env(variables), ..GatewayOptions::default() }
}

fn write_keys(jwks: &Path) {
    fs::write(jwks, json!({"keys": [jwk(Algorithm::ES256, "one")]}).to_string()).unwrap();
}

#[tokio::test]
async fn each_alert_fires_for_its_fault_and_clears() {
    let mut sandbox = Sandbox::builder().prepare().unwrap();
    let relay = Relay::start(sandbox.redis.address()).await.unwrap();
    sandbox.redis.start().await.unwrap();
    let through = format!("redis://{}/0", relay.address());
    let jwks = sandbox.directory().join("jwks.json");
    write_keys(&jwks);
    let nobody = Port::claim().unwrap();
    let webhook = format!("http://{}/", nobody.address());
    for options in [
        gateway(&[]),
        gateway(&[
            ("HERALD_BACKPLANE", &through),
            ("HERALD_CHANNEL_SILENCE", "3s"),
            ("HERALD_MAX_CONNECTIONS", "2"),
        ]),
        gateway(&[
            ("HERALD_CLIENT_AUTH", "jwt"),
            ("HERALD_JWKS", jwks.to_str().unwrap()),
            ("HERALD_JWKS_REFRESH", "1s"),
        ]),
        gateway(&[("HERALD_CLIENT_AUTH", "webhook"), ("HERALD_AUTH_WEBHOOK", &webhook)]),
    ] {
        sandbox.add_gateway(options).unwrap().start().await.unwrap();
    }
    sandbox.add_notifier(NotifierOptions::default()).unwrap().start().await.unwrap();
    let prefix = sandbox.key_prefix().to_owned();
    let producer = sandbox.notifier().grpc();
    let mut sessions = Vec::new();
    for nth in [0, 1] {
        let mut session = Session::connect(sandbox.gateways[nth].session("alice")).await.unwrap();
        session.ready(PATIENCE).await.unwrap();
        sessions.push(session);
    }
    let mut load = JoinSet::new();
    let sender = producer.clone();
    load.spawn(async move {
        loop {
            // It fails while there is no Redis.
            let _ = sender.send(&Outgoing::new("alice", "1")).await;
            sleep(Duration::from_millis(20)).await;
        }
    });
    let mut watch = Watch { prometheus: Prometheus::start(&sandbox).await, seen: BTreeSet::new() };
    watch.clear().await;

    // What leaves the others at work.
    fs::write(&jwks, "no keys").unwrap();
    let full = Session::connect(sandbox.gateways[1].session("bob")).await.unwrap();
    let lapsed = format!("{:016x}", rand::random::<u64>());
    let index = format!("{prefix}:v1:lease:{lapsed}:sessions");
    sandbox.redis.cli(&["set", &index, "no index"]).await.unwrap();
    let table = format!("{prefix}:v1:leases");
    sandbox.redis.cli(&["hset", &table, &lapsed, LAPSED]).await.unwrap();
    let quiet = [
        "HeraldClientKeysStale",
        "HeraldNearLimit",
        "HeraldReapFailing",
        "HeraldDropping",
        "HeraldUnacknowledged",
        "HeraldWebhookAway",
    ];
    watch
        .fire(&quiet, async || {
            for lease in leases(&sandbox.redis, &prefix).await.unwrap() {
                let channel = format!("{prefix}:v1:gateway:{lease}");
                sandbox.redis.cli(&["publish", &channel, "nonsense"]).await.unwrap();
            }
            let wait = Some((WaitFor::AckedAny, Duration::from_millis(100)));
            producer.send(&Outgoing { wait, ..Outgoing::new("alice", "2") }).await.unwrap();
            Session::connect(sandbox.gateways[3].session("carol")).await.unwrap_err();
            pause().await;
        })
        .await;
    write_keys(&jwks);
    full.close().await;
    sandbox.redis.cli(&["del", &index]).await.unwrap();
    watch.clear().await;

    // A channel that is late, then silent.
    watch
        .fire(&["HeraldDeliverySlow"], async || {
            relay.silence_subscribers();
            sleep(Duration::from_millis(1_500)).await;
            relay.mend();
            sleep(Duration::from_millis(500)).await;
        })
        .await;
    relay.silence_subscribers();
    watch.fire(&["HeraldChannelSilent", "HeraldNotReady"], async || pause().await).await;
    relay.mend();
    watch.clear().await;

    // A gateway that dies, and leases that are lost.
    sandbox.gateways[0].kill().await.unwrap();
    watch.fire(&["HeraldDown", "HeraldUnheard"], async || pause().await).await;
    sandbox.gateways[0].start().await.unwrap();
    sandbox.redis.cli(&["del", &table]).await.unwrap();
    watch.fire(&["HeraldLeaseLost"], async || pause().await).await;
    watch.clear().await;

    // Redis that stutters, then is away.
    watch
        .fire(&["HeraldRedisSlow", "HeraldChannelSlow"], async || {
            sandbox.redis.freeze().unwrap();
            sleep(Duration::from_millis(700)).await;
            sandbox.redis.thaw().unwrap();
            sleep(Duration::from_millis(150)).await;
        })
        .await;
    sandbox.redis.kill().await.unwrap();
    let away = ["HeraldRedisErrors", "HeraldSendsFailing", "HeraldHandshakesRefused"];
    watch
        .fire(&away, async || {
            Session::connect(sandbox.gateways[0].session("bob")).await.unwrap_err();
        })
        .await;
    sandbox.redis.start().await.unwrap();
    watch.clear().await;

    assert_eq!(watch.seen, all_alerts());
}

async fn pause() {
    sleep(Duration::from_millis(100)).await;
}
