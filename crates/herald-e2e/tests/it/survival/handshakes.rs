//! How fast gateways let clients in.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use herald_e2e::Sandbox;
use herald_loadgen::http::get_once;
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::support::{PATIENCE, figure};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// Watches all gateways of a sandbox, those that are started anew included.
pub(super) struct Handshakes {
    end: watch::Sender<bool>,
    task: JoinHandle<Vec<Looked>>,
}

/// What one gateway had let in, and between when and when it was asked.
struct Looked {
    gateway: SocketAddr,
    before: Instant,
    after: Instant,
    handshakes: f64,
}

impl Handshakes {
    pub(super) fn watch(sandbox: &Sandbox) -> Self {
        let gateways: Vec<_> =
            sandbox.gateways.iter().map(|gateway| gateway.admin_address()).collect();
        let (end, mut over) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut looked = Vec::new();
            while timeout(LOOK, over.changed()).await.is_err() {
                for gateway in &gateways {
                    looked.extend(look(*gateway).await);
                }
            }
            looked
        });
        Self { end, task }
    }

    /// Ends it, having found that no gateway let in more than `rate` within a second: the fastest
    /// that was seen over a second or more, and how many there were in all.
    pub(super) async fn stop(self, rate: u32) -> (f64, f64) {
        self.end.send_replace(true);
        let looked = self.task.await.unwrap();
        let (mut fastest, mut all) = (0_f64, 0.0);
        for (nth, then) in looked.iter().enumerate() {
            let later = looked[nth + 1..].iter().filter(|now| now.gateway == then.gateway);
            // Up to its next start, with which it counts anew.
            let later = later.take_while(|now| now.handshakes >= then.handshakes);
            for (further, now) in later.enumerate() {
                let count = now.handshakes - then.handshakes;
                let most = f64::from(rate) * (now.after - then.before).as_secs_f64().max(1.0);
                assert!(count <= most, "{count} handshakes where at most {most:.1} are allowed");
                if further == 0 {
                    all += count;
                }
                if now.before - then.after >= Duration::from_secs(1) {
                    fastest = fastest.max(count / (now.before - then.after).as_secs_f64());
                }
            }
        }
        (fastest, all)
    }
}

/// Nothing of a gateway that is not there.
async fn look(gateway: SocketAddr) -> Option<Looked> {
    let before = Instant::now();
    let (_, text) = get_once(gateway, "/metrics", PATIENCE).await.ok()?;
    let handshakes = figure(&text, "herald_gateway_handshakes_total").unwrap_or_default();
    Some(Looked { gateway, before, after: Instant::now(), handshakes })
}
