//! Taking connections in.

use std::{io, time::Duration};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

/// Before trying again when the process has no file left for a connection.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// A peer that takes nothing for so long is gone; without this its answer would wait for ever.
const UNREAD_LIMIT: Duration = Duration::from_secs(30);

/// The next connection. Failures are passed over: those of one connection at once, those of the
/// process after a pause. Cancel-safe.
pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match prepare(&stream) {
                Ok(()) => return stream,
                Err(error) => tracing::debug!(%error, "a connection ended before it was served"),
            },
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections, trying again");
                tokio::time::sleep(FULL_PAUSE).await;
            }
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_LIMIT))
}

fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
