//! Figures of a run.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use herald_loadgen::{Notice, Report};
use serde::Deserialize;

/// Measures from just before a notice is sent to its arrival at a session, both in this process.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    epoch: Instant,
    histogram: Arc<Mutex<Histogram<u64>>>,
}

#[derive(Deserialize)]
struct Stamp {
    at: u64,
}

impl Latency {
    pub(crate) fn new(epoch: Instant) -> Self {
        // Microseconds up to ten minutes; what is above counts as ten minutes.
        let histogram = Histogram::new_with_max(600_000_000, 3).expect("the bounds are valid");
        Self { epoch, histogram: Arc::new(Mutex::new(histogram)) }
    }

    /// A payload that says when it was made, filled up to `size` bytes.
    pub(crate) fn payload(&self, number: u64, size: usize) -> String {
        let at = self.epoch.elapsed().as_micros();
        let mut payload = format!(r#"{{"number":{number},"at":{at},"fill":""#);
        let fill = size.saturating_sub(payload.len() + 2);
        payload.extend(std::iter::repeat_n('x', fill));
        payload.push_str("\"}");
        payload
    }

    pub(crate) fn arrived(&self, notice: &Notice) {
        // Somebody else's notices have no stamp.
        let Ok(stamp) = serde_json::from_str::<Stamp>(&notice.payload) else {
            return;
        };
        let now = notice.received.saturating_duration_since(self.epoch).as_micros();
        let took = u64::try_from(now).unwrap_or(u64::MAX).saturating_sub(stamp.at);
        self.histogram.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(took);
    }

    pub(crate) fn histogram(&self) -> Histogram<u64> {
        self.histogram.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) report: Report,
    pub(crate) latency: Histogram<u64>,
    pub(crate) sent: u64,
    pub(crate) failed: u64,
    pub(crate) took: Duration,
    /// How long after the last answer the last notice arrived; `None` if some did not.
    pub(crate) settled: Option<Duration>,
    pub(crate) ended_early: usize,
}

impl Summary {
    /// Whether all was accepted, all arrived as it should and every session held.
    pub(crate) fn is_clean(&self) -> bool {
        self.report.is_clean() && self.failed == 0 && self.ended_early == 0
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.took.as_secs_f64();
        let ms = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1000.0;
        writeln!(
            f,
            "sent       {} in {seconds:.1} s ({:.0} a second), {} not accepted",
            self.sent,
            self.sent as f64 / seconds.max(f64::EPSILON),
            self.failed
        )?;
        writeln!(
            f,
            "latency    p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, max {:.1} ms (sending to arrival)",
            ms(0.5),
            ms(0.9),
            ms(0.99),
            self.latency.max() as f64 / 1000.0
        )?;
        match self.settled {
            Some(time) => {
                writeln!(f, "settled    {:.1} s after the last answer", time.as_secs_f64())?;
            }
            None => writeln!(f, "settled    no")?,
        }
        writeln!(f, "sessions   {} ended early", self.ended_early)?;
        write!(f, "checked    {}", self.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_json_of_the_size_asked_for() {
        let latency = Latency::new(Instant::now());
        let payload = latency.payload(7, 250);
        assert_eq!(payload.len(), 250);
        assert!(serde_json::from_str::<Stamp>(&payload).is_ok());
        assert!(serde_json::from_str::<Stamp>(&latency.payload(7, 0)).is_ok());
    }
}
