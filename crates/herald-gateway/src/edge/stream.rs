//! The accepted connection as hyper and Engine.IO read and write it.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::Connection;

/// An accepted TCP connection that can be closed from outside through its
/// [`ConnectionHandle`](super::ConnectionHandle), and that counts its bytes.
///
/// After a kill every read and write fails with [`io::ErrorKind::ConnectionAborted`], those that
/// were waiting included; so whoever drives the connection ends as after a broken one. Dropping
/// the stream closes the TCP socket.
pub struct OwnedStream(Arc<Connection>);

impl OwnedStream {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self(connection)
    }

    fn check_open(&self) -> io::Result<()> {
        match self.0.close_reason() {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            self.check_open()?;
            ready!(self.0.io.poll_write_ready(cx))?;
            match write() {
                Ok(bytes) => {
                    self.0.count_sent(bytes);
                    return Poll::Ready(Ok(bytes));
                }
                // The readiness was stale; polling it again registers the waker.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for OwnedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            self.check_open()?;
            ready!(self.0.io.poll_read_ready(cx))?;
            match self.0.io.try_read_buf(buf) {
                Ok(bytes) => {
                    // A kill between the check and the read looks like a clean end.
                    self.check_open()?;
                    self.0.count_received(bytes);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for OwnedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, || self.0.io.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, || self.0.io.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nothing is buffered here.
        Poll::Ready(self.check_open())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&self.0.io).shutdown(Shutdown::Write) {
            // The peer was faster.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            result => Poll::Ready(result),
        }
    }
}

impl std::fmt::Debug for OwnedStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OwnedStream")
            .field("closed", &self.0.close_reason())
            .finish_non_exhaustive()
    }
}
