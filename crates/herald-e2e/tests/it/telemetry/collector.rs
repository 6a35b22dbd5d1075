//! An OpenTelemetry collector that keeps all spans.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// A span, and the service that made it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) service: String,
    pub(super) span: Span,
}

/// The collector. It ends when this is dropped.
pub(super) struct Collector {
    pub(super) url: String,
    spans: Spans,
    _serving: JoinSet<()>,
}

#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Seen>>>);

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let spans = Spans::default();
        let service = TraceServiceServer::new(spans.clone());
        let server =
            Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener));
        let mut serving = JoinSet::new();
        serving.spawn(async move { server.await.unwrap() });
        Self { url, spans, _serving: serving }
    }

    /// All spans of a trace so far.
    pub(super) fn trace(&self, id: &[u8]) -> Vec<Seen> {
        let spans = self.spans.0.lock().unwrap();
        spans.iter().filter(|seen| seen.span.trace_id == id).cloned().collect()
    }

    /// Spans of this name, whatever their trace.
    pub(super) fn named(&self, name: &str) -> Vec<Seen> {
        let spans = self.spans.0.lock().unwrap();
        spans.iter().filter(|seen| seen.span.name == name).cloned().collect()
    }

    /// All of it as text.
    pub(super) fn text(&self) -> String {
        format!("{:?}", self.spans.0.lock().unwrap())
    }
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let of = resource.resource.unwrap_or_default();
            let service = attributes(&of.attributes).remove("service.name").unwrap_or_default();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let seen = spans.map(|span| Seen { service: service.clone(), span });
            self.0.lock().unwrap().extend(seen);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Seen {
    /// An attribute as text.
    pub(super) fn attribute(&self, key: &str) -> Option<String> {
        attributes(&self.span.attributes).remove(key)
    }
}

fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &KeyValue| {
        let value = value.value.as_ref().and_then(|value| value.value.as_ref());
        match value {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::IntValue(number)) => number.to_string(),
            Some(Value::BoolValue(value)) => value.to_string(),
            other => format!("{other:?}"),
        }
    };
    all.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}
