//! What is in force.

use std::fmt;

use super::{secret::MASK, source::Origin};

/// One option as it is in force, safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The value, masked where secret; `None` when not set.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
}

/// The whole configuration in force, safe to print and to log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effective {
    pub(super) settings: Vec<Setting>,
    pub(super) warnings: Vec<String>,
}

impl Effective {
    /// Every option, in the order of the declarations.
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// What is odd without being wrong, for instance a variable that this program does not know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The options that are not at their default, as `NAME=value` words for a log line.
    pub fn chosen(&self) -> String {
        self.settings
            .iter()
            .filter(|setting| !matches!(setting.origin, Origin::Default | Origin::Unset))
            .map(|setting| {
                let value = setting.value.as_deref().unwrap_or_default();
                format!("{}={value}", setting.variable)
            })
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// In the form of an environment file: what is not set is a comment, so is each value's origin.
impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Setting { variable, value, origin } in &self.settings {
            match value {
                Some(value) => {
                    // A masked line must not be pasted back as if it were a value.
                    let comment = if value == MASK { "# " } else { "" };
                    writeln!(f, "{:<56} # {origin}", format!("{comment}{variable}={value}"))?;
                }
                None => writeln!(f, "{:<56} # {origin}", format!("# {variable}="))?,
            }
        }
        for warning in &self.warnings {
            writeln!(f, "# warning: {warning}")?;
        }
        Ok(())
    }
}
