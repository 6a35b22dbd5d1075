//! Everything that sends.

use std::time::Duration;

use anyhow::{Context as _, bail};
use herald_loadgen::{
    WaitFor,
    measure::{Load as Pace, Plan as Sending, Run, Swarm},
    procfs,
};
use tokio::time::sleep;

use super::{Out, swarm};
use crate::{
    plan::Sizes,
    record::{ByRole, Load, What},
    systems::{Clients, Running},
};

/// How long what is on its way may take to arrive.
const SETTLE: Duration = Duration::from_secs(3);

/// How long a call waits for an acknowledgement.
const ACK: Duration = Duration::from_secs(5);

pub(super) async fn run(out: &mut Out<'_>, loads: &[Load]) -> anyhow::Result<()> {
    let running = out.stage.system.start(Clients::ByTheirWord).await?;
    let mut swarm = swarm(&running, 100);
    swarm.grow(out.sizes.clients).await.with_context(|| running.logs())?;
    for load in loads {
        let what = one(&running, &swarm, out.sizes, *load).await;
        out.push(what);
    }
    if swarm.ended() > 0 {
        bail!("{} connections ended: {}", swarm.ended(), running.logs());
    }
    Ok(())
}

/// One load on a system whose clients are there.
pub(super) async fn one(running: &Running, swarm: &Swarm, sizes: &Sizes, load: Load) -> What {
    let (pace, time) = match load {
        Load::Open(rate) => (Pace::Open { rate }, sizes.open),
        Load::Saturated(calls)
        | Load::Batches(calls)
        | Load::Volatile(calls)
        | Load::Acked(calls) => (Pace::Closed { in_flight: calls }, sizes.saturated),
        Load::EmptyInboxes(_) | Load::FullInboxes(_) | Load::Crowd(_) => {
            (Pace::Closed { in_flight: super::inboxes::IN_FLIGHT }, sizes.saturated)
        }
    };
    let sending = Sending {
        batch: if matches!(load, Load::Batches(_)) { sizes.batch } else { 1 },
        payload: sizes.payload,
        volatile: matches!(load, Load::Volatile(_)),
        wait: matches!(load, Load::Acked(_)).then_some((WaitFor::AckedAny, ACK)),
        ..Sending::new(pace)
    };
    let mut run = Run::start(swarm, running.producer.clone(), sending);
    sleep(sizes.warm_up).await;

    let window = Window::open(running);
    run.begin();
    sleep(time).await;
    run.end();
    let (cpu, busy) = window.close(running);
    let result = run.settle(SETTLE).await.summary();
    let ours = cpu.values().sum::<f64>() + result.own_cpu_seconds;
    let others = ((busy - ours) / result.seconds).max(0.0);
    What::Load { load, result, cpu, others }
}

/// Processor time from one moment to another.
pub(super) struct Window {
    servers: ByRole,
    busy: f64,
}

impl Window {
    pub(super) fn open(running: &Running) -> Self {
        Self { servers: running.cpu(), busy: procfs::busy_seconds().unwrap_or_default() }
    }

    /// Seconds of the servers, and of everything on this machine.
    pub(super) fn close(self, running: &Running) -> (ByRole, f64) {
        let mut servers = running.cpu();
        for (role, seconds) in &mut servers {
            *seconds -= self.servers.get(role).copied().unwrap_or_default();
        }
        (servers, procfs::busy_seconds().unwrap_or_default() - self.busy)
    }
}
