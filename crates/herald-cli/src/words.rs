//! The words after a command's name.

use std::{ffi::OsString, iter};

use clap::Parser;
use herald_service::Exit;

/// Reads them, or says what is wrong with them, or helps; then the exit code says which.
pub(crate) fn parse<A: Parser>(
    command: &str,
    words: impl IntoIterator<Item = OsString>,
) -> Result<A, Exit> {
    A::try_parse_from(iter::once(command.into()).chain(words)).map_err(|error| {
        // Nothing is to be done where nobody can be told.
        let _ = error.print();
        if error.use_stderr() { Exit::BadConfiguration } else { Exit::Clean }
    })
}
