//! `herald-loadgen`: opens sessions in quantity, sends notices, and checks what arrives, or with
//! `measure` only counts and times it; with `stay` they only are there, and come back.
//!
//! Exits 0 when every notice arrived once, in order and unchanged at every session of its user and
//! at no other (`measure`: when all was accepted and arrived; `stay`: when no client was told to stay
//! away); 1 when something was wrong; 2 when it
//! could not run.

mod args;
mod load;
mod measure;
mod sessions;
mod stay;
mod summary;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::Command;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("herald-loadgen: cannot start: {error}");
            return ExitCode::from(2);
        }
    };
    let clean = runtime.block_on(async {
        match cli.command {
            Some(Command::Measure(args)) => measure::run(&args).await,
            Some(Command::Stay(args)) => stay::run(&args).await,
            None => {
                let summary = load::run(&cli.check).await?;
                println!("{summary}");
                Ok(summary.is_clean())
            }
        }
    });
    match clean {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("herald-loadgen: {error:#}");
            ExitCode::from(2)
        }
    }
}
