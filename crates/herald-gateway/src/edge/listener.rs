//! Accepts connections and serves HTTP on them, within bounds.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use herald_service::Tls;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::{
    close::CloseReason,
    connection::{ConnectionSet, Peer},
    figures,
    stream::OwnedStream,
};

/// Bounds of a listener.
#[derive(Clone, Debug)]
pub struct EdgeOptions {
    /// Connections open at a time, whatever they carry. Further ones are answered 503 and closed.
    pub max_connections: usize,
    /// Time a client has for sending the head of a request, also of the next one on a connection
    /// that is kept alive. A proxy must let go of its idle connections earlier.
    pub head_timeout: Duration,
    /// Largest head of a request, in bytes; a larger one is answered 431. At least 8,192.
    pub max_head_bytes: usize,
    /// How long sent data may stay unacknowledged, or the peer's window zero, before the kernel
    /// ends the connection (`TCP_USER_TIMEOUT`, Linux only). At most ping interval + ping
    /// time-out: it is the only thing that ends a session whose peer never reads.
    pub user_timeout: Duration,
    /// Secures the connections; without it they are plain.
    pub tls: Option<Tls>,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        Self {
            max_connections: 100_000,
            head_timeout: Duration::from_secs(30),
            max_head_bytes: 16 * 1024,
            user_timeout: Duration::from_secs(45),
            tls: None,
        }
    }
}

/// The smallest buffer hyper works with.
const MIN_HEAD_BYTES: usize = 8 * 1024;

/// Starts serving `router` on `listener` and returns at once.
///
/// The listener keeps going after errors of `accept`, with a back-off when the process has run
/// out of files. Several may run in one process.
///
/// # Errors
/// When the listener's own address cannot be read.
pub fn serve(
    listener: TcpListener,
    router: Router,
    options: EdgeOptions,
) -> io::Result<EdgeHandle> {
    figures::declare();
    figures::max_connections().set(options.max_connections as f64);
    let handle = EdgeHandle {
        local_addr: listener.local_addr()?,
        connections: ConnectionSet::new(options.max_connections),
        stop: CancellationToken::new(),
        listening: CancellationToken::new(),
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout)
        .max_buf_size(options.max_head_bytes.max(MIN_HEAD_BYTES))
        .max_header_size(options.max_head_bytes);
    let acceptor = Acceptor {
        router,
        http,
        user_timeout: options.user_timeout,
        tls: options.tls,
        max_connections: options.max_connections,
        connections: handle.connections.clone(),
        stop: handle.stop.clone(),
        refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
    };
    let closed = handle.listening.clone().drop_guard();
    tokio::spawn(async move {
        acceptor.run(listener).await;
        // After the listener was dropped: its port is free.
        drop(closed);
    });
    Ok(handle)
}

/// A listener at work. Clones are handles to the same one; dropping them all does not stop it.
#[derive(Clone)]
pub struct EdgeHandle {
    local_addr: SocketAddr,
    connections: ConnectionSet,
    stop: CancellationToken,
    listening: CancellationToken,
}

impl EdgeHandle {
    /// The address the listener is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Stops listening and resolves when the port is free. Open WebSockets stay; HTTP connections
    /// end after the answer they are waiting for.
    pub async fn stop_listening(&self) {
        self.stop.cancel();
        self.listening.cancelled().await;
    }

    /// Closes every open connection at once; returns how many there were. For use after
    /// [`stop_listening`](Self::stop_listening): new ones are still accepted before.
    pub fn close_connections(&self, reason: CloseReason) -> usize {
        self.connections.kill_all(reason)
    }

    /// Stops listening, waits up to `grace` for clients to leave by themselves, then closes what
    /// is left. Returns how many had to be closed. Resolves within `grace` and a second.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        self.stop_listening().await;
        if tokio::time::timeout(grace, self.connections.all_closed()).await.is_ok() {
            return 0;
        }
        let closed = self.close_connections(CloseReason::Shutdown);
        let _ = tokio::time::timeout(Duration::from_secs(1), self.connections.all_closed()).await;
        closed
    }
}

impl std::fmt::Debug for EdgeHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeHandle")
            .field("local_addr", &self.local_addr)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

struct Acceptor {
    router: Router,
    http: http1::Builder,
    user_timeout: Duration,
    tls: Option<Tls>,
    max_connections: usize,
    connections: ConnectionSet,
    stop: CancellationToken,
    refusals: Arc<Semaphore>,
}

