//! What `/metrics` exports, and what docs/metrics.md says of it.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use herald_e2e::{Documented, GatewayOptions, NotifierOptions, Sandbox, eventually};
use herald_loadgen::http::HttpClient;
use http::{Method, StatusCode};
use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::{
    access::{api_keys, keys::jwk},
    support::PATIENCE,
};

/// What promtool finds wrong with an exposition.
fn lint(exposition: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed by scripts/setup.sh test");
    promtool.stdin.take().unwrap().write_all(exposition.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() { String::new() } else { String::from_utf8_lossy(&said).into() }
}

#[tokio::test]
async fn all_metrics_are_documented_all_documented_ones_are_there_and_prometheus_has_no_complaint()
{
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let jwks = file("jwks.json", json!({"keys": [jwk(Algorithm::ES256, "one")]}).to_string());
    let orders = api_keys::make("orders", "SendNotice");
    let keys = file("keys.json", api_keys::file(&[&orders]));
    let with = |env: &[(&str, String)]| -> Vec<_> {
        env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let gateway = with(&[("HERALD_CLIENT_AUTH", "jwt".to_owned()), ("HERALD_JWKS", jwks)]);
    let notifier = with(&[("HERALD_API_KEYS_FILE", keys)]);
    let sandbox = Sandbox::builder()
        .gateway(GatewayOptions { env: gateway, ..Default::default() })
        .notifier_with(NotifierOptions { env: notifier })
        .start()
        .await
        .unwrap();
    sandbox.secret(&orders.key);
    let (gateway, notifier) = (&sandbox.gateways[0], sandbox.notifier());
    let bearer = format!("Bearer {}", orders.key);
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = json!({"userId": "alice", "data": 1}).to_string();
    let mut client = HttpClient::new(notifier.http_address());
    let answer = client.request(Method::POST, "/v1/notices", &headers, body.into()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);

    let documented = Documented::read().unwrap();
    // The keys are read beside the start.
    eventually("all that is documented is exported", PATIENCE, async || {
        let of_gateway = gateway.admin("/metrics").await?.1;
        let of_notifier = notifier.admin("/metrics").await?.1;
        let mut missing = documented.missing("gateway", &[of_gateway]);
        missing.extend(documented.missing("notifier", &[of_notifier]));
        anyhow::ensure!(missing.is_empty(), "{missing:?}");
        Ok(())
    })
    .await;
    let (_, of_gateway) = gateway.admin("/metrics").await.unwrap();
    let (_, of_notifier) = notifier.admin("/metrics").await.unwrap();
    assert_eq!(documented.undocumented("gateway", &of_gateway), [""; 0]);
    assert_eq!(documented.undocumented("notifier", &of_notifier), [""; 0]);
    assert_eq!((lint(&of_gateway), lint(&of_notifier)), (String::new(), String::new()));
    assert!(!lint(&of_gateway.replace("# HELP herald_ready", "# HELP x")).is_empty());
    let counted = "herald_notifier_caller_calls_total{caller=\"orders\",code=\"OK\"} 1";
    assert!(of_notifier.contains(counted), "{of_notifier}");
}
