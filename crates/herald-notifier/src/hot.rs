//! A notifier without its sockets: for the benches, and nothing to build on.

use bytes::Bytes;
use herald_backplane::{Backplane, ReceiptEvents};
use herald_proto::api::SendNoticeRequest;
use herald_service::Shutdown;
use prost::Message as _;

use crate::{
    admission::Admission,
    call::{Call, Context, Protocol, Rpc},
    callers::Callers,
    config::Options,
    metrics::Metrics,
    receipts::Hub,
    send,
    validate::Limits,
};

/// What answers calls.
#[derive(Debug)]
pub struct Desk {
    context: Context,
    admission: Admission,
    callers: Callers,
    /// Receipts are heard for as long as this is there.
    _reports: ReceiptEvents,
}

impl Desk {
    /// One with ordinary limits, for any caller.
    #[must_use]
    pub fn new(backplane: &Backplane) -> Self {
        let (options, metrics) = (Options::default(), Metrics::new());
        let (hub, reports) = Hub::open(
            backplane.notifier(),
            options.max_waits,
            Shutdown::new(),
            options.drain_deadline,
            metrics.clone(),
        );
        let limits = Limits::of(&options);
        let call_deadline = options.call_deadline;
        Self {
            admission: Admission::new(options.max_calls, metrics.clone()),
            callers: Callers::new(None, None, metrics.clone()),
            context: Context { port: backplane.notifier(), hub, metrics, limits, call_deadline },
            _reports: reports,
        }
    }

    /// Serves SendNotice, from the bytes of the request to those of the answer: what is done between
    /// tonic and the backplane. `None` if it is refused.
    pub async fn send(&self, request: Bytes) -> Option<Vec<u8>> {
        let admitted = self.admission.let_in(Protocol::Grpc, &self.callers, None, None).ok()?;
        let (rpc, protocol) = (Rpc::SendNotice, Protocol::Grpc);
        let call = Call::begin(&self.context, rpc, protocol, None, None, Some(admitted));
        let request = SendNoticeRequest::decode(request).ok()?;
        let response = call.run(send::send_notice(&self.context, &call, request)).await.ok()?;
        Some(response.encode_to_vec())
    }
}
