//! A script, with its name and what is counted of its calls.

use std::ops::Deref;

use crate::figures::CallFigures;

/// Sent by its digest and loaded where it is missing.
#[derive(Debug, Clone)]
pub(super) struct Script {
    script: redis::Script,
    pub(super) figures: CallFigures,
}

impl Script {
    /// `name` is the label of its figures.
    pub(super) fn new(name: &'static str, code: &str) -> Self {
        Self { script: redis::Script::new(code), figures: CallFigures::new(name) }
    }
}

impl Deref for Script {
    type Target = redis::Script;

    fn deref(&self) -> &redis::Script {
        &self.script
    }
}
