//! `herald-bench`: starts Herald and the systems it is measured against on this machine, one at a
//! time and in turn, drives all of them with the same load, and writes what came out as a page of
//! tables. No figure fails anything; a system that cannot be started is named and left out.

mod host;
mod mode;
mod record;
mod report;
mod rounds;
mod systems;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Parser as _;

use crate::{host::Host, mode::Mode, record::Record, report::Bench, systems::System};

/// Measures Herald beside other systems and writes a page of tables.
#[derive(Debug, clap::Parser)]
#[command(version)]
struct Args {
    /// How thoroughly: quick takes some 3 minutes, full about an hour
    #[arg(value_enum, default_value = "full")]
    mode: Mode,

    /// The page
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks.md")]
    out: PathBuf,

    /// All that was measured, as lines of JSON
    #[arg(long, value_name = "FILE", default_value = "target/bench.jsonl")]
    records: PathBuf,

    /// Only these systems, such as herald-4 or nchan-1
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,

    /// Rounds, instead of the mode's number
    #[arg(long)]
    rounds: Option<u32>,

    /// Measure nothing: write the page from the records that are there
    #[arg(long)]
    render: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let bench = if args.render { load(&args.records)? } else { measure(&args).await? };
    fs::write(&args.out, bench.to_string())
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    print!("{}", bench.tables());
    eprintln!("written: {} and {}", args.out.display(), args.records.display());
    Ok(())
}

async fn measure(args: &Args) -> anyhow::Result<Bench> {
    let files = host::raise_file_limit();
    let mut systems = args.mode.systems();
    systems.retain(|system| args.only.is_empty() || args.only.contains(&system.to_string()));
    let plan = args.mode.plan(args.rounds);
    let mut bench = Bench::new(Host::look(args.mode)?);
    if let Some(directory) = args.records.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut out = fs::File::create(&args.records)
        .with_context(|| format!("cannot write {}", args.records.display()))?;
    writeln!(out, "{}", serde_json::to_string(&bench.host)?)?;
    for round in 0..plan.rounds {
        for system in in_turn(&systems, round) {
            eprintln!("round {} of {}: {system}", round + 1, plan.rounds);
            let mut records = Vec::new();
            if let Err(error) = rounds::load(system, &plan, round, &mut records).await {
                records.push(Record::failure(system, round, &error));
            }
            if round < plan.idle_rounds
                && system.gateways == 1
                && let Err(error) = rounds::idle(system, &plan, files, round, &mut records).await
            {
                records.push(Record::failure(system, round, &error));
            }
            for record in records {
                eprintln!("  {record}");
                writeln!(out, "{}", serde_json::to_string(&record)?)?;
                bench.records.push(record);
            }
        }
    }
    Ok(bench)
}

/// Forwards and backwards by turns, so that what drifts with time favours nobody.
fn in_turn(systems: &[System], round: u32) -> Vec<System> {
    let mut systems = systems.to_vec();
    if round % 2 == 1 {
        systems.reverse();
    }
    systems
}

fn load(records: &Path) -> anyhow::Result<Bench> {
    let text = fs::read_to_string(records)
        .with_context(|| format!("cannot read {}", records.display()))?;
    let mut lines = text.lines();
    let mut bench = Bench::new(serde_json::from_str(lines.next().unwrap_or_default())?);
    for line in lines {
        bench.records.push(serde_json::from_str(line)?);
    }
    Ok(bench)
}
