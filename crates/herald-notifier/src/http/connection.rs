//! HTTP connections: each bounded in how long it may take to say what it wants.

use std::time::Duration;

use axum::{Router, body::Body};
use herald_service::Shutdown;
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::accept::{Door, Stream, accept, secure};

/// Largest head of a request, in bytes.
const HEAD_BYTES: usize = 64 << 10;

/// Serves until `shutdown`, then until the requests under way have their answers. `head_timeout`
/// is how long a head may take, and how long a connection may be idle.
pub(crate) async fn serve(
    Door { listener, tls }: Door,
    router: Router,
    head_timeout: Duration,
    shutdown: &Shutdown,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            Some(_) = connections.join_next() => {}
            stream = accept(&listener) => {
                let (router, tls, shutdown) = (router.clone(), tls.clone(), shutdown.clone());
                connections.spawn(async move {
                    if let Some(stream) = secure(stream, tls).await {
                        connection(stream, router, head_timeout, shutdown).await;
                    }
                });
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: Stream, router: Router, head_timeout: Duration, shutdown: Shutdown) {
    let peer = stream.peer().clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an http connection broke");
    }
}
