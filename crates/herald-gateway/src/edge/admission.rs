//! Whether new clients are let in.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::RETRY_AFTER};
use rand::RngExt;

use super::figures;

/// Why new clients are turned away for now. Several may hold at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Refusal {
    /// The backplane is out of reach, so no session can be registered.
    BackplaneAway = 1,
    /// The gateway is leaving.
    Draining = 1 << 1,
    /// The gateway has as much as it can carry.
    Overloaded = 1 << 2,
    /// Handshakes come faster than [`HandshakeRate`] allows.
    TooFast = 1 << 3,
}

impl Refusal {
    /// The refusals that stay until taken back, the most telling first.
    const LASTING: [Self; 3] = [Self::Draining, Self::BackplaneAway, Self::Overloaded];

    /// The refusal as a metric label, and as the body of the answer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BackplaneAway => "backplane_away",
            Self::Draining => "draining",
            Self::Overloaded => "overloaded",
            Self::TooFast => "too_fast",
        }
    }

    /// 503 with `Retry-After`: the stock clients try again after it, as they do not after a
    /// connect_error. The pause is spread, so that those who were refused at once do not come
    /// back at once.
    pub(super) fn response(self) -> Response {
        figures::handshakes_refused(self).increment(1);
        let seconds: u8 = rand::rng().random_range(1..=3);
        (
            StatusCode::SERVICE_UNAVAILABLE,
            [(RETRY_AFTER, seconds.to_string())],
            Body::from(self.as_str()),
        )
            .into_response()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many handshakes are let in: `burst` at once and `per_second` in the long run.
///
/// A polling handshake costs the gateway a session for the connect time-out and the client one
/// request, so connections alone do not bound them.
#[derive(Clone, Copy, Debug)]
pub struct HandshakeRate {
    /// Handshakes a second, in the long run.
    pub per_second: u32,
    /// Handshakes at once after a quiet time.
    pub burst: u32,
}

/// The door for new clients; who is inside is not concerned. Clones are the same door.
///
/// A refusal is in force from [`refuse`](Self::refuse) until [`allow`](Self::allow) takes the
/// same one back. Handshakes refused are counted by reason.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    refusals: AtomicU8,
    bucket: Option<Mutex<Bucket>>,
    refused_at: Mutex<Option<Instant>>,
}

/// For so long after a client was turned away, sessions that are unknown here may well be at
/// another gateway.
const ELSEWHERE: Duration = Duration::from_secs(60);

impl Admission {
    /// An open door, with a limit on the rate of handshakes if one is given.
    #[must_use]
    pub fn new(rate: Option<HandshakeRate>) -> Self {
        Self(Arc::new(Inner {
            refusals: AtomicU8::new(0),
            bucket: rate.map(|rate| Mutex::new(Bucket::new(rate, Instant::now()))),
            refused_at: Mutex::default(),
        }))
    }

    /// Turns new clients away from now on.
    pub fn refuse(&self, refusal: Refusal) {
        self.0.refusals.fetch_or(refusal as u8, Ordering::AcqRel);
    }

    /// Takes one refusal back; others stay in force.
    pub fn allow(&self, refusal: Refusal) {
        self.0.refusals.fetch_and(!(refusal as u8), Ordering::AcqRel);
    }

    /// Why new clients are turned away, if they are; the rate is not considered.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let refusals = self.0.refusals.load(Ordering::Acquire);
        Refusal::LASTING.into_iter().find(|refusal| refusals & *refusal as u8 != 0)
    }

    /// Whether a proxy may have taken new clients from here to another gateway: they are turned
    /// away, or were a moment ago.
    pub(super) fn sends_elsewhere(&self) -> bool {
        let refused_at = *self.0.refused_at.lock().unwrap_or_else(PoisonError::into_inner);
        self.refusal().is_some() || refused_at.is_some_and(|at| at.elapsed() < ELSEWHERE)
    }

    /// Lets one client in, or says why not.
    pub(super) fn admit(&self) -> Result<(), Refusal> {
        let admitted = self.decide();
        if admitted.is_err() {
            let now = Some(Instant::now());
            *self.0.refused_at.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
        admitted
    }

    fn decide(&self) -> Result<(), Refusal> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        match &self.0.bucket {
            Some(bucket) => bucket
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(Instant::now())
                .then_some(())
                .ok_or(Refusal::TooFast),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
struct Bucket {
    /// Time one handshake takes out.
    cost: Duration,
    /// Most time that is saved up.
    depth: Duration,
    /// When the bucket was empty, in effect.
    empty_since: Instant,
}

impl Bucket {
    fn new(rate: HandshakeRate, now: Instant) -> Self {
        let cost = Duration::from_secs(1) / rate.per_second.max(1);
        let depth = cost * rate.burst.max(1);
        Self { cost, depth, empty_since: now.checked_sub(depth).unwrap_or(now) }
    }

    fn take(&mut self, now: Instant) -> bool {
        if let Some(earliest) = now.checked_sub(self.depth) {
            self.empty_since = self.empty_since.max(earliest);
        }
        let next = self.empty_since + self.cost;
        let allowed = next <= now;
        if allowed {
            self.empty_since = next;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stays_until_the_same_one_is_taken_back() {
        let door = Admission::new(None);
        assert_eq!(door.admit(), Ok(()));
        door.refuse(Refusal::BackplaneAway);
        door.refuse(Refusal::Draining);
        let same_door = door.clone();
        same_door.allow(Refusal::Draining);
        assert_eq!(door.admit(), Err(Refusal::BackplaneAway));
        door.allow(Refusal::BackplaneAway);
        assert_eq!(door.admit(), Ok(()));
    }

    #[test]
    fn the_rate_lets_a_burst_in_and_then_its_share() {
        let start = Instant::now() + Duration::from_secs(3600);
        let rate = HandshakeRate { per_second: 10, burst: 5 };
        let mut bucket = Bucket::new(rate, start);
        let admitted = |bucket: &mut Bucket, at| (0..100).filter(|_| bucket.take(at)).count();
        assert_eq!(admitted(&mut bucket, start), 5);
        assert_eq!(admitted(&mut bucket, start + Duration::from_millis(250)), 2);
        assert_eq!(admitted(&mut bucket, start + Duration::from_secs(60)), 5);
    }

    #[test]
    fn the_pause_is_between_one_and_three_seconds() {
        for _ in 0..50 {
            let response = Refusal::Draining.response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            let pause: u8 = response.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap();
            assert!((1..=3).contains(&pause));
        }
    }
}
