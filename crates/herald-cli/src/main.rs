//! `herald`: the command line. For now it has one command, `dev`.

mod dev;
mod page;

use std::ffi::OsString;

use herald_service::{Exit, Program, config::Source, launch};

const DEV: Program = Program {
    name: "herald dev",
    version: env!("CARGO_PKG_VERSION"),
    about: "Runs gateway and notifier in one process, for development: embedded backplane, \
            loopback only, no authentication",
};

const USAGE: &str = "\
herald: notices to users, on whatever device they have open

Usage: herald <command> [options]

Commands:
  dev    Run everything in one process, with a page to try it; needs nothing else

`herald <command> --help` lists a command's options, `herald --version` tells the version.
";

fn main() -> Exit {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = if arguments.is_empty() { None } else { Some(arguments.remove(0)) };
    match command.as_ref().and_then(|command| command.to_str()) {
        Some("dev") => {
            let source = dev::presets(Source::new(arguments, std::env::vars_os()));
            launch(&DEV, source, dev::Options::read, dev::serve)
        }
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            Exit::Clean
        }
        Some("--version" | "-V") => {
            println!("herald {}", DEV.version);
            Exit::Clean
        }
        _ => {
            if let Some(command) = command {
                eprintln!("herald: there is no command `{}`\n", command.to_string_lossy());
            }
            eprint!("{USAGE}");
            Exit::BadConfiguration
        }
    }
}
