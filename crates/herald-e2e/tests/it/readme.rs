//! The README's snippets, run as they stand there with nothing but the addresses changed.
//!
//! Not run: the Go program, which wants a compiler that nothing else here needs, and `grpcurl`,
//! which Debian does not have. Both make calls that others make here.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use herald_e2e::{Addresses, Browser, Dev, Relay, Sandbox, Spawn, eventually};
use herald_proto::api::{
    BatchGetPresenceRequest, notice_service_client::NoticeServiceClient as Client,
};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The one block of this language that contains `mark`.
fn snippet(language: &str, mark: &str) -> String {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    let found: Vec<_> = readme
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .filter(|block| block.contains(mark))
        .collect();
    let [block] = found[..] else {
        panic!("{} blocks of {language} in README.md contain {mark:?}", found.len());
    };
    block.to_owned()
}

/// With the addresses that were printed in the place of the usual ones.
fn at(snippet: &str, addresses: Addresses) -> String {
    let places = [
        ("127.0.0.1:8000", addresses.page),
        ("127.0.0.1:8013", addresses.gateway),
        ("127.0.0.1:8080", addresses.http),
        ("127.0.0.1:50051", addresses.grpc),
    ];
    assert!(snippet.contains("127.0.0.1:"), "no address in:\n{snippet}");
    // Cut at each address, so that one is not replaced within another that was put in.
    let mut parts = snippet.split("127.0.0.1:");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let usual = format!("127.0.0.1:{}", &part[..digits]);
        let place = places.iter().find(|(address, _)| *address == usual);
        let (_, address) = place.unwrap_or_else(|| panic!("{usual} is no default address"));
        text += &address.to_string();
        text += &part[digits..];
    }
    text
}

/// Runs a program to its end and returns what it printed.
async fn run(sandbox: &Sandbox, name: &str, program: &str, flag: &str, code: &str) -> String {
    let packages = root().join("crates/herald-e2e/js/node_modules").display().to_string();
    let spawn = Spawn::new(name, program).args([flag, code]).env("NODE_PATH", packages);
    let mut process = sandbox.spawn(&Spawn { directory: Some(root()), ..spawn }).unwrap();
    let status = process.wait(PATIENCE).await.unwrap();
    assert!(status.success(), "{name} ended with {status}: {}", process.log());
    process.log()
}

/// Waits until presence shows so many sessions of alice.
async fn alice_has(sessions: usize, grpc: SocketAddr) {
    let mut client = Client::connect(format!("http://{grpc}")).await.unwrap();
    eventually(&format!("alice has {sessions} sessions"), PATIENCE, async || {
        let request = BatchGetPresenceRequest { user_ids: vec!["alice".to_owned()] };
        let answer = client.batch_get_presence(request).await.map_err(|error| error.to_string())?;
        let found = answer.into_inner().users[0].sessions.len();
        if found == sessions { Ok(()) } else { Err(format!("she has {found}")) }
    })
    .await;
}

/// The next line of the console that contains all of these.
async fn line(browser: &mut Browser, parts: &[&str]) -> String {
    let mut passed = Vec::new();
    loop {
        let line = browser
            .console(PATIENCE)
            .await
            .unwrap_or_else(|error| panic!("no line with {parts:?} after {passed:#?}: {error:#}"));
        if parts.iter().all(|part| line.contains(part)) {
            return line;
        }
        passed.push(line);
    }
}

/// What a page with both snippets says of one notice.
async fn arrives_twice(browser: &mut Browser, id: &str) {
    let first = line(browser, &["Hello, Alice"]).await;
    let second = line(browser, &["Hello, Alice"]).await;
    let shown = r#"show {"text":"Hello, Alice"}"#;
    let (logged, shown_by_the_other) =
        if first == shown { (second, first) } else { (first, second) };
    assert_eq!(shown_by_the_other, shown);
    for part in [id, "cursor", "sentAt", "replayed: false"] {
        assert!(logged.contains(part), "{part} is not in: {logged}");
    }
}

