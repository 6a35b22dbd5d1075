//! One system in one round: started anew, measured, stopped.

use std::time::Duration;

use anyhow::{Context as _, bail};
use herald_loadgen::{
    measure::{Load as Pace, Plan as Sending, Population, Run, Swarm},
    procfs,
};
use tokio::time::sleep;

use crate::{
    mode::Plan,
    record::{Load, Record, What},
    systems::{Kind, Running, System},
};

/// How long what is on its way may take to arrive, and memory to come to rest.
const SETTLE: Duration = Duration::from_secs(3);
const REST: Duration = Duration::from_millis(1500);

/// Files that this process and a server need besides connections.
const SPARE_FILES: u64 = 200;

/// Everything that sends.
pub(crate) async fn load(
    system: System,
    plan: &Plan,
    round: u32,
    records: &mut Vec<Record>,
) -> anyhow::Result<()> {
    let running = system.start().await?;
    let mut swarm = swarm(&running);
    swarm.grow(plan.clients).await.with_context(|| running.logs())?;
    let mut loads = vec![Load::Saturated(plan.in_flight)];
    if matches!(system.kind, Kind::Embedded | Kind::Herald) {
        loads.push(Load::Batches(plan.batches_in_flight));
    }
    loads.extend(plan.rates.iter().map(|rate| Load::Open(*rate)));
    for load in loads {
        let what = one(&running, &swarm, plan, load).await;
        records.push(Record { round, system, what });
    }
    if swarm.ended() > 0 {
        bail!("{} connections ended: {}", swarm.ended(), running.logs());
    }
    Ok(())
}

async fn one(running: &Running, swarm: &Swarm, plan: &Plan, load: Load) -> What {
    let (pace, batch, time) = match load {
        Load::Saturated(in_flight) => (Pace::Closed { in_flight }, 1, plan.saturated),
        Load::Batches(in_flight) => (Pace::Closed { in_flight }, plan.batch, plan.saturated),
        Load::Open(rate) => (Pace::Open { rate }, 1, plan.open),
    };
    let sending = Sending { load: pace, batch, payload: plan.payload };
    let mut run = Run::start(swarm, running.producer.clone(), sending);
    sleep(plan.warm_up).await;

    let (cpu, busy) = (running.cpu(), procfs::busy_seconds().unwrap_or_default());
    run.begin();
    sleep(time).await;
    run.end();
    let mut after = running.cpu();
    let busy = procfs::busy_seconds().unwrap_or_default() - busy;

    for (role, seconds) in &mut after {
        *seconds -= cpu.get(role).copied().unwrap_or_default();
    }
    let result = run.settle(SETTLE).await.summary();
    let ours = after.values().sum::<f64>() + result.own_cpu_seconds;
    let others = ((busy - ours) / result.seconds).max(0.0);
    What::Load { load, result, cpu: after, others }
}

/// Connections that only wait.
pub(crate) async fn idle(
    system: System,
    plan: &Plan,
    files: u64,
    round: u32,
    records: &mut Vec<Record>,
) -> anyhow::Result<()> {
    let running = system.start().await?;
    let mut swarm = swarm(&running);
    // What a first connection makes a server load is not the price of a connection.
    let few = 20;
    swarm.grow(few).await.with_context(|| running.logs())?;
    sleep(REST).await;
    let empty = running.resident();
    for connections in &plan.idle {
        if u64::from(*connections) + SPARE_FILES > files {
            bail!("{connections} connections need a higher limit of open files (ulimit -n)");
        }
        let before: f64 = running.cpu().values().sum();
        let opened = swarm.grow(few + connections).await.with_context(|| running.logs())?;
        let cpu = running.cpu().values().sum::<f64>() - before;
        sleep(REST).await;
        let mut resident = running.resident();
        for (role, bytes) in &mut resident {
            *bytes -= empty.get(role).copied().unwrap_or_default();
        }
        let what = What::Idle {
            connections: *connections,
            resident,
            per_second: opened.per_second(),
            cpu_per_connect: cpu / f64::from(opened.connections.max(1)),
        };
        records.push(Record { round, system, what });
    }
    Ok(())
}

fn swarm(running: &Running) -> Swarm {
    let mut population = Population::new(running.gateways.clone(), running.dialect.clone());
    population.sources = 16;
    Swarm::new(population)
}
