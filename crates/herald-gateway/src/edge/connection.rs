//! The set of open TCP connections, and the handle that closes one of them.

use std::{
    collections::HashMap,
    net::{Shutdown, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use socket2::SockRef;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{close::CloseReason, figures, stream::OwnedStream, transports::UpgradeEntry};

/// One open TCP connection. It lives exactly as long as its [`OwnedStream`].
pub(super) struct Connection {
    pub(super) io: TcpStream,
    id: u64,
    /// The code of the [`CloseReason`], zero while nobody closed it.
    closed: AtomicU8,
    received: AtomicU64,
    sent: AtomicU64,
    upgrade: OnceLock<UpgradeEntry>,
    set: Arc<SetInner>,
    _permit: OwnedSemaphorePermit,
    _token: TaskTrackerToken,
}

impl Connection {
    /// Closes the connection; `false` if that was done before.
    ///
    /// Shutting both directions down makes the reactor report them as ready for good, which wakes
    /// a reader *and* a writer that waits for a peer with a zero window. What the kernel already
    /// holds is still sent, followed by a FIN.
    fn kill(&self, reason: CloseReason) -> bool {
        let first = self
            .closed
            .compare_exchange(0, reason.code(), Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if first {
            // It fails when the peer is already gone, and then both directions are awake too.
            let _ = SockRef::from(&self.io).shutdown(Shutdown::Both);
            figures::connections_closed(reason).increment(1);
        }
        first
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        CloseReason::from_code(self.closed.load(Ordering::Acquire))
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.set.lock().remove(&self.id);
        figures::connections().decrement(1.0);
        figures::bytes("in").increment(*self.received.get_mut());
        figures::bytes("out").increment(*self.sent.get_mut());
    }
}

/// Closes one TCP connection from anywhere, without keeping it open.
///
/// The handle outlives the connection; closing a connection that is gone does nothing.
#[derive(Clone)]
pub struct ConnectionHandle(Weak<Connection>);

impl ConnectionHandle {
    /// Closes the connection at once: its reader and its writer fail, also when the peer's window
    /// is zero, and the TCP socket is shut down. Returns whether this call did it.
    ///
    /// Only for a connection that belongs to one client alone (an upgraded one): a proxy sends
    /// requests of several clients over one keep-alive connection.
    pub fn kill(&self, reason: CloseReason) -> bool {
        self.0.upgrade().is_some_and(|connection| connection.kill(reason))
    }

    /// Whether the connection is open and nobody has closed it from here.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.upgrade().is_some_and(|connection| connection.close_reason().is_none())
    }

    /// Bytes received and sent so far over the TCP connection, HTTP and frame headers included;
    /// `None` once it is gone.
    #[must_use]
    pub fn bytes(&self) -> Option<(u64, u64)> {
        self.0.upgrade().map(|connection| {
            (connection.received.load(Ordering::Relaxed), connection.sent.load(Ordering::Relaxed))
        })
    }

    /// Ties the entry of an upgraded transport to the connection's life. The first one stays: a
    /// connection is upgraded once.
    pub(super) fn hold(&self, make: impl FnOnce(u64) -> UpgradeEntry) {
        if let Some(connection) = self.0.upgrade() {
            connection.upgrade.get_or_init(|| make(connection.id));
        }
    }
}

impl std::fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionHandle").field("open", &self.is_open()).finish()
    }
}

/// All open connections of one listener, at most as many as its limit.
#[derive(Clone)]
pub(super) struct ConnectionSet(Arc<SetInner>);

struct SetInner {
    open: Mutex<HashMap<u64, Weak<Connection>>>,
    next_id: AtomicU64,
    places: Arc<Semaphore>,
    tracker: TaskTracker,
}

impl SetInner {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Weak<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSet {
    pub(super) fn new(max_connections: usize) -> Self {
        let tracker = TaskTracker::new();
        // Closed from the start: `wait` then means "no connection is open".
        tracker.close();
        Self(Arc::new(SetInner {
            open: Mutex::default(),
            next_id: AtomicU64::new(0),
            places: Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS))),
            tracker,
        }))
    }

    /// Takes a connection in, or gives it back when the limit is reached.
    pub(super) fn insert(
        &self,
        io: TcpStream,
    ) -> Result<(OwnedStream, ConnectionHandle), TcpStream> {
        let Ok(permit) = Arc::clone(&self.0.places).try_acquire_owned() else {
            return Err(io);
        };
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            io,
            id,
            closed: AtomicU8::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            upgrade: OnceLock::new(),
            set: Arc::clone(&self.0),
            _permit: permit,
            _token: self.0.tracker.token(),
        });
        let handle = ConnectionHandle(Arc::downgrade(&connection));
        self.0.lock().insert(id, handle.0.clone());
        figures::connections_taken().increment(1);
        figures::connections().increment(1.0);
        Ok((OwnedStream::new(connection), handle))
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Kills every open connection; returns how many were still open.
    pub(super) fn kill_all(&self, reason: CloseReason) -> usize {
        // Collected first: the last holder of a connection takes the lock when it is dropped.
        let open: Vec<_> = self.0.lock().values().cloned().collect();
        open.into_iter()
            .filter(|connection| ConnectionHandle(connection.clone()).kill(reason))
            .count()
    }

    /// Resolves when no connection is open.
    pub(super) async fn all_closed(&self) {
        self.0.tracker.wait().await;
    }
}

/// What the listener tells of a connection to the services above it.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) connection: ConnectionHandle,
}
