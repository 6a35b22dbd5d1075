//! Clients that come and go, and come back all at once: what that costs, and what memory it leaves
//! behind.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use super::{Out, REST, idle::FIRST, swarm};
use crate::{
    record::{Life, What},
    systems::Clients,
};

/// As many as knock at the same time; the next one does when one is in.
const AT_ONCE: u32 = 1000;

/// How long the last of the servers may take to have seen the last of its clients off.
const FAREWELL: Duration = Duration::from_secs(3);

pub(super) async fn run(out: &mut Out<'_>, clients: u32, times: u32) -> anyhow::Result<()> {
    out.room(FIRST + clients)?;
    let running = out.stage.system.start(Clients::Signed).await?;
    let mut first = swarm(&running, FIRST);
    first.grow(FIRST).await.with_context(|| running.logs())?;
    sleep(REST).await;
    let resident = || running.resident().values().sum::<f64>();
    let empty = resident();
    let mut swarm = swarm(&running, AT_ONCE);
    let mut lives = Vec::new();
    for _ in 0..times {
        swarm.grow(clients).await.with_context(|| running.logs())?;
        sleep(REST).await;
        let full = resident() - empty;
        let cpu: f64 = running.cpu().values().sum();
        swarm.cut();
        let opened = swarm.grow(clients).await.with_context(|| running.logs())?;
        let cpu = running.cpu().values().sum::<f64>() - cpu;
        swarm.cut();
        sleep(FAREWELL).await;
        lives.push(Life {
            full,
            left: resident() - empty,
            seconds: opened.seconds,
            cpu_per_return: cpu / f64::from(clients),
        });
    }
    out.push(What::Churn { connections: clients, lives });
    Ok(())
}
