//! `herald-loadgen`: opens sessions in quantity, sends notices, and checks what arrives.
//!
//! Exits 0 when every notice arrived once, in order and unchanged at every session of its user and
//! at no other; 1 when something was wrong; 2 when it could not run.

mod args;
mod load;
mod sessions;
mod summary;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("herald-loadgen: cannot start: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(load::run(&args)) {
        Ok(summary) => {
            println!("{summary}");
            if summary.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("herald-loadgen: {error:#}");
            ExitCode::from(2)
        }
    }
}
