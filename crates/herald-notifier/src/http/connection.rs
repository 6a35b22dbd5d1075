//! HTTP connections: each bounded in how long it may take to say what it wants.

use std::time::Duration;

use axum::Router;
use herald_service::Shutdown;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::accept::accept;

/// Largest head of a request, in bytes.
const HEAD_BYTES: usize = 64 << 10;

/// Serves until `shutdown`, then until the requests under way have their answers. `head_timeout`
/// is how long a head may take, and how long a connection may be idle.
pub(crate) async fn serve(
    listener: TcpListener,
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
                connections.spawn(connection(stream, router.clone(), head_timeout, shutdown.clone()));
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, router: Router, head_timeout: Duration, shutdown: Shutdown) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
