//! More sessions than one process can hold: `herald-loadgen` holds them in several, and sends.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use herald_e2e::Script;
use herald_loadgen::measure::Summary;
use serde_json::Value;

use super::{Out, inboxes::IN_FLIGHT, loads::Window};
use crate::{
    record::{Load, What},
    systems::Clients,
};

/// Processes that share sessions and load, whatever their number, so that only that differs.
const PROCESSES: u32 = 4;

/// Notices a second that any machine this is run on can do.
const SLOWEST: u32 = 5_000;

/// How long one step may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) async fn run(out: &mut Out<'_>, sessions: u32) -> anyhow::Result<()> {
    out.room(sessions / PROCESSES)?;
    out.room(sessions / out.stage.system.gateways)?;
    let mut running = out.stage.system.start(Clients::ByTheirWord).await?;
    let gateways: Vec<_> = running.gateways.iter().map(ToString::to_string).collect();
    let grpc = running.grpc.context("only systems with a gRPC port are sent to")?.to_string();
    let seconds = |time: Duration| time.as_secs_f64().to_string();
    let sizes = out.sizes;
    let mut loadgen = running.loadgen(&[
        "measure",
        "--json",
        "--gateway",
        &gateways.join(","),
        "--grpc",
        &grpc,
        "--clients",
        &sessions.to_string(),
        "--processes",
        &PROCESSES.to_string(),
        "--sources",
        "16",
        "--in-flight",
        &IN_FLIGHT.to_string(),
        "--payload",
        &sizes.payload.to_string(),
        // A user's first notice makes the inbox: each has had one before.
        "--warm-up",
        &seconds(sizes.warm_up + Duration::from_secs(u64::from(sessions / SLOWEST))),
        "--duration",
        &seconds(sizes.saturated),
    ])?;
    line(&mut loadgen, "connected").await?;
    line(&mut loadgen, "measuring").await?;
    let window = Window::open(&running);
    line(&mut loadgen, "measured").await?;
    let (cpu, busy) = window.close(&running);
    let result: Summary = serde_json::from_value(line(&mut loadgen, "result").await?)?;
    ensure!(result.ended == 0, "{} connections ended: {}", result.ended, running.logs());
    let ours = cpu.values().sum::<f64>() + result.own_cpu_seconds;
    let others = ((busy - ours) / result.seconds).max(0.0);
    out.push(What::Load { load: Load::Crowd(sessions), result, cpu, others });
    Ok(())
}

/// The next line, which has to be about this.
async fn line(loadgen: &mut Script, about: &str) -> anyhow::Result<Value> {
    let mut line = loadgen.next(PATIENCE).await?;
    line.get_mut(about).map(Value::take).with_context(|| format!("expected {about}, got {line}"))
}
