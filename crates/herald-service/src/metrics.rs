//! Figures for Prometheus. All that Herald exports is listed in docs/metrics.md.

use std::sync::OnceLock;

use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

use crate::program::Program;

/// Seconds: from a hop inside the process to a catch-up after an outage.
const SECONDS: [f64; 15] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
];

/// Everything else (bytes, counts): powers of four.
const COUNTS: [f64; 11] =
    [1.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0];

const BUILD_INFO: &str = "herald_build_info";

/// The recorder behind the `metrics` macros, which is one for the process: the facade allows no
/// other. Several services in one process share it and tell their figures apart by a label.
#[derive(Clone)]
pub struct MetricsHandle {
    recorder: PrometheusHandle,
    /// What the system says of the process.
    process: Collector,
}

/// Another recorder was installed by somebody else. Not retryable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process already has a metrics recorder that is not ours")]
pub struct ForeignRecorder;

impl MetricsHandle {
    /// Installs the recorder, or gives the one that was installed before.
    ///
    /// Histograms whose name ends in `_seconds` get latency buckets, others powers of four.
    pub fn install() -> Result<Self, ForeignRecorder> {
        // The facade's recorder is global, so the handle to it has to be found again.
        static INSTALLED: OnceLock<Result<MetricsHandle, ForeignRecorder>> = OnceLock::new();
        INSTALLED
            .get_or_init(|| {
                let recorder = builder().build_recorder();
                let handle = Self { recorder: recorder.handle(), process: Collector::default() };
                if !cfg!(feature = "bare") {
                    metrics::set_global_recorder(recorder).map_err(|_| ForeignRecorder)?;
                }
                handle.process.describe();
                Ok(handle)
            })
            .clone()
    }

    /// Says which program this is.
    pub(crate) fn built(&self, program: &Program) {
        describe_gauge!(BUILD_INFO, "1, for the labels: which program runs, of which version");
        gauge!(BUILD_INFO, "service" => program.name, "version" => program.version).set(1.0);
    }

    /// All figures in Prometheus' text format, those of the process as they are now.
    pub fn render(&self) -> String {
        self.process.collect();
        self.recorder.render()
    }

    /// Folds histogram samples into their buckets, which bounds the memory between two scrapes.
    /// The admin port does it every few seconds.
    pub fn upkeep(&self) {
        self.recorder.run_upkeep();
    }
}

impl std::fmt::Debug for MetricsHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsHandle").finish_non_exhaustive()
    }
}

fn builder() -> PrometheusBuilder {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)
        .and_then(|builder| builder.set_buckets(&COUNTS))
        .expect("the lists of buckets are not empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_twice_gives_the_same_recorder() {
        let first = MetricsHandle::install().unwrap();
        metrics::counter!("herald_test_installs_total", "gateway" => "a").increment(1);
        let second = MetricsHandle::install().unwrap();
        metrics::counter!("herald_test_installs_total", "gateway" => "b").increment(2);
        for handle in [first, second] {
            let text = handle.render();
            assert!(text.contains("herald_test_installs_total{gateway=\"a\"} 1"), "{text}");
            assert!(text.contains("herald_test_installs_total{gateway=\"b\"} 2"), "{text}");
        }
    }

    #[test]
    fn latencies_and_sizes_are_histograms_with_fitting_buckets() {
        let handle = MetricsHandle::install().unwrap();
        metrics::histogram!("herald_test_wait_seconds").record(0.003);
        metrics::histogram!("herald_test_payload_bytes").record(300.0);
        handle.upkeep();
        let text = handle.render();
        assert!(text.contains("herald_test_wait_seconds_bucket{le=\"0.005\"} 1"), "{text}");
        assert!(text.contains("herald_test_payload_bytes_bucket{le=\"1024\"} 1"), "{text}");
    }

    #[test]
    fn the_process_says_what_it_takes() {
        let text = MetricsHandle::install().unwrap().render();
        let line = text.lines().find(|line| line.starts_with("process_resident_memory_bytes "));
        let bytes: f64 = line.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        assert!(bytes > 100_000.0, "{text}");
    }
}
