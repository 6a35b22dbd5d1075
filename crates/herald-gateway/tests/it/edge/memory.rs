//! What an idle session costs. Not asserted: allocators and kernels differ.

use crate::support::{eventually, gateway::TestGateway, websocket::WebSocket};

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1))
        .and_then(|kib| kib.parse::<usize>().ok())
        .unwrap_or_default()
        * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement; prints"]
async fn an_idle_websocket_session_costs() {
    let mut gateway = TestGateway::start().await;
    let _warm = WebSocket::connect(gateway.address()).await;
    gateway.connected().await;
    let before = resident_bytes();
    let mut clients = Vec::new();
    const CLIENTS: usize = 2000;
    for _ in 0..CLIENTS {
        clients.push(WebSocket::connect(gateway.address()).await);
        gateway.connected().await;
    }
    eventually("all", || gateway.edge.connections() > CLIENTS).await;
    let each = (resident_bytes() - before) / CLIENTS;
    println!("{each} bytes a session, client in the same process included");
}
