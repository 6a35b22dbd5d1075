//! Keys that are read again when their file changes.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use super::file::{self, ApiKeys, Keys};
use crate::metrics;

/// How often the file is looked at: also how long a key that was taken out may still work.
const EVERY: Duration = Duration::from_secs(1);

/// The keys as last read. A file that is wrong leaves them as they are.
#[derive(Debug, Clone)]
pub(crate) struct Watched(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    first: String,
    keys: RwLock<Arc<Keys>>,
}

impl Watched {
    pub(super) fn new(read: &ApiKeys) -> Self {
        metrics::api_keys(read.keys.len());
        Self(Arc::new(Inner {
            path: read.path.clone(),
            first: read.text.clone(),
            keys: RwLock::new(Arc::clone(&read.keys)),
        }))
    }

    pub(super) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.0.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) async fn keep_fresh(self) {
        let mut last = Ok(self.0.first.clone());
        loop {
            tokio::time::sleep(EVERY).await;
            let path = self.0.path.clone();
            let Ok(read) = tokio::task::spawn_blocking(move || file::read(&path)).await else {
                return;
            };
            // Also when it cannot be read for the same reason as before.
            if read == last {
                continue;
            }
            last.clone_from(&read);
            match read.and_then(|text| Keys::parse(&text)) {
                Ok(keys) => {
                    metrics::api_keys(keys.len());
                    metrics::api_keys_read("ok");
                    tracing::info!(keys = keys.len(), "the API keys were read anew");
                    *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                }
                Err(error) => {
                    metrics::api_keys_read("failed");
                    tracing::warn!(
                        file = %self.0.path.display(),
                        error,
                        kept = self.keys().len(),
                        "the API keys stay as they are: the file (HERALD_API_KEYS_FILE) is wrong"
                    );
                }
            }
        }
    }
}
