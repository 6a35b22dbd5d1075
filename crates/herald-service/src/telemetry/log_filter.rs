//! What is logged, changed while the process runs.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::{EnvFilter, Registry, reload};

use super::options::parse_filter;

/// The filter of the log. Clones are the same filter.
#[derive(Clone)]
pub struct LogFilter(Arc<Inner>);

struct Inner {
    directive: Mutex<String>,
    handle: reload::Handle<EnvFilter, Registry>,
}

impl fmt::Debug for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFilter").field(&self.directive()).finish()
    }
}

impl LogFilter {
    pub(super) fn new(directive: String, handle: reload::Handle<EnvFilter, Registry>) -> Self {
        Self(Arc::new(Inner { directive: Mutex::new(directive), handle }))
    }

    /// The directive in force.
    #[must_use]
    pub fn directive(&self) -> String {
        self.0.directive.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another directive in force, until the process ends.
    ///
    /// # Errors
    /// When it is none, with what is wrong; the one in force stays.
    pub fn set(&self, directive: &str) -> Result<(), String> {
        let filter = parse_filter(directive).map_err(|error| error.to_string())?;
        let mut current = self.0.directive.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.handle.reload(filter).map_err(|error| error.to_string())?;
        directive.clone_into(&mut current);
        Ok(())
    }
}
