//! What is wrong with a configuration.

use std::fmt;

/// One thing wrong, worded for whoever has to put it right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    subjects: Vec<String>,
    message: String,
}

impl Fault {
    pub(super) fn new(subjects: Vec<String>, message: impl Into<String>) -> Self {
        Self { subjects, message: message.into() }
    }

    /// The variables (or flags) at fault.
    pub fn subjects(&self) -> &[String] {
        &self.subjects
    }

    /// What is wrong and what is expected; the value is in it unless it is secret.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn concerns(&self, subject: &str) -> bool {
        self.subjects.iter().any(|known| known == subject)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subjects.join(", "), self.message)
    }
}

/// Every fault of a configuration at once, one a line. Never empty, never retryable: the process
/// exits with [`Exit::BadConfiguration`](crate::Exit::BadConfiguration).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// `None` when there is nothing wrong.
    pub(crate) fn of(faults: Vec<Fault>) -> Option<Self> {
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// The faults in the order of the declarations.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => writeln!(f, "the configuration has a fault:")?,
            n => writeln!(f, "the configuration has {n} faults:")?,
        }
        for fault in &self.0 {
            writeln!(f, "  {fault}")?;
        }
        Ok(())
    }
}
