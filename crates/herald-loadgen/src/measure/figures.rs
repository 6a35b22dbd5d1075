//! What a run came to.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::meter;

/// A run's figures, whole: those of several processes add up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// How long was measured, in seconds.
    pub seconds: f64,
    /// Notices that arrived in that time.
    pub arrived: u64,
    /// Notices that were accepted, warm-up included.
    pub accepted: u64,
    /// Notices that were not, or not for sure, warm-up included.
    pub failed: u64,
    /// Accepted less arrived after the last answer and a while: below zero if some came twice, or
    /// came although they were not accepted.
    pub missing: i64,
    /// Connections that ended, since the swarm was opened.
    pub ended: u64,
    /// From when a notice was due until it arrived, in microseconds: of all that were due in the
    /// time that was measured.
    #[serde(with = "counts")]
    pub latency: Histogram<u64>,
    /// From when a notice was due until its call began, in microseconds: this side's own part of
    /// the latency, and what a producer that falls behind shows.
    #[serde(with = "counts")]
    pub late: Histogram<u64>,
    /// The first failure.
    pub failure: Option<String>,
    /// Processor time of this process in the time that was measured, in seconds.
    pub own_cpu_seconds: f64,
}

/// A few quantiles of a histogram, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Spread {
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

/// A run's figures in short, as `--json` prints them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in Figures")]
pub struct Summary {
    pub seconds: f64,
    pub arrived: u64,
    pub per_second: f64,
    pub accepted: u64,
    pub failed: u64,
    pub missing: i64,
    pub ended: u64,
    pub latency_us: Spread,
    pub late_us: Spread,
    pub own_cpu_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl From<&Histogram<u64>> for Spread {
    fn from(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() }
    }
}

impl Figures {
    /// Adds those of another process that measured at the same time.
    pub fn add(&mut self, other: &Self) {
        self.seconds = self.seconds.max(other.seconds);
        self.arrived += other.arrived;
        self.accepted += other.accepted;
        self.failed += other.failed;
        self.missing += other.missing;
        self.ended += other.ended;
        self.own_cpu_seconds += other.own_cpu_seconds;
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        self.late.add(&other.late).expect("all histograms have the same bounds");
        self.failure = self.failure.take().or_else(|| other.failure.clone());
    }

    /// In short.
    pub fn summary(&self) -> Summary {
        Summary {
            seconds: self.seconds,
            arrived: self.arrived,
            per_second: self.arrived as f64 / self.seconds.max(f64::EPSILON),
            accepted: self.accepted,
            failed: self.failed,
            missing: self.missing,
            ended: self.ended,
            latency_us: Spread::from(&self.latency),
            late_us: Spread::from(&self.late),
            own_cpu_seconds: self.own_cpu_seconds,
            failure: self.failure.clone(),
        }
    }
}

/// A histogram as pairs of value and count.
mod counts {
    use serde::{Deserializer, Serializer};

    use super::{Deserialize as _, Histogram, meter};

    pub(super) fn serialize<S: Serializer>(
        histogram: &Histogram<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let counts = histogram.iter_recorded();
        serializer.collect_seq(counts.map(|at| (at.value_iterated_to(), at.count_at_value())))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Histogram<u64>, D::Error> {
        let mut histogram = meter::histogram();
        for (value, count) in Vec::<(u64, u64)>::deserialize(deserializer)? {
            histogram.saturating_record_n(value, count);
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(values: &[u64]) -> Figures {
        let mut latency = meter::histogram();
        for value in values {
            latency.record(*value).unwrap();
        }
        Figures {
            seconds: 2.0,
            arrived: values.len() as u64,
            accepted: values.len() as u64,
            failed: 0,
            missing: 0,
            ended: 0,
            latency,
            late: meter::histogram(),
            failure: None,
            own_cpu_seconds: 0.5,
        }
    }

    #[test]
    fn figures_of_two_processes_add_up_over_a_wire_of_json() {
        let wire = serde_json::to_string(&figures(&[100, 100, 90_000])).unwrap();
        let mut all: Figures = serde_json::from_str(&wire).unwrap();
        all.add(&figures(&[300]));
        let summary = all.summary();
        assert_eq!((summary.arrived, summary.per_second), (4, 2.0));
        assert_eq!((summary.latency_us.p50, summary.own_cpu_seconds), (100, 1.0));
        assert!((90_000..91_000).contains(&summary.latency_us.max));
    }
}
