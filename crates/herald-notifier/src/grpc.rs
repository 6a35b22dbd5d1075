//! The gRPC side.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, stream, stream::FuturesUnordered};
use herald_proto::api::{
    self, FILE_DESCRIPTOR_SET, batch_send_notices_result,
    notice_service_server::{NoticeService, NoticeServiceServer},
};
use herald_service::Shutdown;
use prost::Message as _;
use tonic::{
    Request, Response, Status,
    service::interceptor::InterceptedService,
    transport::{Error as TransportError, Server},
};
use tonic_health::server::{HealthReporter, HealthService};

use crate::{
    accept::{self, Door, Peer, accept, secure},
    admission::{Admission, Admitted},
    batch::{self, Done, Item},
    call::{Call, Context, Protocol, Rpc, grpc_timeout},
    callers::Callers,
    config::Options,
    ending, explain, list, presence, send,
};

/// What a message may have beyond the largest batch, so that a batch that is a little too large
/// is refused by its own limit.
const ENVELOPE_BYTES: usize = 64 << 10;

/// Connections that are being secured; further ones wait in the kernel.
const SECURING: usize = 256;

/// Calls on one connection; further ones wait in the client.
const STREAMS_PER_CONNECTION: u32 = 1_024;

/// Largest metadata of a call, in bytes.
const METADATA_BYTES: u32 = 16 << 10;

/// After our own deadline of a call: only a message that does not arrive runs into it.
const LATE: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then until the calls under way have ended.
pub(crate) async fn serve(
    door: Door,
    context: Arc<Context>,
    admission: Admission,
    callers: Callers,
    health: HealthReporter,
    options: &Options,
    shutdown: &Shutdown,
) -> Result<(), TransportError> {
    let largest = context.limits.batch_bytes.saturating_add(ENVELOPE_BYTES);
    let notices = NoticeServiceServer::new(Grpc { context }).max_decoding_message_size(largest);
    let admit = move |mut request: Request<()>| {
        let authorization = request.metadata().get("authorization");
        let authorization = authorization.map(|value| value.as_encoded_bytes());
        let peer = request.extensions().get::<Peer>();
        let admitted = admission.let_in(Protocol::Grpc, &callers, authorization, peer)?;
        request.extensions_mut().insert(admitted);
        Ok(request)
    };
    let health = HealthService::from_health_reporter(health);
    let incoming = incoming(door);
    Server::builder()
        .timeout(options.call_deadline + LATE)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_max_header_list_size(METADATA_BYTES)
        .http2_keepalive_interval(Some(options.keepalive_interval))
        .http2_keepalive_timeout(Some(options.keepalive_timeout))
        .add_service(tonic_health::pb::health_server::HealthServer::new(health))
        .add_service(reflection!(build_v1))
        .add_service(reflection!(build_v1alpha))
        .add_service(InterceptedService::new(notices, admit))
        .serve_with_incoming_shutdown(incoming, shutdown.requested_owned())
        .await
}

/// The connections taken in, each once it is secured; none holds up the others.
fn incoming(Door { listener, tls }: Door) -> impl Stream<Item = std::io::Result<accept::Stream>> {
    stream::unfold((listener, FuturesUnordered::new()), move |(listener, mut securing)| {
        let tls = tls.clone();
        async move {
            loop {
                tokio::select! {
                    stream = accept(&listener), if securing.len() < SECURING => {
                        securing.push(secure(stream, tls.clone()));
                    }
                    Some(secured) = securing.next() => {
                        if let Some(stream) = secured {
                            return Some((Ok(stream), (listener, securing)));
                        }
                    }
                }
            }
        }
    })
}

/// A reflection service; clients know one of two versions of it.
macro_rules! reflection {
    ($build:ident) => {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .$build()
            .expect("the descriptors were compiled in and every test serves them")
    };
}
use reflection;

struct Grpc {
    context: Arc<Context>,
}

