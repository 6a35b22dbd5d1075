//! API keys that change under several notifiers that run.

use std::{fs, path::Path, process::Command};

use herald_e2e::{Notifier, NotifierOptions, Sandbox, Spawn, eventually};
use herald_loadgen::http::HttpClient;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::PATIENCE;

/// A key as `herald api-key` makes it, and its entry in the file.
pub(crate) struct Made {
    pub(crate) key: String,
    entry: Value,
}

pub(crate) fn make(name: &str, rpc: &str) -> Made {
    let herald = Spawn::ours("herald").unwrap().program;
    let made = Command::new(herald).args(["api-key", name, "--rpc", rpc]).output().unwrap();
    let said = String::from_utf8(made.stdout).unwrap();
    let value = |name| said.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
    Made { key: value("key").to_owned(), entry: serde_json::from_str(value("entry")).unwrap() }
}

/// The file that has these.
pub(crate) fn file(keys: &[&Made]) -> String {
    let entries: Vec<_> = keys.iter().map(|made| &made.entry).collect();
    json!({ "keys": entries }).to_string()
}

/// Puts another file in the place of this one, as a secret that is mounted changes.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

/// How a notifier answers to SendNotice with this key.
async fn answer(notifier: &Notifier, key: &str) -> StatusCode {
    let value = format!("Bearer {key}");
    let headers = [("authorization", value.as_str()), ("content-type", "application/json")];
    let body = json!({"userId": "alice", "data": 1}).to_string();
    let mut http = HttpClient::new(notifier.http_address());
    http.request(Method::POST, "/v1/notices", &headers, body.into()).await.unwrap().status()
}

/// Each notifier comes to answer so.
async fn come_to_answer(sandbox: &Sandbox, expected: &[(&Made, StatusCode)]) {
    for notifier in &sandbox.notifiers {
        for (made, status) in expected {
            eventually(&format!("answers {status}"), PATIENCE, async || {
                let found = answer(notifier, &made.key).await;
                if found == *status { Ok(()) } else { Err(found) }
            })
            .await;
        }
    }
}

#[tokio::test]
async fn keys_come_change_and_go_on_all_notifiers_while_they_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.json");
    let (old, new, reader) = (make("orders", "*"), make("orders", "*"), make("r", "ListNotices"));
    fs::write(&path, file(&[&old])).unwrap();
    let notifier = || NotifierOptions {
        env: vec![("HERALD_API_KEYS_FILE".into(), path.to_str().unwrap().into())],
    };
    let builder = Sandbox::builder().notifier_with(notifier()).notifier_with(notifier());
    let sandbox = builder.start().await.unwrap();
    for made in [&old, &new, &reader] {
        sandbox.secret(&made.key);
    }
    let (ok, unknown) = (StatusCode::OK, StatusCode::UNAUTHORIZED);
    come_to_answer(&sandbox, &[(&old, ok), (&new, unknown), (&reader, unknown)]).await;

    // Both hashes for a while, in a file that takes the other one's place; then the new one alone, in
    // the same file.
    let mut both = Made { key: String::new(), entry: old.entry.clone() };
    both.entry["hashes"] = json!([old.entry["hashes"][0], new.entry["hashes"][0]]);
    replace(&path, &file(&[&both, &reader]));
    let forbidden = StatusCode::FORBIDDEN;
    come_to_answer(&sandbox, &[(&new, ok), (&old, ok), (&reader, forbidden)]).await;
    fs::write(&path, file(&[&new])).unwrap();
    come_to_answer(&sandbox, &[(&old, unknown), (&reader, unknown), (&new, ok)]).await;

    // Half a file, another one's file, none: what was right stays, and the log says why.
    for (nth, wrong) in [Some(r#"{"keys": [{"name": "or"#), Some("[]"), None].iter().enumerate() {
        match wrong {
            Some(text) => replace(&path, text),
            None => fs::remove_file(&path).unwrap(),
        }
        for notifier in &sandbox.notifiers {
            eventually("it says what is wrong", PATIENCE, async || {
                let said = notifier.log().matches("the API keys stay as they are").count();
                if said > nth { Ok(()) } else { Err(notifier.log()) }
            })
            .await;
            assert_eq!(answer(notifier, &new.key).await, ok);
            assert_eq!(answer(notifier, &old.key).await, unknown);
        }
    }
    replace(&path, &file(&[&reader]));
    come_to_answer(&sandbox, &[(&new, unknown), (&reader, forbidden)]).await;
}
