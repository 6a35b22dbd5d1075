//! Logs, and traces where a collector is configured.

mod log_filter;
mod options;
mod sampling;
mod traceparent;

use std::{io::IsTerminal, time::Duration};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    Layer,
    filter::{FilterExt as _, FilterFn, LevelFilter},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

use self::sampling::Sampler;
pub use herald_backplane::{SPANS, UNTRACED, is_traced};
pub use log_filter::LogFilter;
pub use options::{LogFormat, TelemetryOptions};
pub use traceparent::{TraceContext, current_traceparent, link};

/// Keeps the exporter until the end of the process; [`flush`](Self::flush) it there.
#[must_use = "without it the last spans are lost"]
#[derive(Debug)]
pub struct TelemetryGuard {
    provider: Option<SdkTracerProvider>,
    log: Option<LogFilter>,
}

/// Telemetry that cannot be set up. Not retryable: it is the configuration.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter directive is not valid.
    #[error("the log filter {directive:?} is not valid")]
    Filter {
        /// The directive as given.
        directive: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The exporter cannot be built.
    #[error("cannot export traces to {endpoint}")]
    Exporter {
        /// The collector's address.
        endpoint: String,
        /// What is wrong.
        source: ExporterBuildError,
    },
}

/// Sets up logs on standard error, and traces when there is an endpoint. Call it inside the
/// runtime that the process runs in.
///
/// The subscriber is one for the process, because `tracing` allows no other: where one is
/// installed already (by a test, or by an earlier call) it stays, and the guard does nothing.
pub fn init(options: &TelemetryOptions) -> Result<TelemetryGuard, TelemetryError> {
    let filter = options::parse_filter(&options.filter)
        .map_err(|source| TelemetryError::Filter { directive: options.filter.clone(), source })?;
    let sampler = Sampler::configured();
    let provider = options.otlp_endpoint.as_deref();
    let provider = provider.map(|endpoint| provider_to(endpoint, options, sampler.clone()));
    let provider = provider.transpose()?;
    let (filter, handle) = reload::Layer::new(filter);
    // The log's filter is the log's alone: `HERALD_LOG=error` must not cut traces.
    let log = log_layer(options.format).with_filter(filter.and(logged()));
    // No `Option` of a layer: `None` counts as one that wants everything, and each span of each
    // library, down to those of every HTTP/2 frame, would be made for nobody.
    let mut layers = vec![log.boxed()];
    if let Some(provider) = &provider {
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("herald"));
        layers.push(traces.with_filter(exported()).boxed());
    }
    let installed = tracing_subscriber::registry().with(layers).try_init().is_ok();
    let log = installed.then(|| LogFilter::new(options.filter.clone(), handle));
    let provider = provider.filter(|_| installed);
    if provider.is_some() {
        sampler.install();
    }
    Ok(TelemetryGuard { provider, log })
}

impl TelemetryGuard {
    /// What is logged, to be changed; absent where another subscriber decides it.
    #[must_use]
    pub fn log_filter(&self) -> Option<LogFilter> {
        self.log.clone()
    }

    /// Sends what has not been sent, for at most `deadline`. Blocks: call it on a thread that may,
    /// while the runtime is still there. Failing is logged, since nothing else can be done.
    pub fn flush(self, deadline: Duration) {
        let Some(provider) = self.provider else {
            return;
        };
        if let Err(error) = provider.shutdown_with_timeout(deadline) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

fn log_layer<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Human => layer.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    }
}

/// Nothing that holds what clients say, whatever the directive: at `trace` the WebSocket library
/// dumps every frame, and with it tokens and notices. Nor what is for export alone.
fn logged() -> FilterFn {
    fn is_logged(metadata: &Metadata<'_>) -> bool {
        let websocket = ["tungstenite", "tokio_tungstenite"];
        let dumps = *metadata.level() == Level::TRACE
            && websocket.iter().any(|library| metadata.target().starts_with(library));
        !dumps && metadata.target() != SPANS
    }
    // With a hint, so that the directive's own level counts.
    FilterFn::new(is_logged as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::TRACE)
}

/// Our own spans and events, of calls those that are traced. Those of the exporter's HTTP/2 would
/// feed on themselves.
fn exported() -> FilterFn {
    fn is_exported(metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("herald")
            && *metadata.level() <= Level::INFO
            && metadata.fields().field(UNTRACED).is_none()
    }
    FilterFn::new(is_exported as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::INFO)
}

fn provider_to(
    endpoint: &str,
    options: &TelemetryOptions,
    sampler: Sampler,
) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|source| TelemetryError::Exporter { endpoint: endpoint.to_owned(), source })?;
    // The batch queue is bounded (2,048 spans); what does not fit is dropped by the SDK.
    let resource = Resource::builder().with_service_name(options.service_name.clone()).build();
    Ok(SdkTracerProvider::builder()
        .with_sampler(sampler)
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(endpoint: Option<&str>) -> TelemetryOptions {
        TelemetryOptions {
            otlp_endpoint: endpoint.map(str::to_owned),
            ..TelemetryOptions::for_service("herald-test")
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn setting_up_twice_is_harmless_and_flushing_ends_in_time() {
        let first = init(&options(None)).unwrap();
        // A collector that is not there, and a subscriber that is there already.
        let second = init(&options(Some("http://127.0.0.1:1"))).unwrap();
        tokio::task::spawn_blocking(move || {
            first.flush(Duration::from_secs(1));
            second.flush(Duration::from_secs(1));
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn what_is_not_logged_is_not_made() {
        let _guard = init(&options(None)).unwrap();
        assert!(tracing::enabled!(Level::WARN));
        assert!(!tracing::enabled!(Level::TRACE));
        assert!(tracing::trace_span!(target: "h2", "frame").is_none());
        assert!(tracing::info_span!(target: SPANS, "exported").is_none());
    }

    #[test]
    fn a_bad_filter_is_named() {
        let options = TelemetryOptions { filter: "herald=loud".into(), ..options(None) };
        let error = init(&options).unwrap_err();
        assert!(error.to_string().contains("herald=loud"), "{error}");
    }
}
