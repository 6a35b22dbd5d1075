//! The reader: declarations in, options and faults out.

use std::{fmt::Display, net::SocketAddr, time::Duration};

use super::{
    declaration::Declaration,
    effective::{Effective, Setting},
    fault::{Fault, Faults},
    names,
    secret::Secret,
    source::{Given, Leftover, Origin, Source},
    value::Value,
};

/// Flags that every program has.
const COMMON_FLAGS: [&str; 3] = ["--help", "--version", "--check-config"];

/// What one declaration says, kept for `--help` and `--check-config`.
pub(crate) struct Declared {
    pub(crate) variable: &'static str,
    pub(crate) flag: Option<String>,
    pub(crate) group: &'static str,
    pub(crate) help: &'static str,
    pub(crate) placeholder: &'static str,
    pub(crate) unit: Option<&'static str>,
    pub(crate) fallback: Fallback,
    pub(crate) file: bool,
    shown: Option<String>,
    origin: Origin,
}

/// What holds when an option is not given.
#[derive(Clone)]
pub(crate) enum Fallback {
    /// This value.
    Default(String),
    /// It has to be given.
    Required,
    /// What the text says (possibly nothing).
    Unset(&'static str),
}

/// Reads declared options from a [`Source`] and gathers everything wrong with them.
///
/// An option may be declared by several components of one process (the backplane's URL by gateway
/// and notifier in `herald dev`): both get the value, help and faults name it once.
pub struct Reader {
    pub(super) source: Source,
    declared: Vec<Declared>,
    faults: Vec<Fault>,
    group: &'static str,
    admin: Option<(&'static str, SocketAddr)>,
}

impl Reader {
    /// A reader without declarations.
    pub fn new(mut source: Source) -> Self {
        let faults = source.take_faults();
        Self { source, declared: Vec::new(), faults, group: "Options", admin: None }
    }

    /// The heading in `--help` of the declarations that follow.
    pub fn group(&mut self, heading: &'static str) -> &mut Self {
        self.group = heading;
        self
    }

    /// Declares an option of a type that implements [`Value`]. `help` is one sentence without a
    /// full stop. Nothing is read before [`default`](Declaration::default),
    /// [`required`](Declaration::required) or [`optional`](Declaration::optional) is called.
    pub fn option<T: Value>(
        &mut self,
        variable: &'static str,
        help: &'static str,
    ) -> Declaration<'_, T> {
        Declaration::new(self, variable, help, T::parse)
            .describe(T::PLACEHOLDER, T::EXPECTED, T::EXAMPLE)
            .bare(T::BARE)
    }

