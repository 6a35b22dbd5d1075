//! `herald`: the command line.

mod api_key;
mod bench;
mod dev;
mod explain;
mod notifier;
mod page;
mod words;

use std::{collections::VecDeque, ffi::OsString, process::ExitCode};

use herald_service::{Exit, Program, config::Source, launch};

/// As the services have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DEV: Program = Program {
    name: "herald dev",
    version: env!("CARGO_PKG_VERSION"),
    about: "Runs gateway, notifier and a page to try them in one process, for development: \
            everything in memory, loopback only, no authentication",
};

const USAGE: &str = "\
herald: notices to users, on whatever device they have open

Usage: herald <command> [options]

Commands:
  dev      Run everything in one process, with a page to try it; needs nothing else
  api-key  Make an API key for a caller of the notifier
  bench    Measure a deployment: connect clients, send notices, tell how they fared
  explain  Tell what became of one notice: who got it, who did not, and why

`herald <command> --help` lists a command's options, `herald --version` tells the version.
";

fn main() -> ExitCode {
    let mut arguments: VecDeque<OsString> = std::env::args_os().skip(1).collect();
    let word = |arguments: &mut VecDeque<OsString>| {
        Some(arguments.pop_front()?.to_string_lossy().into_owned())
    };
    let mut command = word(&mut arguments);
    // `herald help dev` is `herald dev --help`.
    if command.as_deref() == Some("help") && !arguments.is_empty() {
        command = word(&mut arguments);
        arguments = VecDeque::from(["--help".into()]);
    }
    match command.as_deref() {
        Some("dev") => {
            let source = dev::presets(Source::new(arguments, std::env::vars_os()));
            launch(&DEV, source, dev::Options::read, dev::serve).into()
        }
        Some("api-key") => api_key::run(arguments).into(),
        Some("bench") => bench::run(arguments),
        Some("explain") => explain::run(arguments),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            Exit::Clean.into()
        }
        Some("--version" | "-V") => {
            println!("herald {}", DEV.version);
            Exit::Clean.into()
        }
        wrong => {
            if let Some(wrong) = wrong {
                let kind = if wrong.starts_with('-') { "flag" } else { "command" };
                eprintln!("herald: there is no {kind} `{wrong}`\n");
            }
            eprint!("{USAGE}");
            Exit::BadConfiguration.into()
        }
    }
}
