//! The process `herald-notifier`.

use std::process::ExitCode;

use herald_notifier::ProcessOptions;
use herald_service::{Program, config::Source, launch};

/// A call is many small allocations, made on one thread and freed on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let program = Program {
        name: "herald-notifier",
        version: env!("CARGO_PKG_VERSION"),
        about: "Takes notices from backends, over gRPC and HTTP, and hands them on",
    };
    let source = Source::new(std::env::args_os().skip(1), std::env::vars_os());
    launch(&program, source, ProcessOptions::read, herald_notifier::serve).into()
}
