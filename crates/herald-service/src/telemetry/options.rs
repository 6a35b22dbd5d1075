//! What can be set about logs and traces.

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::config::{Reader, Value};

/// Logs and traces of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryOptions {
    /// What is logged: a directive of tracing's `EnvFilter`.
    pub filter: String,
    /// How it is written.
    pub format: LogFormat,
    /// The gRPC address of an OpenTelemetry collector; nothing is exported without.
    pub otlp_endpoint: Option<String>,
    /// The name that traces carry.
    pub service_name: String,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, coloured on a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

impl Value for LogFormat {
    const PLACEHOLDER: &'static str = "human|json";
    const EXPECTED: &'static str = "human or json";
    const EXAMPLE: &'static str = "json";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err("is no log format".into()),
        }
    }
}

impl TelemetryOptions {
    /// The defaults: human logs from `info`, nothing exported.
    pub fn for_service(name: &str) -> Self {
        Self {
            filter: "info".into(),
            format: LogFormat::Human,
            otlp_endpoint: None,
            service_name: name.to_owned(),
        }
    }

    /// Declares and reads them. The `OTEL_` variables are OpenTelemetry's own, hence without
    /// flags; its others (headers, batching, sampling) are read by its SDK as it documents them.
    pub fn read(r: &mut Reader, service: &str) -> Self {
        r.group("Logs and traces");
        let filter = r
            .option("HERALD_LOG", "What is logged: a level, or target=level, comma-separated")
            .example("info,herald_backplane=debug")
            .ensure(|directive: &String| {
                parse_filter(directive).map(drop).map_err(|error| error.to_string())
            })
            .default("info");
        let format = r.option("HERALD_LOG_FORMAT", "How log lines are written").default("human");
        let everything =
            endpoint(r, "OTEL_EXPORTER_OTLP_ENDPOINT", "OpenTelemetry collector (gRPC)");
        let traces = endpoint(
            r,
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OpenTelemetry collector (gRPC) for traces, before the other",
        );
        let service_name = r.option("OTEL_SERVICE_NAME", "Name that traces carry").default(service);
        Self { filter, format, otlp_endpoint: traces.or(everything), service_name }
    }
}

fn endpoint(r: &mut Reader, variable: &'static str, help: &'static str) -> Option<String> {
    r.option(variable, help)
        .example("http://127.0.0.1:4317")
        .unset_means("no export")
        .ensure(|url: &String| match url.strip_prefix("http://") {
            Some(rest) if !rest.is_empty() => Ok(()),
            _ => Err("is not an http:// URL; for TLS put a collector agent in between".into()),
        })
        .optional()
}

pub(super) fn parse_filter(directive: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(directive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Faults, Source};

    fn read(env: &[(&str, &str)]) -> Result<TelemetryOptions, Faults> {
        let mut r = Reader::new(Source::new([""; 0], env.iter().copied()));
        let options = TelemetryOptions::read(&mut r, "herald-test");
        r.finish().map(|_| options)
    }

    #[test]
    fn nothing_is_exported_unless_a_collector_is_named() {
        assert_eq!(read(&[]).unwrap(), TelemetryOptions::for_service("herald-test"));
    }

    #[test]
    fn the_endpoint_for_traces_comes_before_the_one_for_everything() {
        let both = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:4317"),
        ];
        assert_eq!(read(&both).unwrap().otlp_endpoint.unwrap(), "http://b:4317");
        assert_eq!(read(&both[..1]).unwrap().otlp_endpoint.unwrap(), "http://a:4317");
    }

    #[test]
    fn bad_values_are_faults_before_anything_starts() {
        let faults = read(&[
            ("HERALD_LOG", "herald=loud"),
            ("HERALD_LOG_FORMAT", "xml"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ])
        .unwrap_err();
        assert_eq!(faults.iter().count(), 3, "{faults}");
    }
}
