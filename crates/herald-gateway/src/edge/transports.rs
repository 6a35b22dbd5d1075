//! Closes the transport of one client, whatever it is.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Request, request::Parts, uri::PathAndQuery};
use http_body_util::Full;
use socketioxide::socket::Sid;
use tokio::runtime::Handle;
use tower_service::Service;

use super::{
    close::CloseReason, compact::Handshake, connection::ConnectionHandle, engine::EngineService,
    figures,
};

/// Closes transports, so that Engine.IO ends the session, the disconnect handlers run, and the
/// client comes back. Clones are the same.
///
/// * A session that began as a WebSocket: its TCP connection is closed.
/// * One that moved from polling to a WebSocket: that connection is closed.
/// * One that polls: Engine.IO is handed a close packet in the client's name. A pending poll is
///   answered at once with what was queued, and every later request with the sid with 400,
///   `Session ID unknown`.
#[derive(Clone)]
pub struct Transports(Arc<Inner>);

struct Inner {
    engine: EngineService,
    /// What a close packet is sent to, less the sid.
    close_uri: String,
    upgrades: UpgradeTable,
    runtime: Handle,
}

impl Transports {
    /// `engine` and its path, as in [`EngineOptions::path`](super::EngineOptions::path).
    ///
    /// # Panics
    /// Outside of a Tokio runtime, and when `path` is not the path of a URI: at start rather than
    /// when the first session is to be closed.
    #[must_use]
    pub fn new(engine: EngineService, path: &str) -> Self {
        let close_uri = format!("{path}/?EIO=4&transport=polling&sid=");
        assert!(
            path.starts_with('/') && PathAndQuery::try_from(close_uri.as_str()).is_ok(),
            "`{path}` is not the path of a URI"
        );
        Self(Arc::new(Inner {
            engine,
            close_uri,
            upgrades: UpgradeTable::default(),
            runtime: Handle::current(),
        }))
    }

    /// The transport of a socket: `transports.of(socket.id, socket.req_parts())`.
    ///
    /// All namespaces of a client share it.
    #[must_use]
    pub fn of(&self, sid: Sid, parts: &Parts) -> Transport {
        Transport {
            sid,
            connection: Handshake::of(parts).and_then(|handshake| handshake.connection().cloned()),
            transports: self.clone(),
        }
    }

    /// Remembers the connection that a session moves to, for as long as it is open. Whether the
    /// sid is a known one does not matter: there is one entry a connection at most.
    pub(super) fn attach(&self, sid: Sid, connection: &ConnectionHandle) {
        connection.hold(|id| {
            let key = (sid, id);
            self.0.upgrades.lock().insert(key, connection.clone());
            UpgradeEntry { key, table: self.0.upgrades.clone() }
        });
    }

    /// Sessions with an open connection that they moved, or try to move, to.
    #[must_use]
    pub fn upgraded(&self) -> usize {
        self.0.upgrades.lock().len()
    }

    fn close_polling(&self, sid: Sid) {
        let request = Request::post(format!("{}{sid}", self.0.close_uri))
            .body(Full::new(Bytes::from_static(CLOSE_PACKET)))
            .expect("the path was checked, and a sid is plain ASCII");
        let mut engine = self.0.engine.clone();
        self.0.runtime.spawn(async move {
            // Engine.IO refuses it when the session is gone or has moved to a WebSocket.
            let _ = Service::<Request<Full<Bytes>>>::call(&mut engine, request).await;
        });
    }
}

/// Engine.IO's packet type for "close".
const CLOSE_PACKET: &[u8] = b"1";

impl std::fmt::Debug for Transports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transports").field("upgraded", &self.upgraded()).finish_non_exhaustive()
    }
}

/// The way to a client, as it is at the time of asking.
#[derive(Clone, Debug)]
pub struct Transport {
    sid: Sid,
    connection: Option<ConnectionHandle>,
    transports: Transports,
}

impl Transport {
    /// Closes it. Never blocks, works from any thread, does nothing the second time. The
    /// disconnect handlers run soon after, in tasks of their own.
    pub fn close(&self, reason: CloseReason) {
        if let Some(connection) = &self.connection {
            connection.kill(reason);
            return;
        }
        // Both, in this order: a move that completes in between finds its session closed.
        for connection in self.transports.0.upgrades.of(self.sid) {
            connection.kill(reason);
        }
        figures::polling_closed(reason).increment(1);
        self.transports.close_polling(self.sid);
    }

    /// Bytes sent so far over the WebSocket that the client has, or moves to; `None` for one that
    /// polls, over connections that may be a proxy's.
    #[must_use]
    pub fn bytes_sent(&self) -> Option<u64> {
        let sent = |connection: &ConnectionHandle| connection.bytes().map(|(_, sent)| sent);
        match &self.connection {
            Some(connection) => sent(connection),
            None => self.transports.0.upgrades.of(self.sid).iter().filter_map(sent).max(),
        }
    }

    /// The Engine.IO session id, which all namespaces of the client share.
    #[must_use]
    pub fn sid(&self) -> Sid {
        self.sid
    }
}

/// Connections that a session moved, or tries to move, to: by sid, then by connection.
#[derive(Clone, Default)]
pub(super) struct UpgradeTable(Arc<Mutex<BTreeMap<(Sid, u64), ConnectionHandle>>>);

impl UpgradeTable {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Sid, u64), ConnectionHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, sid: Sid) -> Vec<ConnectionHandle> {
        self.lock()
            .range((sid, u64::MIN)..=(sid, u64::MAX))
            .map(|(_, connection)| connection.clone())
            .collect()
    }
}

/// A place in the table, given back when the connection ends.
pub(super) struct UpgradeEntry {
    key: (Sid, u64),
    table: UpgradeTable,
}

impl Drop for UpgradeEntry {
    fn drop(&mut self) {
        self.table.lock().remove(&self.key);
    }
}
