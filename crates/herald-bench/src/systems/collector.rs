//! A collector of traces that looks at nothing: only what making and sending spans costs Herald is
//! measured.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// The collector. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) url: String,
    _serving: AbortOnDropHandle<()>,
}

impl Collector {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = Server::builder()
            .add_service(TraceServiceServer::new(Taker))
            .serve_with_incoming(TcpIncoming::from(listener));
        let serving: JoinHandle<()> = tokio::spawn(async move {
            // Should it fail, Herald drops its spans, as it does when a collector is away.
            let _ = server.await;
        });
        Ok(Self { url, _serving: AbortOnDropHandle::new(serving) })
    }
}

struct Taker;

#[tonic::async_trait]
impl TraceService for Taker {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
