//! The backplane on a Redis of the tests' own.

mod facts;

use crate::{conformance::conformance, support::Fixture};

conformance!(Fixture::redis);
