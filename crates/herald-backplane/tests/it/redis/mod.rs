//! The backplane on Redis servers of the tests' own.

mod facts;
mod failover;
mod replicas;
mod together;

use crate::{conformance::conformance, support::Fixture};

conformance!(Fixture::redis);

mod sentinel {
    use super::*;

    /// On the one kind where it costs no other promise: what is accepted waits for a replica.
    fn confirmed() -> Fixture {
        Fixture::sentinel().confirmed()
    }

    conformance!(confirmed);
}

mod cluster {
    use super::*;

    conformance!(Fixture::cluster);
}
