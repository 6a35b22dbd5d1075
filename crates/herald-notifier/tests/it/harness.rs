//! A notifier of one's own, and clients of it.

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use herald_backplane::{Backplane, BackplaneOptions, GatewayEvents, GatewayPort, Since};
use herald_core::{Device, GatewayName, Namespace, SessionId, SessionRecord, Transport, UserId};
use herald_notifier::{Notifier, Options, RunError};
use herald_proto::api::{
    SendNoticeRequest, notice_service_client::NoticeServiceClient, send_notice_request::Payload,
};
use herald_service::{Readiness, Shutdown};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// Anything that takes longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A running notifier.
pub(crate) struct Herald {
    pub(crate) backplane: Backplane,
    pub(crate) readiness: Readiness,
    pub(crate) shutdown: Shutdown,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) running: JoinHandle<Result<(), RunError>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The fields at fault.
    pub(crate) fn fields(&self) -> Vec<String> {
        let json = self.json();
        let Some(violations) = json["details"][0]["fieldViolations"].as_array() else {
            return Vec::new();
        };
        violations.iter().map(|violation| violation["field"].as_str().unwrap().into()).collect()
    }
}

impl Herald {
    pub(crate) async fn start() -> Self {
        Self::start_with(Options::default(), &BackplaneOptions::default()).await
    }

    pub(crate) async fn start_with(options: Options, backplane: &BackplaneOptions) -> Self {
        let backplane = Backplane::open(backplane).unwrap();
        let (readiness, shutdown) = (Readiness::new(), Shutdown::new());
        let notifier = Notifier::bind(options, backplane.clone(), &readiness).await.unwrap();
        let (grpc, http) = (notifier.grpc_address(), notifier.http_address());
        let running = tokio::spawn(notifier.run(shutdown.clone()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { backplane, readiness, shutdown, grpc, http, running, client }
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(format!("http://{}", self.grpc)).unwrap();
        endpoint.connect().await.unwrap()
    }

    pub(crate) async fn notices(&self) -> NoticeServiceClient<Channel> {
        NoticeServiceClient::new(self.channel().await)
    }

    pub(crate) async fn request(&self, request: Request<Full<Bytes>>) -> Answer {
        let answer = in_time(self.client.request(request)).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = in_time(body.collect()).await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request(self.build(Method::GET, path, None, "")).await
    }

    /// Posts what is said to be JSON.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.request(self.build(Method::POST, path, Some("application/json"), body)).await
    }

    pub(crate) fn build(
        &self,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Request<Full<Bytes>> {
        let mut request =
            Request::builder().method(method).uri(format!("http://{}{path}", self.http));
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        request.body(Full::new(body.into())).unwrap()
    }

    /// A gateway's lease, without a gateway.
    pub(crate) async fn gateway(&self, name: &str) -> (GatewayPort, GatewayEvents) {
        self.backplane.gateway(&GatewayName::new(name).unwrap()).await.unwrap()
    }

    /// What the inbox keeps, as text.
    pub(crate) async fn inbox(&self, id: &str) -> Vec<String> {
        let page = self.backplane.notifier().read(&user(id), Since::Start, 1_000).await.unwrap();
        let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        page.notices.iter().map(|kept| text(kept.notice.payload.bytes())).collect()
    }
}

impl Drop for Herald {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub(crate) fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

/// Registers a session of `id`.
pub(crate) async fn connect(
    gateway: &GatewayPort,
    name: &str,
    id: &str,
    connected_at_ms: u64,
) -> SessionId {
    let session = SessionRecord {
        id: SessionId::random(),
        gateway: gateway.id(),
        gateway_name: GatewayName::new(name).unwrap(),
        namespace: Namespace::new("/notice").unwrap(),
        socket_id: "socket-1".into(),
        connected_at_ms,
        transport: Transport::Polling,
        user_agent: Some("test/1".into()),
        device: Some(Device::new("laptop").unwrap()),
    };
    gateway.connect(&user(id), &session, Since::Start).await.unwrap();
    session.id
}

pub(crate) fn notice(id: &str, json: impl Into<Bytes>) -> SendNoticeRequest {
    SendNoticeRequest {
        user_id: id.into(),
        payload: Some(Payload::Json(json.into())),
        ..Default::default()
    }
}

pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// Asks again until there is an answer.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    in_time(async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}
