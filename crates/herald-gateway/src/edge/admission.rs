//! Whether new clients are let in.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
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
    /// Its channel carries nothing, so notices would come late.
    Deaf = 1 << 4,
    /// As many clients are being connected as may be at a time.
    Overloaded = 1 << 2,
    /// Handshakes come faster than [`HandshakeRate`] allows.
    TooFast = 1 << 3,
}

impl Refusal {
    /// All of them, to declare their figures.
    pub(super) const ALL: [Self; 5] =
        [Self::BackplaneAway, Self::Draining, Self::Deaf, Self::Overloaded, Self::TooFast];

    /// The refusals that stay until taken back, the most telling first.
    const LASTING: [Self; 3] = [Self::Draining, Self::BackplaneAway, Self::Deaf];

    /// The refusal as a metric label, and as the body of the answer.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BackplaneAway => "backplane_away",
            Self::Draining => "draining",
            Self::Deaf => "deaf",
            Self::Overloaded => "overloaded",
            Self::TooFast => "too_fast",
        }
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

impl HandshakeRate {
    /// At most so many in any one second, a tenth of them at once.
    #[must_use]
    pub const fn at_most(in_a_second: u32) -> Self {
        let burst = if in_a_second < 20 { 1 } else { in_a_second / 10 };
        // The burst, and what follows in the rest of that second.
        Self { per_second: in_a_second.saturating_sub(burst) + 1, burst }
    }
}

/// How many new clients a gateway takes. The rest is answered 503 at once: a queue would only make
/// everybody late, and who is connected already comes first.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionOptions {
    /// Handshakes.
    pub rate: HandshakeRate,
    /// Clients between their namespace's CONNECT and `herald:ready`, at a time.
    pub connecting: usize,
}

impl Default for AdmissionOptions {
    fn default() -> Self {
        Self { rate: HandshakeRate::at_most(500), connecting: 1_000 }
    }
}

/// The door for new clients; who is inside is not concerned. Clones are the same door.
///
/// A refusal is in force from [`refuse`](Self::refuse) until [`allow`](Self::allow) takes the
/// same one back. Handshakes refused are counted by reason.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: AdmissionOptions,
    refusals: AtomicU8,
    connecting: AtomicUsize,
    bucket: Mutex<Bucket>,
    outside: Mutex<Outside>,
}

/// A client that is being connected, until this is dropped.
#[derive(Debug)]
pub struct Connecting(Arc<Inner>);

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.connecting.fetch_sub(1, Ordering::AcqRel);
        figures::connecting().decrement(1.0);
    }
}

