//! A server that is spoken to over TLS.

use std::{path::Path, process::Command, sync::Arc};

use herald_e2e::{Port, RedisServer, Sandbox, Watchdog, eventually};
use herald_loadgen::{Outgoing, Session};

use crate::{probe::expect_notice, support::PATIENCE};

/// An authority, and a certificate of `localhost` that it signed.
fn certificates(directory: &Path) {
    let script = r#"
set -e
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tests -keyout ca.key -out ca.pem \
    -addext basicConstraints=critical,CA:TRUE
openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr
printf 'subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n' >server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
    -extfile server.ext -out server.pem
"#;
    let made = Command::new("sh").args(["-c", script]).current_dir(directory).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn a_redis_with_a_certificate_is_spoken_to_and_one_of_strangers_is_not() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let (watchdog, tls) = (Arc::new(Watchdog::start().unwrap()), Port::claim().unwrap());
    let server = RedisServer::prepare(directory.path().join("redis"), false, &watchdog).unwrap();
    let mut server = server
        .args(["--tls-port".to_owned(), tls.number().to_string()])
        .args(["--tls-cert-file".to_owned(), file("server.pem")])
        .args(["--tls-key-file".to_owned(), file("server.key")])
        .args(["--tls-ca-cert-file".to_owned(), file("ca.pem")])
        .args(["--tls-auth-clients", "no"]);
    server.start().await.unwrap();

    let url = format!("rediss://localhost:{}/0", tls.number());
    let builder = Sandbox::builder().backplane(&url).env("SSL_CERT_FILE", file("ca.pem"));
    let sandbox = builder.gateways(1).notifier().start().await.unwrap();
    let mut session = Session::connect(sandbox.gateways[0].session("alice")).await.unwrap();
    session.ready(PATIENCE).await.unwrap();
    sandbox.notifier().grpc().send(&Outgoing::new("alice", "1")).await.unwrap();
    expect_notice(&mut session, "1").await;

    let mut strange = Sandbox::builder().backplane(&url).notifier().prepare().unwrap();
    strange.notifiers[0].start_unready().await.unwrap();
    eventually("the authority is unknown", PATIENCE, async || {
        let (_, body) = strange.notifier().admin("/ready").await.map_err(|e| e.to_string())?;
        if body.to_lowercase().contains("unknownissuer") { Ok(()) } else { Err(body) }
    })
    .await;
}
