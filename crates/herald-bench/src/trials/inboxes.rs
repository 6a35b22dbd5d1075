//! The same users with empty and with full inboxes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use herald_loadgen::measure::{Load as Pace, Plan as Sending, Run, Swarm};
use tokio::time::sleep;

use super::{Out, loads, swarm};
use crate::{
    record::Load,
    systems::{Clients, Running},
};

pub(super) const IN_FLIGHT: u32 = 32;

/// What an inbox keeps by default; from then on each notice takes an older one's place.
const INBOX: u64 = 1000;

/// How long filling may take.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) async fn run(out: &mut Out<'_>, users: u32) -> anyhow::Result<()> {
    let running = out.stage.system.start(Clients::ByTheirWord).await?;
    let mut swarm = swarm(&running, 100);
    swarm.grow(users).await.with_context(|| running.logs())?;
    let empty = loads::one(&running, &swarm, out.sizes, Load::EmptyInboxes(users)).await;
    out.push(empty);
    fill(&running, &swarm, u64::from(users) * INBOX).await?;
    let full = loads::one(&running, &swarm, out.sizes, Load::FullInboxes(users)).await;
    out.push(full);
    Ok(())
}

/// Sends so many notices, to one user after the other.
async fn fill(running: &Running, swarm: &Swarm, notices: u64) -> anyhow::Result<()> {
    let batches = Sending { batch: 100, ..Sending::new(Pace::Closed { in_flight: 4 }) };
    let run = Run::start(swarm, running.producer.clone(), batches);
    let deadline = Instant::now() + PATIENCE;
    while run.accepted() < notices {
        ensure!(Instant::now() < deadline, "filling the inboxes takes more than {PATIENCE:?}");
        sleep(Duration::from_millis(20)).await;
    }
    let figures = run.settle(Duration::from_secs(5)).await;
    ensure!(figures.failed == 0, "{} notices were not accepted", figures.failed);
    Ok(())
}