#[tokio::test]
async fn what_the_readme_says_works_as_it_stands_there() {
    let mut sandbox = Sandbox::builder().prepare().unwrap();
    let dev = Dev::start(&sandbox).await.unwrap();
    let addresses = dev.addresses();
    let relay = Relay::start(addresses.gateway).await.unwrap();
    let through_relay = Addresses { gateway: relay.address(), ..addresses };

    // A page of another origin, with the two lines, and with the snippet that keeps the cursor.
    let two_lines = at(&snippet("html", "socket.io.min.js"), addresses);
    assert_eq!(two_lines.trim().lines().count(), 2, "{two_lines}");
    let with_cursor = at(&snippet("js", "herald:gap"), through_relay);
    let html = format!(
        "{two_lines}
         <script>
         const show = (payload) => console.log('show ' + JSON.stringify(payload))
         const reload = () => console.log('reload')
         {with_cursor}
         </script>"
    );
    let mut browser = Browser::show(&mut sandbox, &html).await.unwrap();
    alice_has(2, addresses.grpc).await;

    let curl = at(&snippet("sh", r#"{"userId": "alice", "data": {"text": "Hello"#), addresses);
    let answer = run(&sandbox, "curl", "bash", "-c", &curl).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    arrives_twice(&mut browser, answer["noticeId"].as_str().unwrap()).await;
    answers_as_described(&answer);

    let node = at(&snippet("js", "@grpc/grpc-js"), addresses);
    let answer = run(&sandbox, "node", "node", "-e", &node).await;
    let id = answer.split("noticeId: '").nth(1).unwrap_or_else(|| panic!("{answer}"));
    arrives_twice(&mut browser, id.split('\'').next().unwrap()).await;

    let python = at(&snippet("python", "urllib"), addresses);
    let answer = run(&sandbox, "python", "python3", "-c", &python).await;
    // It prints a dictionary of Python's.
    let id = answer.split("'noticeId': '").nth(1).unwrap_or_else(|| panic!("{answer}"));
    arrives_twice(&mut browser, id.split('\'').next().unwrap()).await;

    let wait = at(&snippet("sh", "waitFor"), addresses);
    let answer = run(&sandbox, "wait", "bash", "-c", &wait).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["waitSatisfied"], &answer["outcome"]),
        (&json!(true), &json!("OUTCOME_ACKED"))
    );
    line(&mut browser, &[r#"show {"text":"Are you there, Alice?"}"#]).await;

    // The snippet with the cursor gets what it missed, once.
    relay.cut();
    eventually("the page notices", PATIENCE, async || {
        let connected = browser.evaluate("socket.connected").await?;
        if connected == false { Ok(()) } else { Err(anyhow::anyhow!("connected: {connected}")) }
    })
    .await;
    run(&sandbox, "curl-2", "bash", "-c", &curl).await;
    line(&mut browser, &["Hello, Alice", "replayed: false"]).await;
    relay.mend();
    line(&mut browser, &[r#"show {"text":"Hello, Alice"}"#]).await;

    // And is told when it cannot go on: nothing was shown between, so nothing came twice.
    browser.evaluate("cursor = 'of another life'; socket.io.engine.close(), null").await.unwrap();
    loop {
        let said = browser.console(PATIENCE).await.unwrap();
        assert!(!said.contains("Hello, Alice"), "shown before the gap was told: {said}");
        if said == "reload" {
            break;
        }
    }
}

/// The README shows how an answer begins, with … for what it leaves out.
fn answers_as_described(answer: &Value) {
    let shown = snippet("json", "noticeId").replace(", …", "");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(answer["outcome"], shown["outcome"], "{answer}");
    let shown = shown["sessions"][0].as_object().unwrap();
    let sessions = answer["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{answer}");
    assert!(
        sessions
            .iter()
            .any(|session| shown.iter().all(|(name, value)| session.get(name) == Some(value))),
        "none of the sessions is as the README's: {answer}"
    );
}
