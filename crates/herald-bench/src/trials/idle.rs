//! Connections that only wait.

use anyhow::Context as _;
use herald_loadgen::procfs;
use tokio::time::sleep;

use super::{Out, REST, swarm};
use crate::{
    record::{Idle, What},
    systems::Clients,
};

/// What a first connection makes a server load is not the price of a connection.
pub(super) const FIRST: u32 = 20;

pub(super) async fn run(out: &mut Out<'_>, numbers: &[u32]) -> anyhow::Result<()> {
    let running = out.stage.system.start(Clients::Signed).await?;
    let mut swarm = swarm(&running, 100);
    swarm.grow(FIRST).await.with_context(|| running.logs())?;
    sleep(REST).await;
    let (empty, kernel) = (running.resident(), procfs::kernel_bytes().unwrap_or_default());
    for &connections in numbers {
        out.room(FIRST + connections)?;
        let before: f64 = running.cpu().values().sum();
        let opened = swarm.grow(FIRST + connections).await.with_context(|| running.logs())?;
        let cpu = running.cpu().values().sum::<f64>() - before;
        sleep(REST).await;
        let mut resident = running.resident();
        for (role, bytes) in &mut resident {
            *bytes -= empty.get(role).copied().unwrap_or_default();
        }
        let kernel_now = procfs::kernel_bytes().unwrap_or_default();
        out.push(What::Idle(Idle {
            connections,
            resident,
            kernel: kernel_now as f64 - kernel as f64,
            per_second: opened.per_second(),
            cpu_per_connect: cpu / f64::from(opened.connections.max(1)),
        }));
    }
    Ok(())
}
