//! The binary.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::harness::in_time;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_herald-notifier"));
    command.args(arguments).env_clear().kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

const LOOPBACK: [&str; 8] = [
    "--backplane",
    "memory:",
    "--notifier-grpc-listen",
    "127.0.0.1:0",
    "--notifier-http-listen",
    "127.0.0.1:0",
    "--notifier-admin-listen",
    "127.0.0.1:0",
];

#[tokio::test]
async fn without_authentication_it_starts_on_loopback_only() {
    let output = in_time(program(&["--backplane", "memory:"]).output()).await.unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("HERALD_ALLOW_INSECURE=true"), "{text}");
    assert!(text.contains("HERALD_NOTIFIER_GRPC_LISTEN=127.0.0.1:50051"), "{text}");

    let allowed = ["--backplane", "memory:", "--allow-insecure", "--check-config"];
    let output = in_time(program(&allowed).output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn every_fault_of_the_configuration_is_listed_at_once() {
    let bad = ["--payload-bytes", "many", "--key-prefix", "{", "--notifier-max-calls", "0"];
    let output = in_time(program(&bad).output()).await.unwrap();
    assert_eq!(output.status.code(), Some(64));
    let text = String::from_utf8(output.stderr).unwrap();
    for name in [
        "HERALD_BACKPLANE",
        "HERALD_PAYLOAD_BYTES",
        "HERALD_KEY_PREFIX",
        "HERALD_NOTIFIER_MAX_CALLS",
    ] {
        assert!(text.contains(name), "{name} is missing: {text}");
    }
}

/// The addresses that a process logs, by option.
async fn addresses(child: &mut Child) -> Vec<(String, String)> {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut found = Vec::new();
    while found.len() < 3 {
        let line = in_time(lines.next_line()).await.unwrap().expect("it listens");
        let word = |name: &str| {
            let (_, rest) = line.split_once(name)?;
            Some(rest.split([' ', '"', ',']).find(|word| !word.is_empty())?.to_owned())
        };
        if let (true, Some(option), Some(address)) =
            (line.contains("listening"), word("option="), word("address="))
        {
            found.push((option, address));
        }
    }
    // Whoever writes to a closed pipe fails; the process must not.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    found
}

#[tokio::test]
async fn it_logs_its_addresses_answers_healthcheck_and_ends_cleanly_on_sigterm() {
    let mut child = program(&LOOPBACK).spawn().unwrap();
    let addresses = addresses(&mut child).await;
    let admin = addresses.iter().find(|(option, _)| option.contains("ADMIN")).unwrap().1.clone();
    for option in ["GRPC", "HTTP"] {
        assert!(addresses.iter().any(|(name, _)| name.contains(option)), "{addresses:?}");
    }
    in_time(async {
        loop {
            let check = ["healthcheck", "--notifier-admin-listen", &admin];
            let output = program(&check).output().await.unwrap();
            if output.status.success() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let pid = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
    assert!(sent.success());
    assert_eq!(in_time(child.wait()).await.unwrap().code(), Some(0));
    let check = ["healthcheck", "--live", "--notifier-admin-listen", &admin];
    assert_eq!(program(&check).output().await.unwrap().status.code(), Some(1));
}
