//! Where values come from: arguments, environment, presets.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
};

use super::fault::Fault;

/// Which place a value in force came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A flag on the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The named file, itself named by a flag or variable.
    File(String),
    /// A preset of the program ([`Source::preset`]).
    Preset,
    /// The option's default.
    Default,
    /// Not given, and without a default.
    Unset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("environment"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Preset => f.write_str("preset"),
            Self::Default => f.write_str("default"),
            Self::Unset => f.write_str("not set"),
        }
    }
}

/// The arguments and environment of a process, handed in by `main` so that tests can hand in
/// others. It holds secrets, hence neither `Debug` nor `Clone`.
pub struct Source {
    tokens: Vec<String>,
    used: BTreeSet<usize>,
    environment: BTreeMap<String, String>,
    presets: BTreeMap<String, String>,
    faults: Vec<Fault>,
}

/// How a flag was given.
pub(super) enum Given {
    /// With this value.
    Value(String),
    /// Alone.
    Bare,
}

impl Source {
    /// From the arguments without the program's name, and the environment:
    /// `Source::new(std::env::args_os().skip(1), std::env::vars_os())`.
    pub fn new<A, K, V>(
        arguments: impl IntoIterator<Item = A>,
        environment: impl IntoIterator<Item = (K, V)>,
    ) -> Self
    where
        A: Into<OsString>,
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut faults = Vec::new();
        let tokens = arguments
            .into_iter()
            .map(|token| {
                token.into().into_string().unwrap_or_else(|raw| {
                    let shown = raw.to_string_lossy().into_owned();
                    // Only the flag's name: what follows may be a secret.
                    let name = shown.split('=').next().unwrap_or_default().to_owned();
                    let subject = if name.starts_with("--") { name } else { "arguments".into() };
                    faults.push(Fault::new(vec![subject], "is not valid UTF-8"));
                    shown
                })
            })
            .collect();
        let environment = environment
            .into_iter()
            .filter_map(|(name, value)| {
                // Other programs' variables may be named in any way.
                let name = name.into().into_string().ok()?;
                match value.into().into_string() {
                    Ok(value) if value.is_empty() => None,
                    Ok(value) => Some((name, value)),
                    Err(_) if name.starts_with("HERALD_") => {
                        faults.push(Fault::new(vec![name], "is not valid UTF-8"));
                        None
                    }
                    Err(_) => None,
                }
            })
            .collect();
        Self { tokens, used: BTreeSet::new(), environment, presets: BTreeMap::new(), faults }
    }

    /// From an environment alone, for tests.
    pub fn environment<K, V>(environment: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        Self::new([""; 0], environment)
    }

    /// Replaces the default of `variable` for this program; flags and environment still win.
    /// `herald dev` presets the embedded backplane and loopback addresses this way.
    #[must_use]
    pub fn preset(mut self, variable: impl Into<String>, value: impl Into<String>) -> Self {
        self.presets.insert(variable.into(), value.into());
        self
    }

    pub(super) fn take_faults(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.faults)
    }

    /// Takes the word before all flags, if there is one: the command.
    pub(crate) fn command(&mut self) -> Option<String> {
        let first = self.tokens.first().filter(|token| !token.starts_with('-'))?.clone();
        self.used.insert(0);
        Some(first)
    }

    /// Whether one of these flags that take no value was given.
    pub(crate) fn switch(&mut self, names: &[&str]) -> bool {
        let found: Vec<usize> = (0..self.tokens.len())
            .filter(|at| names.contains(&self.tokens[*at].as_str()))
            .collect();
        self.used.extend(&found);
        !found.is_empty()
    }

    /// Every occurrence of `flag`. `takes` says whether a following word that does not look like
    /// a flag is its value; `--flag=value` always works.
    pub(super) fn flag(&mut self, flag: &str, takes: impl Fn(&str) -> bool) -> Vec<Given> {
        let mut found = Vec::new();
        for at in 0..self.tokens.len() {
            let Some(rest) = self.tokens[at].strip_prefix(flag) else {
                continue;
            };
            if let Some(value) = rest.strip_prefix('=') {
                found.push(Given::Value(value.to_owned()));
            } else if rest.is_empty() {
                match self.tokens.get(at + 1).filter(|next| !next.starts_with("--") && takes(next))
                {
                    Some(next) => {
                        found.push(Given::Value(next.clone()));
                        self.used.insert(at + 1);
                    }
                    None => found.push(Given::Bare),
                }
            } else {
                continue;
            }
            self.used.insert(at);
        }
        found
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    pub(super) fn preset_of(&self, name: &str) -> Option<&str> {
        self.presets.get(name).map(String::as_str)
    }

    /// Our variables that are set.
    pub(super) fn herald_variables(&self) -> impl Iterator<Item = &str> {
        self.environment.keys().map(String::as_str).filter(|name| name.starts_with("HERALD_"))
    }

    /// What nobody asked for: flags (their name only, values may be secret) and stray words.
    pub(super) fn leftovers(&self) -> Vec<Leftover<'_>> {
        let mut leftovers = Vec::new();
        let mut after_unknown_flag = false;
        for (at, token) in self.tokens.iter().enumerate() {
            let is_flag = token.starts_with('-') && token.len() > 1;
            if self.used.contains(&at) {
                after_unknown_flag = false;
            } else if is_flag {
                let (name, value) = match token.split_once('=') {
                    Some((name, _)) => (name, true),
                    None => (token.as_str(), false),
                };
                leftovers.push(Leftover::Flag(name));
                after_unknown_flag = !value;
            } else {
                // The value of an unknown flag is not a second mistake.
                if !after_unknown_flag {
                    leftovers.push(Leftover::Word(at + 1));
                }
                after_unknown_flag = false;
            }
        }
        leftovers
    }
}

pub(super) enum Leftover<'a> {
    Flag(&'a str),
    /// Its place in the command line, the first after the program being 1.
    Word(usize),
}
