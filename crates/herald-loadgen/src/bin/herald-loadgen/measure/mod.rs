//! `measure`: in this process, or shared among several.

pub(crate) mod args;
mod share;

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::{Context as _, bail};
use herald_loadgen::{
    files,
    measure::{Figures, Opened, Run, Summary, Swarm},
    progress,
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use self::args::MeasureArgs;

/// A line of `--json`, and what a process with a share tells the one that started it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// All connections are open.
    Connected { connections: u32, seconds: f64 },
    /// The warm-up is over.
    Measuring {},
    /// What arrives from now on is not counted in `arrived`.
    Measured {},
    /// A share's figures, whole.
    Figures(Box<Figures>),
    /// The end.
    Result(Summary),
}

/// Whether all was accepted and arrived, and every connection held.
pub(crate) async fn run(args: &MeasureArgs) -> anyhow::Result<bool> {
    if args.clients < args.processes {
        bail!("there are fewer clients than processes");
    }
    files::raise_limit();
    if args.share.is_some() {
        return share::run(args).await;
    }
    let figures = if args.processes > 1 { share::lead(args).await? } else { alone(args).await? };
    let Some(figures) = figures else { return Ok(true) };
    let summary = figures.summary();
    if args.json {
        print(&Line::Result(summary))?;
    } else {
        tell(&summary);
    }
    Ok(figures.failed == 0 && figures.missing == 0 && figures.ended == 0)
}

async fn alone(args: &MeasureArgs) -> anyhow::Result<Option<Figures>> {
    let (swarm, opened) = connect(args).await?;
    connected(args, opened)?;
    work(args, &swarm).await
}

async fn connect(args: &MeasureArgs) -> anyhow::Result<(Swarm, Opened)> {
    let mut swarm = Swarm::new(args.population());
    let (open, clients) = (swarm.opened(), args.clients().1);
    let growing = swarm.grow(clients);
    let opened = if args.json || args.share.is_some() {
        growing.await
    } else {
        let position = || u64::from(open.load(Ordering::Relaxed));
        progress::during("connecting", clients.into(), position, growing).await
    };
    let opened = opened.context("cannot open a connection")?;
    Ok((swarm, opened))
}

fn connected(args: &MeasureArgs, opened: Opened) -> anyhow::Result<()> {
    let Opened { connections, seconds } = opened;
    if args.json {
        return print(&Line::Connected { connections, seconds });
    }
    eprintln!("{connections} connections, {:.0} a second", opened.per_second());
    Ok(())
}

/// Sends and measures; nothing is left to say of connections that were only held.
async fn work(args: &MeasureArgs, swarm: &Swarm) -> anyhow::Result<Option<Figures>> {
    if let Some(idle) = args.idle {
        sleep(idle).await;
        let ended = swarm.ended();
        return if ended == 0 { Ok(None) } else { bail!("{ended} connections have ended") };
    }
    let mut run = Run::start(swarm, args.producer(), args.plan());
    wait(args, "warming up", args.warm_up).await;
    run.begin();
    milestone(args, &Line::Measuring {})?;
    wait(args, "measuring", args.duration).await;
    run.end();
    milestone(args, &Line::Measured {})?;
    Ok(Some(run.settle(args.settle).await))
}

/// Says how far it is to whoever reads lines, once for all processes.
fn milestone(args: &MeasureArgs, line: &Line) -> anyhow::Result<()> {
    if args.json && args.share.is_none() { print(line) } else { Ok(()) }
}

/// Waits, with a bar where somebody looks.
async fn wait(args: &MeasureArgs, what: &'static str, time: Duration) {
    if args.json || args.share.is_some() {
        sleep(time).await;
    } else {
        progress::wait(what, time).await;
    }
}

fn print(line: &Line) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(line)?);
    Ok(())
}

fn tell(summary: &Summary) {
    let ms = |micros: u64| micros as f64 / 1000.0;
    let spread = |name: &str, of: &herald_loadgen::measure::Spread| {
        println!(
            "{name:<10} p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
            ms(of.p50),
            ms(of.p90),
            ms(of.p99),
            ms(of.p999),
            ms(of.max)
        );
    };
    println!(
        "arrived    {} in {:.1} s ({:.0} a second)",
        summary.arrived, summary.seconds, summary.per_second
    );
    spread("latency", &summary.latency_us);
    spread("late", &summary.late_us);
    println!(
        "accepted   {}, {} not accepted, {} missing, {} connections ended",
        summary.accepted, summary.failed, summary.missing, summary.ended
    );
    println!(
        "own cpu    {:.2} s for 10,000 arrived",
        summary.own_cpu_seconds * 10_000.0 / (summary.arrived.max(1) as f64)
    );
    if let Some(failure) = &summary.failure {
        println!("failure    {failure}");
    }
}