impl Admission {
    /// An open door.
    #[must_use]
    pub fn new(options: AdmissionOptions) -> Self {
        let now = Instant::now();
        Self(Arc::new(Inner {
            options,
            refusals: AtomicU8::new(0),
            connecting: AtomicUsize::new(0),
            bucket: Mutex::new(Bucket::new(options.rate, now)),
            outside: Mutex::new(Outside::new(options.rate, now)),
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

    /// Why new clients are turned away whatever their number, if they are.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        let refusals = self.0.refusals.load(Ordering::Acquire);
        Refusal::LASTING.into_iter().find(|refusal| refusals & *refusal as u8 != 0)
    }

    /// A client is being connected from now on.
    pub(crate) fn connecting(&self) -> Connecting {
        self.0.connecting.fetch_add(1, Ordering::AcqRel);
        figures::connecting().increment(1.0);
        Connecting(Arc::clone(&self.0))
    }

    /// Whether a proxy may have taken new clients from here to another gateway: they are turned
    /// away, or were a moment ago.
    pub(super) fn sends_elsewhere(&self) -> bool {
        self.refusal().is_some() || lock(&self.0.outside).is_recent(Instant::now())
    }

    /// Lets one client in, or gives the answer that it is turned away with.
    pub(super) fn turn_away(&self) -> Option<Response> {
        let now = Instant::now();
        match self.decide(now) {
            Ok(()) => {
                figures::handshakes().increment(1);
                None
            }
            Err(refusal) => {
                figures::handshakes_refused(refusal).increment(1);
                Some(answer(refusal, lock(&self.0.outside).add(now)))
            }
        }
    }

    fn decide(&self, now: Instant) -> Result<(), Refusal> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        if self.0.connecting.load(Ordering::Acquire) >= self.0.options.connecting {
            return Err(Refusal::Overloaded);
        }
        if lock(&self.0.bucket).take(now) { Ok(()) } else { Err(Refusal::TooFast) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The longest pause that a client is asked for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// 503 with `Retry-After`: the stock clients try again after it, as they do not after a
/// connect_error. The pause is spread over twice the time that those `ahead` take, and over three
/// seconds at least, so that those who were refused at once do not come back at once.
fn answer(refusal: Refusal, ahead: Duration) -> Response {
    let longest = (ahead * 2).clamp(Duration::from_secs(3), LONGEST_PAUSE).as_secs();
    let seconds = rand::rng().random_range(1..=longest);
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(RETRY_AFTER, seconds.to_string())],
        Body::from(refusal.as_str()),
    )
        .into_response()
}

/// For so long after a client was turned away, sessions that are unknown here may well be at
/// another gateway.
const ELSEWHERE: Duration = Duration::from_secs(60);

/// About how many clients wait outside: who is turned away comes to them, and they leave as fast as
/// handshakes are let in.
#[derive(Debug)]
struct Outside {
    per_second: f64,
    waiting: f64,
    since: Instant,
    last: Option<Instant>,
}

impl Outside {
    fn new(rate: HandshakeRate, now: Instant) -> Self {
        Self { per_second: f64::from(rate.per_second.max(1)), waiting: 0.0, since: now, last: None }
    }

    /// One more: how long those before it take.
    fn add(&mut self, now: Instant) -> Duration {
        let gone = now.saturating_duration_since(self.since).as_secs_f64() * self.per_second;
        let ahead = (self.waiting - gone).max(0.0);
        (self.waiting, self.since, self.last) = (ahead + 1.0, now, Some(now));
        Duration::from_secs_f64(ahead / self.per_second)
    }

    fn is_recent(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < ELSEWHERE)
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

    fn door(connecting: usize) -> Admission {
        Admission::new(AdmissionOptions { connecting, ..AdmissionOptions::default() })
    }

    fn refused(door: &Admission) -> Option<Refusal> {
        door.decide(Instant::now()).err()
    }

    #[test]
    fn a_refusal_stays_until_the_same_one_is_taken_back() {
        let door = door(1);
        assert_eq!(refused(&door), None);
        door.refuse(Refusal::BackplaneAway);
        door.refuse(Refusal::Draining);
        let same_door = door.clone();
        same_door.allow(Refusal::Draining);
        assert_eq!(refused(&door), Some(Refusal::BackplaneAway));
        door.allow(Refusal::BackplaneAway);
        assert_eq!(refused(&door), None);
    }

    #[test]
    fn so_many_are_connected_at_a_time() {
        let door = door(2);
        let first = door.connecting();
        assert_eq!(refused(&door), None);
        let _second = door.connecting();
        assert_eq!(refused(&door), Some(Refusal::Overloaded));
        drop(first);
        assert_eq!(refused(&door), None);
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
    fn no_second_has_more_than_at_most() {
        let start = Instant::now() + Duration::from_secs(3600);
        for most in [1, 2, 19, 20, 500, 10_000] {
            let mut bucket = Bucket::new(HandshakeRate::at_most(most), start);
            let moments = (0..3_000).map(|ms| start + Duration::from_millis(ms));
            let taken: Vec<_> = moments
                .flat_map(|at| {
                    let count = (0..most).take_while(|_| bucket.take(at)).count();
                    std::iter::repeat_n(at, count)
                })
                .collect();
            for (nth, from) in taken.iter().enumerate() {
                let end = *from + Duration::from_secs(1);
                let within = taken.partition_point(|at| *at < end) - nth;
                assert!(within <= most as usize, "{within} of {most}");
            }
            // Four fifths of what three seconds could have.
            assert!(taken.len() * 10 >= most as usize * 3 * 8, "{} of {most}", taken.len());
        }
    }

    #[test]
    fn who_waits_outside_grows_by_each_and_shrinks_by_the_rate() {
        let start = Instant::now();
        let mut outside = Outside::new(HandshakeRate { per_second: 10, burst: 1 }, start);
        for nth in 0..50 {
            assert_eq!(outside.add(start), Duration::from_secs(1) * nth / 10);
        }
        assert_eq!(outside.add(start + Duration::from_secs(3)), Duration::from_secs(2));
        let later = start + Duration::from_secs(30);
        assert_eq!(outside.add(later), Duration::ZERO);
        assert!(outside.is_recent(later) && !outside.is_recent(later + ELSEWHERE));
    }

    #[test]
    fn the_pause_is_spread_over_the_more_the_more_wait() {
        for (ahead, longest) in [(0, 3), (1, 3), (5, 10), (1_000, 30)] {
            let pauses: Vec<u64> = (0..500)
                .map(|_| {
                    let response = answer(Refusal::TooFast, Duration::from_secs(ahead));
                    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
                    response.headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap()
                })
                .collect();
            assert_eq!(pauses.iter().min(), Some(&1));
            assert_eq!(pauses.iter().max(), Some(&longest));
        }
    }
}