impl Grpc {
    /// The call, and its message.
    fn begin<T>(&self, rpc: Rpc, request: Request<T>) -> (Call, T) {
        let (metadata, mut extensions, message) = request.into_parts();
        let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
        let allowed = text("grpc-timeout").and_then(grpc_timeout);
        let admitted = extensions.remove::<Admitted>();
        let traceparent = text("traceparent");
        let call = Call::begin(&self.context, rpc, Protocol::Grpc, allowed, traceparent, admitted);
        (call, message)
    }
}

#[tonic::async_trait]
impl NoticeService for Grpc {
    async fn send_notice(
        &self,
        request: Request<api::SendNoticeRequest>,
    ) -> Result<Response<api::SendNoticeResponse>, Status> {
        let (call, request) = self.begin(Rpc::SendNotice, request);
        let response = call.run(send::send_notice(&self.context, &call, request)).await?;
        Ok(Response::new(response))
    }

    async fn batch_send_notices(
        &self,
        request: Request<api::BatchSendNoticesRequest>,
    ) -> Result<Response<api::BatchSendNoticesResponse>, Status> {
        let (call, request) = self.begin(Rpc::BatchSendNotices, request);
        let bytes = request.encoded_len();
        let items = request.items.into_iter().map(item).collect();
        let done = call.run(batch::send(&self.context, &call, items, bytes)).await?;
        let results = done.into_iter().map(result).collect();
        Ok(Response::new(api::BatchSendNoticesResponse { results }))
    }

    async fn list_notices(
        &self,
        request: Request<api::ListNoticesRequest>,
    ) -> Result<Response<api::ListNoticesResponse>, Status> {
        let (call, request) = self.begin(Rpc::ListNotices, request);
        let response = call.run(list::list_notices(&self.context, &call, request)).await?;
        Ok(Response::new(response))
    }

    async fn explain_notice(
        &self,
        request: Request<api::ExplainNoticeRequest>,
    ) -> Result<Response<api::ExplainNoticeResponse>, Status> {
        let (call, request) = self.begin(Rpc::ExplainNotice, request);
        let response = call.run(explain::explain_notice(&self.context, &call, request)).await?;
        Ok(Response::new(response))
    }

    async fn batch_get_presence(
        &self,
        request: Request<api::BatchGetPresenceRequest>,
    ) -> Result<Response<api::BatchGetPresenceResponse>, Status> {
        let (call, request) = self.begin(Rpc::BatchGetPresence, request);
        let response =
            call.run(presence::batch_get_presence(&self.context, &call, request)).await?;
        Ok(Response::new(response))
    }

    async fn disconnect_user(
        &self,
        request: Request<api::DisconnectUserRequest>,
    ) -> Result<Response<api::DisconnectUserResponse>, Status> {
        let (call, request) = self.begin(Rpc::DisconnectUser, request);
        let response = call.run(ending::disconnect_user(&self.context, &call, request)).await?;
        Ok(Response::new(response))
    }

    async fn purge_user(
        &self,
        request: Request<api::PurgeUserRequest>,
    ) -> Result<Response<api::PurgeUserResponse>, Status> {
        let (call, request) = self.begin(Rpc::PurgeUser, request);
        let response = call.run(ending::purge_user(&self.context, &call, request)).await?;
        Ok(Response::new(response))
    }

    async fn broadcast(
        &self,
        request: Request<api::BroadcastRequest>,
    ) -> Result<Response<api::BroadcastResponse>, Status> {
        let (call, request) = self.begin(Rpc::Broadcast, request);
        let response = call.run(send::broadcast(&self.context, &call, request)).await?;
        Ok(Response::new(response))
    }
}

fn item(item: api::BatchSendNoticesItem) -> Item {
    Item { reference: item.r#ref, notice: Ok(item.notice) }
}

fn result(Done { reference, result }: Done) -> api::BatchSendNoticesResult {
    use batch_send_notices_result::Result as Api;
    let result = match result {
        Ok(response) => Api::Response(response),
        Err(error) => Api::Error(error.to_rpc()),
    };
    api::BatchSendNoticesResult { r#ref: reference, result: Some(result) }
}
