//! `herald-gateway`.

use herald_backplane::Backplane;
use herald_gateway::{Gateway, GatewayOptions};
use herald_service::{Exit, Failure, Process, Program, config::Source, launch};

/// Sessions come and go in thousands, and what they took is to go back to the system: with the C
/// library's allocator the process keeps it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PROGRAM: Program = Program {
    name: "herald-gateway",
    version: env!("CARGO_PKG_VERSION"),
    about: "Holds the sessions of Herald's clients and delivers notices to them",
};

async fn serve(options: GatewayOptions, process: Process) -> Result<(), Failure> {
    let backplane = Backplane::open(&options.backplane).map_err(Failure::bad_configuration)?;
    let gateway = Gateway::bind(options, backplane, process).await?;
    // On the heap: it is large.
    Box::pin(gateway.run()).await.map_err(Failure::unavailable)
}

fn main() -> Exit {
    let source = Source::new(std::env::args_os().skip(1), std::env::vars_os());
    launch(&PROGRAM, source, GatewayOptions::read, serve)
}
