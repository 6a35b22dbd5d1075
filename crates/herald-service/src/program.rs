//! What a program was asked to do.

use std::{net::SocketAddr, time::Duration};

use crate::{
    config::{Effective, Faults, HelpText, Reader, Source},
    healthcheck::Probe,
};

/// Who a program is.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The name of the binary, also that of its traces.
    pub name: &'static str,
    /// `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
}

/// What to do.
#[derive(Debug)]
pub enum Action<O> {
    /// Run with these options.
    Run {
        /// The options as read.
        options: O,
        /// The same, safe to print.
        effective: Effective,
    },
    /// Print this on standard output and end: `--help`, `--version`, `--check-config`.
    Print(String),
    /// Ask a running process how it is.
    Healthcheck {
        /// Its admin port.
        address: SocketAddr,
        /// What to ask.
        probe: Probe,
        /// For how long to wait.
        deadline: Duration,
    },
}

impl Program {
    /// Reads the command line and the configuration. `read` declares and reads the options of the
    /// program; it is also what `--help` is made from, so it must not depend on what it reads.
    ///
    /// # Errors
    /// Everything that is wrong, unless only `--help` or `--version` is asked for.
    pub fn load<O>(
        &self,
        mut source: Source,
        read: impl FnOnce(&mut Reader) -> O,
    ) -> Result<Action<O>, Faults> {
        let command = source.command();
        let help = source.switch(&["-h", "--help"]);
        let version = source.switch(&["-V", "--version"]);
        let check = source.switch(&["--check-config"]);
        let healthcheck = command.as_deref() == Some("healthcheck");
        let live = healthcheck && source.switch(&["--live"]);

        let mut reader = Reader::new(source);
        let deadline = healthcheck.then(|| reader.healthcheck_deadline());
        let options = read(&mut reader);
        if let Some(command) = command.filter(|_| !(healthcheck && reader.admin().is_some())) {
            reader.unknown_command(&command);
        }

        if help {
            let help = HelpText { name: self.name, about: self.about, reader: &reader };
            return Ok(Action::Print(help.to_string()));
        }
        if version {
            return Ok(Action::Print(format!("{} {}\n", self.name, self.version)));
        }
        if let (Some(deadline), Some(address)) = (deadline, reader.admin()) {
            if let Some(faults) = reader.healthcheck_faults() {
                return Err(faults);
            }
            let probe = if live { Probe::Live } else { Probe::Ready };
            return Ok(Action::Healthcheck { address, probe, deadline });
        }
        let effective = reader.finish()?;
        if check {
            let title = format!("# {} {}, configuration in force", self.name, self.version);
            return Ok(Action::Print(format!("{title}\n{effective}")));
        }
        Ok(Action::Run { options, effective })
    }
}
