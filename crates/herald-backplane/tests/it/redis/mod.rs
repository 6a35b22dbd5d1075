//! The backplane on Redis servers of the tests' own.

mod facts;
mod failover;

use crate::{conformance::conformance, support::Fixture};

conformance!(Fixture::redis);

mod sentinel {
    use super::*;

    conformance!(Fixture::sentinel);
}

mod cluster {
    use super::*;

    conformance!(Fixture::cluster);
}