impl Acceptor {
    async fn run(self, listener: TcpListener) {
        let mut backoff = Backoff::default();
        let mut complaint = Complaint::default();
        let mut over_limit = Complaint::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    backoff = Backoff::default();
                    self.take(stream, address, &mut over_limit);
                }
                Err(error) if concerns_one_connection(&error) => {
                    figures::accept_errors("connection").increment(1);
                }
                Err(error) => {
                    figures::accept_errors("process").increment(1);
                    if let Some(suppressed) = complaint.due() {
                        warn!(%error, suppressed, open = self.connections.len(), "cannot accept connections");
                    }
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => return,
                        () = tokio::time::sleep(backoff.next()) => {}
                    }
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, address: SocketAddr, complaint: &mut Complaint) {
        if let Err(error) = self.set_options(&stream) {
            // The peer has already gone.
            debug!(%error, "connection without socket options dropped");
            return;
        }
        match self.connections.insert(stream) {
            Ok((stream, connection)) => {
                let peer = Peer { address, connection };
                tokio::spawn(self.serve(stream, peer));
            }
            Err(stream) => {
                figures::connections_over_limit().increment(1);
                if let Some(suppressed) = complaint.due() {
                    warn!(limit = self.max_connections, suppressed, "connection limit reached");
                }
                // Without a place even for that the connection is simply closed.
                if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(REFUSAL_TIME, refuse(stream)).await;
                        drop(permit);
                    });
                }
            }
        }
    }

    fn set_options(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        #[cfg(target_os = "linux")]
        SockRef::from(stream).set_tcp_user_timeout(Some(self.user_timeout))?;
        Ok(())
    }

    fn serve(&self, stream: OwnedStream, peer: Peer) -> impl Future<Output = ()> + Send + use<> {
        let router = self.router.clone();
        let service = service_fn(move |request: http::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            router.clone().oneshot(request)
        });
        let (http, tls, stop) = (self.http.clone(), self.tls.clone(), self.stop.clone());
        async move {
            let Some(tls) = tls else {
                return converse(http.serve_connection(TokioIo::new(stream), service), stop).await;
            };
            // On the heap: plain connections must not pay for its size.
            let secured = async move {
                match tls.accept(stream).await {
                    Ok(stream) => {
                        converse(http.serve_connection(TokioIo::new(stream), service), stop).await;
                    }
                    Err(error) => debug!(%error, "no TLS handshake"),
                }
            };
            Box::pin(secured).await;
        }
    }
}

/// Serves a connection to its end; the listener's end is the end of the request under way.
async fn converse<I, S>(connection: http1::Connection<I, S>, stop: CancellationToken)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S: HttpService<Incoming, ResBody = Body, Error: Into<BoxError>>,
{
    let mut connection = std::pin::pin!(connection.with_upgrades());
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(%error, "connection ended");
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Refusals answered at a time.
const MAX_REFUSALS: usize = 256;
const REFUSAL_TIME: Duration = Duration::from_secs(1);
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    retry-after: 2\r\naccess-control-allow-origin: *\r\n\
    content-length: 0\r\nconnection: close\r\n\r\n";

/// Answers 503. The request is read and thrown away: closing a socket with unread data resets the
/// connection, and the client would not see the answer.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(REFUSAL).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// Whether an error of `accept` is about the connection that was to be accepted, so that the next
/// can be accepted at once.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// The pause after an `accept` that failed for want of files or memory.
#[derive(Default)]
struct Backoff(Option<Duration>);

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    fn next(&mut self) -> Duration {
        let pause = self.0.map_or(Self::FIRST, |last| (last * 2).min(Self::LONGEST));
        self.0 = Some(pause);
        pause
    }
}

/// Lets a warning through every ten seconds, with the number of those held back.
#[derive(Default)]
struct Complaint {
    last: Option<Instant>,
    suppressed: u64,
}

impl Complaint {
    const EVERY: Duration = Duration::from_secs(10);

    fn due(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < Self::EVERY) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_files_backs_off_and_an_aborted_connection_does_not() {
        const EMFILE: i32 = 24;
        const ECONNABORTED: i32 = 103;
        assert!(!concerns_one_connection(&io::Error::from_raw_os_error(EMFILE)));
        #[cfg(target_os = "linux")]
        assert!(concerns_one_connection(&io::Error::from_raw_os_error(ECONNABORTED)));
    }

    #[test]
    fn the_pause_doubles_up_to_a_second() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn complaints_are_rate_limited_and_say_how_many_were_held_back() {
        let mut complaint = Complaint::default();
        assert_eq!(complaint.due(), Some(0));
        assert_eq!(complaint.due(), None);
        assert_eq!(complaint.due(), None);
        complaint.last = Instant::now().checked_sub(Complaint::EVERY);
        assert_eq!(complaint.due(), Some(2));
    }
}
