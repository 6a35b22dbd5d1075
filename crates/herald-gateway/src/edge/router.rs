//! The way of a request from the connection to Engine.IO.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
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
        EngineRequest::Other => next.run(request).await,
        EngineRequest::Poll => strangers(&options, next.run(request).await).await,
        EngineRequest::Push => {
            match tokio::time::timeout(options.body_timeout, next.run(request)).await {
                Ok(response) => strangers(&options, response).await,
                Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "body_timeout"),
            }
        }
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
            strangers(&options, response).await
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
    if let Some(answer) = options.admission.turn_away() {
        return answer;
    }
    let Some(peer) = peer_of(&request) else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "no_connection");
    };
    next.run(compact::handshake(request, &peer, exclusive, &options.admission)).await
}

/// What Engine.IO answers to a sid that it does not know.
const UNKNOWN: &[u8] = b"Session ID unknown";

/// Sends a session that is unknown here on to the next gateway if new clients were sent there: a
/// proxy that hashes them offers this one each request first, and takes its 400 for an answer.
async fn strangers(options: &RouterOptions, response: Response) -> Response {
    if response.status() != StatusCode::BAD_REQUEST || !options.admission.sends_elsewhere() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // Made here, and smaller than that.
    let body = axum::body::to_bytes(body, 1024).await.unwrap_or_default();
    if body.windows(UNKNOWN.len()).any(|part| part == UNKNOWN) {
        figures::requests_refused("stranger").increment(1);
        parts.status = StatusCode::SERVICE_UNAVAILABLE;
    }
    Response::from_parts(parts, Body::from(body))
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
