//! `herald bench` against a deployment that asks everybody who they are.

use std::{collections::HashMap, fs};

use herald_e2e::{GatewayOptions, NotifierOptions, Sandbox, Spawn};
use serde_json::Value;

use crate::{access::api_keys, support::PATIENCE};

/// A case: its name, variables, arguments, exit code, and what has to be said.
type Wrong<'a> = (&'a str, Vec<(&'a str, &'a str)>, &'a [&'a str], i32, &'a str);

const SECRET: &str = "e2e-shared-secret-of-bench-0123456789abcdef";

/// Its exit code, and what it said.
async fn herald(
    sandbox: &Sandbox,
    name: &str,
    env: &[(&str, &str)],
    more: &[&str],
) -> (i32, String) {
    let gateway = sandbox.gateways[0].address().to_string();
    let notifier = format!("http://{}", sandbox.notifier().grpc_address());
    let common = ["--clients", "20", "--warm-up", "0.1", "--duration", "0.5", "--rate", "200"];
    let gateway: &[&str] = if more.contains(&"--gateway") { &[] } else { &["--gateway", &gateway] };
    let mut spawn = Spawn::ours("herald")
        .unwrap()
        .args(["bench", "--timeout", "5"])
        .args(common)
        .args(gateway)
        .args(more)
        .env("HERALD_NOTIFIER_URL", notifier);
    for (name, value) in env {
        spawn = spawn.env(*name, *value);
    }
    spawn.name = format!("bench-{name}");
    let mut process = sandbox.spawn(&spawn).unwrap();
    let status = process.wait(PATIENCE).await.unwrap();
    (status.code().unwrap(), process.log())
}

#[tokio::test]
async fn it_measures_who_is_let_in_and_says_why_others_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let (sends, reads) = (api_keys::make("bench", "*"), api_keys::make("reader", "ListNotices"));
    fs::write(&path, api_keys::file(&[&sends, &reads])).unwrap();
    let env = vec![
        ("HERALD_CLIENT_AUTH".to_owned(), "jwt".to_owned()),
        ("HERALD_JWT_SECRET".to_owned(), SECRET.to_owned()),
        ("HERALD_JWT_AUDIENCE".to_owned(), "notices".to_owned()),
    ];
    let keys = vec![("HERALD_API_KEYS_FILE".to_owned(), path.to_str().unwrap().to_owned())];
    let sandbox = Sandbox::builder()
        .gateway(GatewayOptions { env, ..GatewayOptions::default() })
        .notifier_with(NotifierOptions { env: keys })
        .start()
        .await
        .unwrap();
    for secret in [SECRET, &sends.key, &reads.key] {
        sandbox.secret(secret);
    }
    let all = [
        ("HERALD_API_KEY", sends.key.as_str()),
        ("HERALD_JWT_SECRET", SECRET),
        ("HERALD_JWT_AUDIENCE", "notices"),
    ];

    let (code, said) = herald(&sandbox, "json", &all, &["--json"]).await;
    assert_eq!(code, 0, "{said}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [connected, result] = &lines[..] else { panic!("{said}") };
    assert_eq!(connected["connected"]["connections"], 20);
    assert!(result["result"]["arrived"].as_u64().unwrap() > 50, "{said}");
    assert_eq!((&result["result"]["missing"], &result["result"]["failed"]), (&0.into(), &0.into()));

    let (code, said) = herald(&sandbox, "page", &all, &["--volatile"]).await;
    assert_eq!(code, 0, "{said}");
    for words in ["connected  20 clients", "delivered ", "p99.9", "0 not accepted, 0 missing"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }

    // Whatever is wrong is said before anything is measured.
    let with = |name: &'static str, value: &'static str| {
        let mut env: HashMap<&str, &str> = all.into();
        env.insert(name, value);
        env.into_iter().collect::<Vec<_>>()
    };
    let reader = [all[1], all[2], ("HERALD_API_KEY", reads.key.as_str())];
    let nobody = "127.0.0.1:1";
    let wrong: [Wrong<'_>; 6] = [
        ("no-key", all[1..].to_vec(), &[], 77, "takes no notices"),
        ("no-right", reader.to_vec(), &[], 77, "SendNotice"),
        ("no-secret", all[..1].to_vec(), &[], 77, "--jwt-secret-file"),
        ("audience", with("HERALD_JWT_AUDIENCE", "others"), &[], 77, "token_audience"),
        ("no-gateway", all.to_vec(), &["--gateway", nobody], 69, "cannot connect to 127.0.0.1:1"),
        ("path", all.to_vec(), &["--path", "/elsewhere"], 69, "HERALD_SOCKET_PATH"),
    ];
    for (name, env, more, expected, words) in wrong {
        let (code, said) = herald(&sandbox, name, &env, more).await;
        assert_eq!(code, expected, "{name}: {said}");
        assert!(said.contains(words), "{name}: {words:?} is not in {said}");
        assert!(!said.contains("delivered"), "{name}: {said}");
    }
    let none = with("HERALD_NOTIFIER_URL", "http://127.0.0.1:1");
    let (code, said) = herald(&sandbox, "no-notifier", &none, &[]).await;
    assert_eq!(
        (code, said.contains("no notifier answers at http://127.0.0.1:1")),
        (69, true),
        "{said}"
    );
}
