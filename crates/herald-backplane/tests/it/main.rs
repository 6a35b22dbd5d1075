//! What every backplane promises, tried on each of them.

mod conformance;
mod memory;
mod redis;
mod support;
