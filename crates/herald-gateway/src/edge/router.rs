//! The way of a request from the connection to Engine.IO.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use hyper::upgrade::OnUpgrade;
use tower::ServiceBuilder;

use super::{
    admission::Admission,
    compact,
    connection::Peer,
    engine::EngineService,
    figures,
    origins::Origins,
    request::{EngineRequest, Medium},
    transports::Transports,
};

/// What stands between a request and Engine.IO.
#[derive(Clone, Debug)]
pub struct RouterOptions {
    /// As in [`EngineOptions::path`](super::EngineOptions::path).
    pub path: String,
    /// The door for handshakes; requests of sessions pass.
    pub admission: Admission,
    /// Learns of sessions that move to a WebSocket.
    pub transports: Transports,
    /// The pages that may connect.
    pub origins: Origins,
    /// Time a client has for sending the body of a request.
    pub body_timeout: Duration,
}

/// A router with Engine.IO as its fallback, so that other routes can be added.
///
/// It must be served by [`serve`](super::serve), which tells it of the connections.
pub fn router(engine: EngineService, options: &RouterOptions) -> Router {
    let service = ServiceBuilder::new()
        .layer(options.origins.layer())
        .layer(middleware::from_fn_with_state(Arc::new(options.clone()), gate))
        .service(engine);
    Router::new().fallback_service(service)
}

async fn gate(State(options): State<Arc<RouterOptions>>, request: Request, next: Next) -> Response {
    match EngineRequest::of(&request, &options.path) {
        EngineRequest::Other | EngineRequest::Poll => next.run(request).await,
        EngineRequest::Push => tokio::time::timeout(options.body_timeout, next.run(request))
            .await
            .unwrap_or_else(|_| refuse(StatusCode::REQUEST_TIMEOUT, "body_timeout")),
        EngineRequest::Handshake(medium) => handshake(&options, request, medium, next).await,
        EngineRequest::Upgrade(sid) => {
            let Some(peer) = peer_of(&request) else {
                return refuse(StatusCode::INTERNAL_SERVER_ERROR, "no_connection");
            };
            if !is_websocket(&request) {
                return refuse(StatusCode::BAD_REQUEST, "no_upgrade");
            }
            let response = next.run(compact::upgrade(request)).await;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                // From here on the connection carries this session alone.
                options.transports.attach(sid, &peer.connection);
            }
            response
        }
    }
}

async fn handshake(
    options: &RouterOptions,
    request: Request,
    medium: Medium,
    next: Next,
) -> Response {
    if !options.origins.allow(request.headers()) {
        return refuse(StatusCode::FORBIDDEN, "origin");
    }
    let exclusive = medium == Medium::WebSocket;
    if exclusive && !is_websocket(&request) {
        return refuse(StatusCode::BAD_REQUEST, "no_upgrade");
    }
    if let Err(refusal) = options.admission.admit() {
        return refusal.response();
    }
    let Some(peer) = peer_of(&request) else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "no_connection");
    };
    next.run(compact::handshake(request, &peer, exclusive)).await
}

fn peer_of(request: &Request) -> Option<Peer> {
    request.extensions().get().cloned()
}

fn refuse(status: StatusCode, reason: &'static str) -> Response {
    figures::requests_refused(reason).increment(1);
    (status, reason).into_response()
}

/// Engine.IO answers 101 to whatever carries a key, also where hyper has nothing to upgrade, as
/// with HTTP/1.0; so the rest is looked at here.
fn is_websocket(request: &Request) -> bool {
    let headers = request.headers();
    let says = |name, word: &[u8]| {
        headers.get(name).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(word))
    };
    says(header::UPGRADE, b"websocket")
        && says(header::SEC_WEBSOCKET_VERSION, b"13")
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
        && request.extensions().get::<OnUpgrade>().is_some()
}
