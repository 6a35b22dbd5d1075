//! How a process ends.

use std::{
    error::Error,
    fmt,
    process::{ExitCode, Termination},
};

use crate::listener::BindError;

/// Exit codes, after `sysexits.h` where it has one; `main` can return one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Ended as asked: 0.
    Clean = 0,
    /// `healthcheck` found the process not ready or not answering: 1.
    Unhealthy = 1,
    /// The configuration is at fault; starting again changes nothing: 64.
    BadConfiguration = 64,
    /// Something outside is in the way (an address in use, a name taken): 69.
    Unavailable = 69,
    /// A fault of the program, or shutting down took longer than allowed: 70.
    Internal = 70,
}

impl Exit {
    /// The code as the system sees it.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        self.into()
    }
}

/// Why a service ended without being asked to, and the exit code that says so. Any error converts
/// with `?`: a [`BindError`] among its sources to [`Exit::Unavailable`], everything else to
/// [`Exit::Internal`].
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl Failure {
    /// The configuration turned out wrong only in use.
    pub fn bad_configuration(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::BadConfiguration, error: error.into() }
    }

    /// Something outside is in the way.
    pub fn unavailable(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Unavailable, error: error.into() }
    }

    /// A fault of the program.
    pub fn internal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { exit: Exit::Internal, error: error.into() }
    }

    /// The code the process ends with.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(current) = cause {
            if current.is::<BindError>() {
                return Self::unavailable(error);
            }
            cause = current.source();
        }
        Self::internal(error)
    }
}

/// The error with its sources, joined by colons.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Chain(&*self.error))
    }
}

/// Prints an error with its sources, joined by colons: `error = %Chain(&error)` in a log line.
pub struct Chain<'a>(
    /// The outermost error.
    pub &'a (dyn Error + 'static),
);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(current) = cause {
            write!(f, ": {current}")?;
            cause = current.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot start")]
    struct Wrapped(#[source] BindError);

    fn bind_error() -> BindError {
        BindError {
            option: "HERALD_X_LISTEN".into(),
            address: ([127, 0, 0, 1], 80).into(),
            source: std::io::ErrorKind::AddrInUse.into(),
        }
    }

    #[test]
    fn an_address_in_use_ends_as_unavailable_however_deep_it_is() {
        assert_eq!(Failure::from(bind_error()).exit(), Exit::Unavailable);
        let failure = Failure::from(Wrapped(bind_error()));
        assert_eq!(failure.exit(), Exit::Unavailable);
        assert!(failure.to_string().starts_with("cannot start: "), "{failure}");
        assert_eq!(Failure::from(std::fmt::Error).exit(), Exit::Internal);
    }
}
