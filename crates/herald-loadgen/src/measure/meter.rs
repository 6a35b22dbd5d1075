//! Counting what arrives.

use std::{
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

/// Begins a stamp: the run's phase, and when the notice was due in microseconds.
const STAMP: &str = "\"stamp\":[";

/// Microseconds of the system's monotonic clock.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000
        + u64::try_from(now.tv_nsec).unwrap_or(0) / 1000
}

/// An empty histogram of microseconds up to ten minutes; what is above counts as ten minutes.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(600_000_000, 3).expect("the bounds are valid")
}

/// A payload with a stamp, filled up to `size` bytes.
pub(super) fn payload(phase: u64, due: u64, size: usize) -> String {
    let mut payload = String::with_capacity(size.max(64));
    write!(payload, "{{{STAMP}{phase},{due}],\"fill\":\"")
        .expect("writing to a string never fails");
    let fill = size.saturating_sub(payload.len() + 2);
    payload.extend(std::iter::repeat_n('x', fill));
    payload.push_str("\"}");
    payload
}

/// The phase and time of a text's stamp.
fn stamp(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.split_once(STAMP)?;
    let (stamp, _) = rest.split_once(']')?;
    let (phase, due) = stamp.split_once(',')?;
    Some((phase.trim().parse().ok()?, due.trim().parse().ok()?))
}

/// What all clients of a swarm have received.
#[derive(Debug)]
pub(super) struct Meter {
    arrived: AtomicU64,
    ended: AtomicU64,
    /// The phase whose latency is recorded.
    phase: AtomicU64,
    latency: Mutex<Histogram<u64>>,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            arrived: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            phase: AtomicU64::new(0),
            latency: Mutex::new(histogram()),
        }
    }

    /// Takes in a text; false when it is no notice.
    pub(super) fn take(&self, text: &str) -> bool {
        let Some((phase, due)) = stamp(text) else { return false };
        self.arrived.fetch_add(1, Ordering::Relaxed);
        let now = now();
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        if phase == self.phase.load(Ordering::Relaxed) {
            latency.saturating_record(now.saturating_sub(due));
        }
        true
    }

    pub(super) fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn arrivals(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    pub(super) fn ends(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Records the latency of a new phase, and no longer that of the one before: its number.
    pub(super) fn next_phase(&self) -> u64 {
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        latency.reset();
        self.phase.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn latency(&self) -> Histogram<u64> {
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_the_size_asked_for_and_its_stamp_is_found_anywhere() {
        let payload = payload(3, 12_345, 200);
        assert_eq!(payload.len(), 200);
        assert!(serde_json::from_str::<serde_json::Value>(&payload).is_ok());
        assert_eq!(
            stamp(&format!(r#"42/notice,["notice",{payload},{{"id":"1"}}]"#)),
            Some((3, 12_345))
        );
        assert_eq!(stamp(r#"42/notice,["herald:ready",{"session":"s"}]"#), None);
        assert_eq!(stamp(r#"{"stamp":[1"#), None);
    }

    #[test]
    fn only_the_phase_at_hand_is_in_the_latency_and_all_are_counted() {
        let meter = Meter::new();
        let first = meter.next_phase();
        assert!(meter.take(&payload(first, now(), 0)));
        let second = meter.next_phase();
        assert!(meter.take(&payload(first, 0, 0)));
        assert!(meter.take(&payload(second, now().saturating_sub(5_000), 0)));
        assert!(!meter.take("2"));
        assert_eq!((meter.arrivals(), meter.latency().len()), (3, 1));
        assert!((5_000..1_000_000).contains(&meter.latency().max()));
    }
}
