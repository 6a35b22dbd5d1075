//! Clients that leave half-way.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use herald_e2e::{Gateway, Sandbox, eventually};
use herald_loadgen::{Outgoing, Session, http::HttpClient};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;

use crate::{
    probe::{expect_notice, figure, keys, resident},
    support::{PATIENCE, presence},
    wire::{Leave, Wire, frame},
};

const ABORTS: usize = 10_000;

/// Memory is looked at after each of so many parts.
const PARTS: usize = 4;
const CLIENTS: usize = 48;
const USERS: usize = 500;

/// How far memory may grow from the first part to the last: a fifth of what one session costs,
/// for each abort.
const GROWTH: u64 = 32 << 20;

const POLLING: &str = "/notice/?EIO=4&transport=polling";

/// How far a client comes.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Connected, and nothing said.
    Silent,
    /// Half a request.
    HalfARequest,
    /// The WebSocket asked for, the answer not awaited.
    Asked,
    /// The answer read.
    Open,
    /// CONNECT sent, together with the request for the WebSocket.
    AllAtOnce,
    /// CONNECT sent.
    Connecting,
    /// CONNECT sent for both namespaces.
    ConnectingTwice,
    /// The answer to CONNECT read.
    Connected,
    /// A polling session opened.
    Polling,
    /// CONNECT posted to it.
    PollingConnecting,
}

impl Stage {
    const ALL: [Self; 10] = [
        Self::Silent,
        Self::HalfARequest,
        Self::Asked,
        Self::Open,
        Self::AllAtOnce,
        Self::Connecting,
        Self::ConnectingTwice,
        Self::Connected,
        Self::Polling,
        Self::PollingConnecting,
    ];
}

async fn abort(
    gateway: SocketAddr,
    user: &str,
    stage: Stage,
    how: Leave,
    source: [u8; 2],
) -> io::Result<()> {
    let connect = format!(r#"40/notice,{{"token":"{user}"}}"#);
    if let Stage::Polling | Stage::PollingConnecting = stage {
        let mut http = HttpClient::new(gateway).source_ip([127, 0, source[0], source[1]].into());
        let open = http.get(POLLING).await.map_err(io::Error::other)?;
        let body = std::str::from_utf8(&open.body()[1..]).map_err(io::Error::other)?;
        let open: serde_json::Value = serde_json::from_str(body)?;
        if let Stage::PollingConnecting = stage {
            let target = format!("{POLLING}&sid={}", open["sid"].as_str().unwrap_or_default());
            http.request(http::Method::POST, &target, &[], connect.into())
                .await
                .map_err(io::Error::other)?;
        }
        return Ok(());
    }
    let mut wire = Wire::open(gateway, Some(source), None).await?;
    match stage {
        Stage::Silent | Stage::Polling | Stage::PollingConnecting => {}
        Stage::HalfARequest => wire.raw(b"GET /notice/?EIO=4&transport=websocket HT").await?,
        Stage::Asked => wire.request_upgrade("").await?,
        Stage::AllAtOnce => {
            wire.request_upgrade("").await?;
            wire.raw(&frame(&connect)).await?;
        }
        Stage::Open | Stage::Connecting | Stage::ConnectingTwice | Stage::Connected => {
            wire.request_upgrade("").await?;
            wire.head().await?;
            wire.text().await?;
            match stage {
                Stage::Connecting => wire.send(&connect).await?,
                Stage::ConnectingTwice => {
                    wire.send(&connect).await?;
                    wire.send(&connect.replace("/notice,", "")).await?;
                }
                Stage::Connected => {
                    wire.send(&connect).await?;
                    while !wire.packet().await?.starts_with("40/notice,") {}
                }
                _ => {}
            }
        }
    }
    wire.leave(how).await
}

/// So many clients that leave, several at a time, at random stages.
async fn aborts(gateway: SocketAddr, count: usize, seed: u64) {
    let left = Arc::new(AtomicUsize::new(count));
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let left = Arc::clone(&left);
        let mut random = StdRng::seed_from_u64(seed ^ u64::try_from(client).unwrap());
        clients.spawn(async move {
            let take = |left: usize| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                let stage = Stage::ALL[random.random_range(0..Stage::ALL.len())];
                let how = if random.random() { Leave::Fin } else { Leave::Reset };
                let user = format!("gone-{}", random.random_range(0..USERS));
                let source = [1, random.random_range(1..=50)];
                let done = abort(gateway, &user, stage, how, source).await;
                done.unwrap_or_else(|error| panic!("{stage:?}: {error}"));
            }
        });
    }
    clients.join_all().await;
}

