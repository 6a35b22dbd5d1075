//! The page of `herald dev`: connect as a user, send a notice, watch it arrive.

use std::net::SocketAddr;

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, Uri, header, uri::PathAndQuery},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Serialize;

/// Where the page finds what it shows.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Addresses {
    /// Origin of the gateway.
    pub(crate) gateway: String,
    /// Path of its sockets.
    pub(crate) path: String,
    /// Origin of the notifier's HTTP API.
    pub(crate) notifier: String,
}

#[derive(Debug, Clone)]
struct Page {
    addresses: Addresses,
    notifier: SocketAddr,
    client: Client<HttpConnector, Body>,
}

/// The page, its parts, and the one call it makes: a browser may not call the
/// notifier itself, which belongs to another origin and admits none.
pub(crate) fn router(addresses: Addresses, notifier: SocketAddr) -> Router {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let asset = |kind: &'static str, content: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], content) })
    };
    Router::new()
        .route("/", asset("text/html; charset=utf-8", include_str!("../assets/index.html")))
        .route("/page.css", asset("text/css; charset=utf-8", include_str!("../assets/page.css")))
        .route(
            "/page.js",
            asset("text/javascript; charset=utf-8", include_str!("../assets/page.js")),
        )
        .route(
            "/socket.io.min.js",
            asset("text/javascript; charset=utf-8", include_str!("../assets/socket.io.min.js")),
        )
        .route("/config.json", get(async |State(page): State<Page>| Json(page.addresses)))
        .route("/v1/notices", post(forward))
        .with_state(Page { addresses, notifier, client })
}

/// Passes a call on to the notifier as it is.
async fn forward(State(page): State<Page>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let uri = match format!("http://{}{path}", page.notifier).parse::<Uri>() {
        Ok(uri) => uri,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let (mut parts, body) = request.into_parts();
    parts.uri = uri;
    parts.headers.remove(header::HOST);
    match page.client.request(Request::from_parts(parts, body)).await {
        Ok(response) => response.into_response(),
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}
