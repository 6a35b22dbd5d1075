//! The keys that an issuer publishes, kept fresh.
//!
//! One task reads them: from time to time, and when a token names a key that is not known. Whoever
//! brings such a token waits for a reading that began after it came, which it shares with all
//! others; between two readings there is a pause, so that no flood of made-up names becomes one of
//! questions. What cannot be read leaves the keys as they are.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use herald_service::Condition;
use http::{Request, StatusCode, Uri, header};
use http_body_util::Full;
use tokio::{
    io::AsyncReadExt as _,
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    fetch::{self, HttpClient},
    keys::KeySet,
};
use crate::figures;

/// Largest JWKS: a key has less than 2 KiB, even with its certificates.
const MAX_BYTES: usize = 256 << 10;

/// For one reading.
const DEADLINE: Duration = Duration::from_secs(4);

/// Between the beginnings of two readings.
const PAUSE: Duration = Duration::from_secs(2);

/// After one that failed, unless the refreshing is quicker.
const RETRY: Duration = Duration::from_secs(10);

/// Between two warnings of the same trouble.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Where an issuer's keys are.
#[derive(Debug, Clone)]
pub struct JwksOptions {
    /// The place.
    pub source: JwksSource,
    /// Time between two readings.
    pub refresh: Duration,
}

/// A place where keys are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// A file, replaced when keys change.
    File(PathBuf),
    /// An HTTP or HTTPS URL.
    Url(Uri),
}

impl JwksSource {
    /// A URL, or else a path.
    ///
    /// # Errors
    /// When it looks like a URL and is none that can be asked.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") {
            fetch::url(text).map(Self::Url)
        } else {
            Ok(Self::File(text.into()))
        }
    }
}

/// The keys as last read.
#[derive(Debug)]
pub(super) struct Jwks {
    options: JwksOptions,
    state: watch::Sender<State>,
    wanted: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// None before the first reading that worked.
    keys: Option<Arc<KeySet>>,
    /// Readings begun and ended.
    begun: u64,
    ended: u64,
    /// Whether the last one that ended worked.
    worked: bool,
}

/// What looking for a key gave.
#[derive(Debug)]
pub(super) enum Found {
    /// The keys, one of which is of that name.
    Keys(Arc<KeySet>),
    /// The issuer has just been asked, and does not know the name.
    Unknown,
    /// The issuer cannot be asked now.
    Away,
}

impl Jwks {
    pub(super) fn new(options: JwksOptions) -> Self {
        Self { options, state: watch::Sender::default(), wanted: Notify::new() }
    }

    /// The keys for a token that names one, or none.
    pub(super) async fn keys_for(&self, kid: Option<&str>) -> Found {
        let mut state = self.state.subscribe();
        let known = |state: &State| {
            let keys = state.keys.as_ref()?;
            kid.is_none_or(|kid| keys.knows(kid)).then(|| Arc::clone(keys))
        };
        let begun = {
            let state = state.borrow_and_update();
            if let Some(keys) = known(&state) {
                return Found::Keys(keys);
            }
            state.begun
        };
        self.wanted.notify_one();
        let answered = state.wait_for(|state| state.ended > begun || known(state).is_some());
        // The pause, the reading under way, and one of our own.
        let Ok(Ok(state)) = timeout(PAUSE + 2 * DEADLINE, answered).await else {
            return Found::Away;
        };
        match known(&state) {
            Some(keys) => Found::Keys(keys),
            None if state.worked => Found::Unknown,
            None => Found::Away,
        }
    }

    /// Reads the keys again and again. `condition` is met once they were read.
    pub(super) async fn keep_fresh(&self, condition: &Condition) {
        figures::jwks();
        let client = matches!(self.options.source, JwksSource::Url(_)).then(HttpClient::new);
        let mut warned: Option<Instant> = None;
        loop {
            let began = Instant::now();
            self.state.send_modify(|state| state.begun += 1);
            let keys = self.read(client.as_ref()).await;
            let mut pause = self.options.refresh;
            match &keys {
                Ok(keys) => {
                    figures::jwks_read(keys.len());
                    condition.set_ready();
                    if warned.take().is_some() {
                        tracing::info!(keys = keys.len(), "the issuer's keys can be read again");
                    }
                }
                Err(error) => {
                    figures::jwks_failed();
                    pause = pause.min(RETRY);
                    let kept = self.state.borrow().keys.as_ref().map_or(0, |keys| keys.len());
                    if kept == 0 {
                        condition.set_not_ready(format!("no keys for clients' tokens: {error}"));
                    }
                    if warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
                        warned = Some(Instant::now());
                        tracing::warn!(
                            error,
                            kept,
                            "the issuer's keys cannot be read (HERALD_JWKS)"
                        );
                    }
                }
            }
            self.state.send_modify(|state| {
                state.ended += 1;
                state.worked = keys.is_ok();
                if let Ok(keys) = keys {
                    state.keys = Some(Arc::new(keys));
                }
            });
            // Whether somebody wants them sooner or not, both end the wait.
            let _ = timeout(pause, self.wanted.notified()).await;
            sleep_until(began + PAUSE).await;
        }
    }

    async fn read(&self, client: Option<&HttpClient>) -> Result<KeySet, String> {
        let bytes = match (&self.options.source, client) {
            (JwksSource::Url(url), Some(client)) => download(client, url).await?,
            (JwksSource::File(path), _) => match timeout(DEADLINE, read_file(path)).await {
                Ok(read) => read?,
                Err(_) => return Err("the file cannot be read in time".into()),
            },
            (JwksSource::Url(_), None) => unreachable!("a URL has a client"),
        };
        KeySet::jwks(&bytes)
    }
}

async fn download(client: &HttpClient, url: &Uri) -> Result<Bytes, String> {
    let question = Request::get(url)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .body(Full::default())
        .map_err(|_| "it cannot be asked")?;
    let answer = client.ask(question, DEADLINE, MAX_BYTES).await;
    let answer = answer.map_err(|error| error.to_string())?;
    match answer.status {
        StatusCode::OK => Ok(answer.body),
        status => Err(format!("it answers {status}")),
    }
}

async fn read_file(path: &PathBuf) -> Result<Bytes, String> {
    let file = tokio::fs::File::open(path).await;
    let file = file.map_err(|error| format!("the file cannot be opened: {error}"))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).await;
    match read.map_err(|error| format!("the file cannot be read: {error}"))? {
        length if length > MAX_BYTES => Err(format!("the file has more than {MAX_BYTES} bytes")),
        _ => Ok(bytes.into()),
    }
}
