//! `herald-bench`: starts Herald and the systems it is measured against on this machine, one at a
//! time and in turn, drives all of them with the same load, and writes what came out as a page of
//! tables. No figure fails anything; a system that cannot be started is named and left out.

mod host;
mod plan;
mod record;
mod report;
mod systems;
mod trials;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use clap::Parser as _;

use crate::{
    host::Host,
    plan::{Mode, Plan},
    record::Record,
    report::Bench,
};

/// Measures Herald beside other systems and writes a page of tables.
#[derive(Debug, clap::Parser)]
#[command(version)]
struct Args {
    /// How thoroughly
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

    /// So many rounds of everything, instead of what the mode says
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
    let files = herald_loadgen::files::raise_limit();
    let mut plan = Plan::of(args.mode, args.rounds);
    if !args.only.is_empty() {
        plan.keep(&args.only);
    }
    let mut bench = Bench::new(Host::look(args.mode)?);
    if let Some(directory) = args.records.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut out = fs::File::create(&args.records)
        .with_context(|| format!("cannot write {}", args.records.display()))?;
    writeln!(out, "{}", serde_json::to_string(&bench.host)?)?;
    let begin = Instant::now();
    for round in 0..plan.rounds() {
        for stage in plan.stages(round) {
            let minutes = begin.elapsed().as_secs_f64() / 60.0;
            let system = stage.system;
            eprintln!("{minutes:.1} min, round {} of {}: {system}", round + 1, plan.rounds());
            let (mut records, done) = trials::run(stage, &plan.sizes, files, round).await;
            if let Err(error) = done {
                records.push(Record::failure(system, round, &error));
            }
            for record in records {
                eprintln!("  {record}");
                writeln!(out, "{}", serde_json::to_string(&record)?)?;
                bench.records.push(record);
            }
        }
    }
    eprintln!("measured for {:.1} minutes", begin.elapsed().as_secs_f64() / 60.0);
    Ok(bench)
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
