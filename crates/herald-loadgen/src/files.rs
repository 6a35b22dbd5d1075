//! Open files, of which each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows this process and all that it starts as many open files as it may: how many.
pub fn raise_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // A refusal leaves things as they are.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
