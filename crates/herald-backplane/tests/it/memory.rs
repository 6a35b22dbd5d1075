//! The backplane inside one process.

use crate::{conformance::conformance, support::Fixture};

conformance!(Fixture::memory);
