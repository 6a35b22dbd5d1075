//! The backplane on a Redis of the tests' own.

use crate::{conformance::conformance, support::Fixture};

conformance!(Fixture::redis);
