//! The company's own endpoint says who a token is of.
//!
//! It is asked `POST {"token": "…"}`, and answers 200 with `{"userId": "…"}`, or 401 or 403.
//! Everything else, lateness included, counts as being away: the client is sent away in a way that
//! it comes back from.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use herald_core::UserId;
use herald_service::config::Secret;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::Full;
use lru::LruCache;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    AuthError, Denied, Identity,
    fetch::{Answer, HttpClient},
};
use crate::{expiry::now_ms, figures};

/// Largest answer.
const MAX_BYTES: usize = 16 << 10;

/// Answers that are remembered.
const CACHED: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// Longest time for which one is, whatever it says.
const LONGEST: Duration = Duration::from_secs(3600);

/// Between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// How the endpoint is asked.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// The endpoint.
    pub url: Uri,
    /// What it knows us by: sent as `authorization: Bearer …`.
    pub secret: Option<Secret>,
    /// The longest that a client waits for an answer, for its turn included.
    pub deadline: Duration,
    /// Questions under way at a time.
    pub concurrency: usize,
}

/// Asks, and remembers answers that may be.
#[derive(Debug)]
pub(super) struct Webhook {
    options: WebhookOptions,
    client: HttpClient,
    turns: Semaphore,
    cache: Mutex<LruCache<TokenHash, Remembered>>,
    warned: Mutex<Option<Instant>>,
}

/// Tokens themselves are not kept.
type TokenHash = [u8; 32];

#[derive(Debug, Clone)]
struct Remembered {
    verdict: Result<Identity, AuthError>,
    until: Instant,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    user_id: String,
    /// Seconds until the session has to end or bring a new token.
    expires_in: Option<f64>,
}

impl Webhook {
    pub(super) fn new(options: &WebhookOptions) -> Self {
        Self {
            client: HttpClient::new(),
            turns: Semaphore::new(options.concurrency),
            cache: Mutex::new(LruCache::new(CACHED)),
            warned: Mutex::default(),
            options: options.clone(),
        }
    }

    /// Who the token is of. `remembered`: an answer that was given before will do.
    pub(super) async fn authenticate(
        &self,
        token: &str,
        remembered: bool,
    ) -> Result<Identity, Denied> {
        let hash = Sha256::digest(token).into();
        if remembered && let Some(verdict) = self.recall(&hash) {
            figures::webhook("cached").increment(1);
            return Ok(verdict?);
        }
        let asked = async {
            let Ok(_turn) = self.turns.acquire().await else {
                return Err("it is not asked any more".to_owned());
            };
            let answer = self.client.ask(self.question(token), self.options.deadline, MAX_BYTES);
            let answer = answer.await.map_err(|error| error.to_string())?;
            Ok((verdict(&answer)?, answer.headers))
        };
        match timeout(self.options.deadline, asked).await {
            Ok(Ok((verdict, headers))) => {
                let outcome = if verdict.is_ok() { "accepted" } else { "refused" };
                figures::webhook(outcome).increment(1);
                self.remember(hash, &verdict, &headers);
                Ok(verdict?)
            }
            Ok(Err(error)) => Err(self.away(&error)),
            Err(_) => Err(self.away("no answer in time")),
        }
    }

    fn question(&self, token: &str) -> Request<Full<Bytes>> {
        let body = serde_json::json!({ "token": token }).to_string();
        let mut question = Request::new(Full::from(body));
        *question.method_mut() = http::Method::POST;
        *question.uri_mut() = self.options.url.clone();
        let headers = question.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(secret) = &self.options.secret {
            let bearer = HeaderValue::try_from(format!("Bearer {}", secret.expose()));
            let mut bearer = bearer.expect("the options were checked");
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        question
    }

    fn away(&self, error: &str) -> Denied {
        figures::webhook("away").increment(1);
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            tracing::warn!(error, "the webhook does not say who clients are (HERALD_AUTH_WEBHOOK)");
        }
        Denied::Away("webhook_away")
    }

    fn recall(&self, hash: &TokenHash) -> Option<Result<Identity, AuthError>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = cache.get(hash)?;
        if remembered.until > Instant::now() {
            return Some(remembered.verdict.clone());
        }
        cache.pop(hash);
        None
    }

    fn remember(&self, hash: TokenHash, verdict: &Result<Identity, AuthError>, said: &HeaderMap) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mut age) = max_age(said) else {
            cache.pop(&hash);
            return;
        };
        if let Ok(Identity { ends_at_ms: Some(ends), .. }) = verdict {
            age = age.min(Duration::from_millis(ends.saturating_sub(now_ms())));
        }
        let until = Instant::now() + age;
        cache.put(hash, Remembered { verdict: verdict.clone(), until });
    }
}

/// What an answer says; the error is why it says nothing.
fn verdict(answer: &Answer) -> Result<Result<Identity, AuthError>, String> {
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(Err(AuthError::Refused)),
        StatusCode::OK => {
            let accepted: Accepted = serde_json::from_slice(&answer.body)
                .map_err(|_| "its answer is no JSON with a text `userId`")?;
            let user = match UserId::new(&accepted.user_id) {
                Ok(user) => user,
                Err(error) => return Ok(Err(AuthError::User(error))),
            };
            let ends_at_ms = match accepted.expires_in {
                None => None,
                Some(seconds) if seconds >= 0.0 => {
                    Some(now_ms().saturating_add((seconds * 1000.0) as u64))
                }
                Some(_) => return Ok(Err(AuthError::Expired)),
            };
            Ok(Ok(Identity { user, ends_at_ms, issued_at_ms: Some(now_ms()) }))
        }
        status => Err(format!("it answers {status}")),
    }
}

/// How long an answer may be used again; `None` if it may not.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut age = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        for directive in value.to_str().ok()?.split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return None,
                "max-age" => {
                    let seconds = value.trim().trim_matches('"').parse().ok()?;
                    age = Some(Duration::from_secs(seconds).min(LONGEST));
                }
                _ => {}
            }
        }
    }
    age.filter(|age| !age.is_zero())
}