async fn nothing_left(gateway: &Gateway, sessions: f64, connections: f64) -> anyhow::Result<()> {
    for (name, expected) in [
        ("herald_gateway_sessions", sessions),
        ("herald_gateway_unregistering_sessions", 0.0),
        ("herald_gateway_connections", connections),
    ] {
        let found = figure(gateway, name, "").await?;
        anyhow::ensure!(found <= expected, "{name} is {found}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_aborted_connects_leave_no_session_and_no_memory() {
    let builder = Sandbox::builder()
        .env("HERALD_PING_INTERVAL", "2s")
        .env("HERALD_PING_TIMEOUT", "2s")
        .env("HERALD_CONNECT_TIMEOUT", "2s");
    let mut sandbox = builder.gateways(1).notifier().start().await.unwrap();
    let mut bystander = Session::connect(sandbox.gateways[0].session("alice")).await.unwrap();
    bystander.ready(PATIENCE).await.unwrap();
    let address = sandbox.gateways[0].address();
    let seed: u64 = rand::random();
    println!("seed {seed:#x}");

    let mut memory = vec![resident(&mut sandbox.gateways[0])];
    let begin = Instant::now();
    for part in 0..PARTS {
        aborts(address, ABORTS / PARTS, seed.wrapping_add(u64::try_from(part).unwrap())).await;
        memory.push(resident(&mut sandbox.gateways[0]));
    }
    let aborted = begin.elapsed();
    let begin = Instant::now();
    // Up to a sweep, which finds those whose end nobody told, and half a request's time.
    eventually("nothing is left", Duration::from_secs(60), async || {
        nothing_left(&sandbox.gateways[0], 1.0, 1.0).await
    })
    .await;
    memory.push(resident(&mut sandbox.gateways[0]));
    let memory: Vec<_> = memory.into_iter().map(|bytes| bytes >> 10).collect();
    println!(
        "{ABORTS} aborts in {aborted:?}, forgotten {:?} later, resident kB at the start, after \
         each part and at the end: {memory:?}",
        begin.elapsed()
    );
    for reason in ["early", "lost", "transport_close", "transport_error", "heartbeat"] {
        let name = "herald_gateway_disconnects_total";
        let ended = figure(&sandbox.gateways[0], name, &format!("\"{reason}\"")).await.unwrap();
        println!("ended as {reason}: {ended}");
    }
    let grown = memory[PARTS + 1].saturating_sub(memory[1]) << 10;
    assert!(grown < GROWTH, "memory grew by {grown} bytes");

    let users: Vec<_> = (0..USERS).map(|user| format!("gone-{user}")).collect();
    let present = presence(sandbox.notifier(), &users).await;
    assert_eq!(present.len(), USERS);
    assert!(present.iter().all(|user| !user.online), "{present:?}");
    // The bystander's: who is registered, and what a reaper would look for.
    let pattern = format!("{}:*sessions", sandbox.key_prefix());
    let left = keys(&sandbox.redis, &pattern).await.unwrap();
    assert_eq!(left.len(), 2, "{left:?}");
    for key in left {
        assert_eq!(sandbox.redis.cli(&["hlen", &key]).await.unwrap(), "1", "{key}");
    }
    sandbox.notifier().grpc().send(&Outgoing::new("alice", "1")).await.unwrap();
    expect_notice(&mut bystander, "1").await;
}

/// Handshakes of each kind that nothing follows, until the gateway has forgotten them.
async fn flood(gateway: &Gateway, count: usize) {
    let address = gateway.address();
    let mut polling = HttpClient::new(address);
    let (mut sockets, mut sids) = (Vec::new(), Vec::new());
    for _ in 0..count {
        sockets.push(Wire::websocket(address).await.unwrap());
        let open = polling.get(POLLING).await.unwrap();
        let open: serde_json::Value = serde_json::from_slice(&open.body()[1..]).unwrap();
        sids.push(open["sid"].as_str().unwrap().to_owned());
    }
    for mut socket in sockets {
        let said = socket.rest().await;
        // Engine.IO's own word for the end.
        assert!(said.is_empty() || said == ["1"], "{said:?}");
    }
    for sid in &sids {
        let target = format!("{POLLING}&sid={sid}");
        eventually("the polling session is forgotten", PATIENCE, async || {
            let answer = polling.get(&target).await.map_err(|error| error.to_string())?;
            if answer.status() == 400 { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }
    eventually("nothing is left", PATIENCE, async || nothing_left(gateway, 0.0, 1.0).await).await;
}

#[tokio::test]
async fn handshakes_that_nothing_follows_are_cleaned_up_after_the_connect_timeout() {
    const FLOOD: usize = 1_000;
    let builder = Sandbox::builder().env("HERALD_CONNECT_TIMEOUT", "1s");
    let mut sandbox = builder.gateways(1).notifier().start().await.unwrap();
    let mut memory = vec![resident(&mut sandbox.gateways[0])];
    for _ in 0..3 {
        flood(&sandbox.gateways[0], FLOOD).await;
        memory.push(resident(&mut sandbox.gateways[0]));
    }
    // What is freed is used again rather than given back: half of what the last two would hold.
    let grown = memory[3].saturating_sub(memory[1]);
    let memory: Vec<_> = memory.into_iter().map(|bytes| bytes >> 10).collect();
    println!("{FLOOD} handshakes of each kind, three times: resident kB {memory:?}");
    assert!(grown < 24 << 20, "memory grew by {grown} bytes");
}
