//! The edge of a gateway with handlers that tell what happens.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::Request,
    middleware::{self, Next},
};
use herald_gateway::edge::{self, *};
use socketioxide::{
    SocketIo,
    extract::{Data, SocketRef},
    socket::{DisconnectReason, Sid},
};
use tokio::{net::TcpListener, sync::mpsc};

use super::{eventually, soon};

/// What a handler was called for.
#[derive(Debug)]
pub(crate) enum Event {
    Connected(SocketRef, Transport),
    Said(Sid, serde_json::Value),
    Disconnected(Sid, DisconnectReason),
}

pub(crate) struct TestGateway {
    pub(crate) edge: EdgeHandle,
    pub(crate) transports: Transports,
    pub(crate) admission: Admission,
    /// Keeps the namespaces.
    pub(crate) io: SocketIo,
    events: mpsc::Receiver<Event>,
    requests: Arc<AtomicUsize>,
}

/// Options of a [`TestGateway`].
pub(crate) struct Setup {
    pub(crate) engine: EngineOptions,
    pub(crate) edge: EdgeOptions,
    pub(crate) origins: Origins,
    pub(crate) admission: AdmissionOptions,
    pub(crate) body_timeout: Option<Duration>,
}

impl Default for Setup {
    fn default() -> Self {
        // Tests come faster than clients do.
        let rate = HandshakeRate::at_most(100_000);
        Self {
            engine: EngineOptions::default(),
            edge: EdgeOptions::default(),
            origins: Origins::default(),
            admission: AdmissionOptions { rate, ..AdmissionOptions::default() },
            body_timeout: None,
        }
    }
}

impl TestGateway {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let (service, io) = edge::engine::build(&setup.engine);
        let transports = Transports::new(service.clone(), &setup.engine.path);
        let admission = Admission::new(setup.admission);
        let (told, events) = mpsc::channel(4096);
        for namespace in ["/notice", "/"] {
            let (told, transports) = (told.clone(), transports.clone());
            io.ns(namespace, async move |socket: SocketRef| {
                let tell = told.clone();
                socket.on_disconnect(async move |socket: SocketRef, reason: DisconnectReason| {
                    let _ = tell.try_send(Event::Disconnected(socket.id, reason));
                });
                let tell = told.clone();
                socket.on(
                    "say",
                    async move |socket: SocketRef, Data(said): Data<serde_json::Value>| {
                        let _ = tell.try_send(Event::Said(socket.id, said));
                    },
                );
                let transport = transports.of(socket.id, socket.req_parts());
                let _ = told.try_send(Event::Connected(socket, transport));
            });
        }
        let options = RouterOptions {
            path: setup.engine.path.clone(),
            admission: admission.clone(),
            transports: transports.clone(),
            origins: setup.origins,
            body_timeout: setup.body_timeout.unwrap_or(Duration::from_secs(10)),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let under_way = Arc::clone(&requests);
        let count = middleware::from_fn(move |request: Request, next: Next| {
            let under_way = Arc::clone(&under_way);
            async move {
                under_way.fetch_add(1, Ordering::SeqCst);
                let response = next.run(request).await;
                under_way.fetch_sub(1, Ordering::SeqCst);
                response
            }
        });
        let router = edge::router(service, &options).layer(count);
        let edge = edge::serve(listener, router, setup.edge).unwrap();
        Self { edge, transports, admission, io, events, requests }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.edge.local_addr()
    }

    /// Waits until so many requests have reached the gateway and are not answered yet.
    pub(crate) async fn requests_pending(&self, count: usize) {
        eventually("pending requests", || self.requests.load(Ordering::SeqCst) == count).await;
    }

    pub(crate) async fn event(&mut self) -> Event {
        soon("an event", self.events.recv()).await.unwrap()
    }

    pub(crate) fn no_event(&mut self) {
        if let Ok(event) = self.events.try_recv() {
            panic!("unexpected {event:?}");
        }
    }

    pub(crate) async fn connected(&mut self) -> (SocketRef, Transport) {
        match self.event().await {
            Event::Connected(socket, transport) => (socket, transport),
            other => panic!("expected a connect, got {other:?}"),
        }
    }

    pub(crate) async fn said(&mut self) -> (Sid, serde_json::Value) {
        match self.event().await {
            Event::Said(sid, value) => (sid, value),
            other => panic!("expected an event, got {other:?}"),
        }
    }

    pub(crate) async fn disconnected(&mut self) -> (Sid, DisconnectReason) {
        match self.event().await {
            Event::Disconnected(sid, reason) => (sid, reason),
            other => panic!("expected a disconnect, got {other:?}"),
        }
    }
}