    /// Declares an option that `parse` turns into a type of another crate. Follow it with
    /// [`describe`](Declaration::describe).
    pub fn parsed<T: 'static, E: Display>(
        &mut self,
        variable: &'static str,
        help: &'static str,
        parse: impl Fn(&str) -> Result<T, E> + 'static,
    ) -> Declaration<'_, T> {
        Declaration::new(self, variable, help, move |text| {
            parse(text).map_err(|error| error.to_string())
        })
    }

    /// Declares a secret: never shown, also readable from a file.
    pub fn secret(
        &mut self,
        variable: &'static str,
        help: &'static str,
    ) -> Declaration<'_, Secret> {
        self.option(variable, help).hidden().or_file()
    }

    /// Declares the address of the admin port, which `healthcheck` asks.
    pub fn admin_listen(&mut self, variable: &'static str, default: &str) -> SocketAddr {
        let help = "Where /live, /ready and /metrics are served";
        let address = self.option(variable, help).default(default);
        self.admin.get_or_insert((variable, address));
        address
    }

    /// Checks options against each other. Skipped while one of `variables` is itself at fault, so
    /// that no fault is about a stand-in.
    pub fn check(
        &mut self,
        variables: &[&'static str],
        condition: impl FnOnce() -> Result<(), String>,
    ) {
        debug_assert!(
            variables.iter().all(|name| self.declared.iter().any(|known| known.variable == *name)),
            "a check names declared options: {variables:?}"
        );
        if variables.iter().any(|name| self.at_fault(name)) {
            return;
        }
        if let Err(message) = condition() {
            let subjects = variables.iter().map(|&name| name.to_owned()).collect();
            self.note(Fault::new(subjects, message));
        }
    }

    /// Whether something is already known to be wrong with `variable`.
    pub fn at_fault(&self, variable: &str) -> bool {
        self.faults.iter().any(|fault| fault.concerns(variable))
    }

    /// Where the value of a declared option came from, and `Unset` for an unknown one.
    pub fn origin(&self, variable: &str) -> Origin {
        self.declared
            .iter()
            .find(|known| known.variable == variable)
            .map_or(Origin::Unset, |known| known.origin.clone())
    }

    /// Ends the reading: what is in force, or everything that is wrong. An unknown flag is a
    /// fault; an unknown `HERALD_` variable is a warning, since the services of one deployment
    /// commonly share one environment.
    pub fn finish(self) -> Result<Effective, Faults> {
        let faults = self.all_faults();
        match Faults::of(faults) {
            Some(faults) => Err(faults),
            None => Ok(self.effective()),
        }
    }

    /// The `--deadline` of `healthcheck`, a flag of that command alone and so without a variable.
    pub(crate) fn healthcheck_deadline(&mut self) -> Duration {
        const DEFAULT: Duration = Duration::from_secs(3);
        let Some(given) = self.source.flag("--deadline", |_| true).pop() else {
            return DEFAULT;
        };
        let parsed = match given {
            Given::Value(text) => {
                Duration::parse(&text).map_err(|wrong| format!("{text:?} {wrong}"))
            }
            Given::Bare => Err("needs a value".to_owned()),
        };
        parsed.unwrap_or_else(|wrong| {
            let expected = Duration::EXPECTED;
            let message = format!("{wrong}; expected {expected}, for example 3s");
            self.note(Fault::new(vec!["--deadline".into()], message));
            DEFAULT
        })
    }

    pub(crate) fn unknown_command(&mut self, command: &str) {
        let message = format!("{command:?} is no command of this program; see --help");
        self.note(Fault::new(vec!["arguments".into()], message));
    }

    pub(crate) fn declared(&self) -> &[Declared] {
        &self.declared
    }

    pub(crate) fn admin(&self) -> Option<SocketAddr> {
        self.admin.map(|(_, address)| address)
    }

    /// The faults that matter to `healthcheck`, which runs with the service's environment but not
    /// with its flags: those of the command line itself and of the admin address.
    pub(crate) fn healthcheck_faults(&self) -> Option<Faults> {
        let admin = self.admin.map(|(variable, _)| variable);
        let faults = self.all_faults().into_iter().filter(|fault| {
            fault.subjects().iter().any(|subject| {
                subject.starts_with('-') || subject == "arguments" || Some(&**subject) == admin
            })
        });
        Faults::of(faults.collect())
    }

    pub(super) fn preset_of(&self, variable: &str) -> Option<String> {
        self.source.preset_of(variable).map(str::to_owned)
    }

    pub(super) fn note(&mut self, fault: Fault) {
        // One option declared twice is one fault.
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    pub(super) fn declare(&mut self, mut declared: Declared) {
        declared.group = self.group;
        if !self.declared.iter().any(|known| known.variable == declared.variable) {
            self.declared.push(declared);
        }
    }

    fn all_faults(&self) -> Vec<Fault> {
        let flags: Vec<String> = self
            .declared
            .iter()
            .flat_map(|known| {
                let file = known.file.then_some("-file");
                let flag = known.flag.iter();
                flag.flat_map(move |flag| {
                    [Some(flag.clone()), file.map(|end| format!("{flag}{end}"))]
                })
            })
            .flatten()
            .collect();
        let known = || COMMON_FLAGS.into_iter().chain(flags.iter().map(String::as_str));
        let leftovers = self.source.leftovers().into_iter().map(|leftover| match leftover {
            Leftover::Flag(name) => {
                let hint = match names::closest(name, known()) {
                    Some(meant) => format!("is no flag of this program; did you mean {meant}?"),
                    None => "is no flag of this program; see --help".to_owned(),
                };
                Fault::new(vec![name.to_owned()], hint)
            }
            // Not the word itself: it may be a secret that lost its flag.
            Leftover::Word(position) => {
                let message = format!("the word in place {position} belongs to no flag");
                Fault::new(vec!["arguments".into()], message)
            }
        });
        self.faults.iter().cloned().chain(leftovers).collect()
    }

    fn effective(&self) -> Effective {
        let settings = self
            .declared
            .iter()
            .map(|known| Setting {
                variable: known.variable,
                value: known.shown.clone(),
                origin: known.origin.clone(),
            })
            .collect();
        Effective { settings, warnings: self.warnings() }
    }

    fn warnings(&self) -> Vec<String> {
        let is_known = |name: &str| {
            self.declared.iter().any(|known| {
                known.variable == name
                    || (known.file && name.strip_suffix("_FILE") == Some(known.variable))
            })
        };
        let names = || self.declared.iter().map(|known| known.variable);
        self.source
            .herald_variables()
            .filter(|name| !is_known(name) && !names::is_service_link(name))
            .map(|name| match names::closest(name, names()) {
                Some(meant) => format!("{name} is set but unknown here; did you mean {meant}?"),
                None => format!("{name} is set but unknown here"),
            })
            .collect()
    }
}

impl Declared {
    pub(super) fn new(variable: &'static str, help: &'static str, fallback: Fallback) -> Self {
        Self {
            variable,
            flag: names::flag_of(variable),
            group: "",
            help,
            placeholder: "",
            unit: None,
            fallback,
            file: false,
            shown: None,
            origin: Origin::Unset,
        }
    }

    pub(super) fn in_force(mut self, shown: Option<String>, origin: Origin) -> Self {
        self.shown = shown;
        self.origin = origin;
        self
    }
}
