//! The admin port over HTTP.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use herald_service::{AdminPort, Exit, Probe, Process, Readiness, bind, healthcheck};

const DEADLINE: Duration = Duration::from_secs(5);

async fn serve(readiness: &Readiness) -> AdminPort {
    let bound = bind("HERALD_TEST_ADMIN_LISTEN", ([127, 0, 0, 1], 0).into()).await.unwrap();
    let readiness = readiness.clone();
    AdminPort::serve(bound, &Process { readiness, ..Process::detached().unwrap() })
}

/// Head and body of a plain GET.
async fn get(address: SocketAddr, path: &'static str) -> (String, String) {
    let request = move || {
        let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: herald\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::task::spawn_blocking(request).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

async fn probe(address: SocketAddr, probe: Probe) -> Exit {
    tokio::task::spawn_blocking(move || healthcheck(address, probe, DEADLINE)).await.unwrap()
}

#[tokio::test]
async fn live_is_fine_while_ready_says_why_not() {
    let readiness = Readiness::new();
    let backplane = readiness.condition("backplane");
    let admin = serve(&readiness).await;
    backplane.set_not_ready("connection refused");

    let (head, _) = get(admin.address(), "/live").await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");

    let (head, body) = get(admin.address(), "/ready").await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(
        body,
        r#"{"ready":false,"reasons":[{"check":"backplane","reason":"connection refused"}]}"#
    );

    backplane.set_ready();
    let (head, body) = get(admin.address(), "/ready").await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert_eq!(body, r#"{"ready":true,"reasons":[]}"#);
}

#[tokio::test]
async fn figures_are_served_in_prometheus_format() {
    let admin = serve(&Readiness::new()).await;
    metrics::counter!("herald_it_sent_total", "gateway" => "one").increment(3);
    let (head, body) = get(admin.address(), "/metrics").await;
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("herald_it_sent_total{gateway=\"one\"} 3"), "{body}");
}

#[tokio::test]
async fn two_admin_ports_in_one_process_have_their_own_readiness() {
    let (first, second) = (Readiness::new(), Readiness::new());
    first.condition("lease").set_ready();
    second.condition("lease").set_not_ready("fenced");
    let (first, second) = (serve(&first).await, serve(&second).await);
    assert!(get(first.address(), "/ready").await.0.starts_with("http/1.1 200 "));
    assert!(get(second.address(), "/ready").await.0.starts_with("http/1.1 503 "));
}

#[tokio::test]
async fn healthcheck_tells_ready_from_alive_and_both_from_gone() {
    let readiness = Readiness::new();
    let condition = readiness.condition("backplane");
    let admin = serve(&readiness).await;
    let address = admin.address();
    assert_eq!(probe(address, Probe::Ready).await, Exit::Unhealthy);
    assert_eq!(probe(address, Probe::Live).await, Exit::Clean);
    condition.set_ready();
    assert_eq!(probe(address, Probe::Ready).await, Exit::Clean);

    admin.stop().await;
    assert_eq!(probe(address, Probe::Live).await, Exit::Unhealthy, "the port is closed");
}

#[tokio::test]
async fn an_idle_keep_alive_connection_does_not_hold_up_stopping() {
    let admin = serve(&Readiness::new()).await;
    let idle = TcpStream::connect(admin.address()).unwrap();
    tokio::time::timeout(DEADLINE, admin.stop()).await.unwrap();
    drop(idle);
}
