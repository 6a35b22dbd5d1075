//! Listening sockets, bound before anything else starts.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel holds for us. A deploy sends thousands of clients at once; the
/// kernel lowers this to its own limit (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// A bound socket and its address.
#[derive(Debug)]
pub struct Bound {
    /// The socket, already listening: connections queue up until it is served.
    pub listener: TcpListener,
    /// The address it has, with the real port where 0 was asked for.
    pub address: SocketAddr,
}

/// An address that cannot be listened on. Not retryable: somebody has to change something.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({option}){}", self.advice())]
pub struct BindError {
    /// The variable that gave the address.
    pub option: String,
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

impl BindError {
    fn advice(&self) -> &'static str {
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                "; another process has this port, stop it or choose another port"
            }
            io::ErrorKind::AddrNotAvailable => {
                "; no interface of this host has this address, 0.0.0.0 means all of them"
            }
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege",
            _ => "",
        }
    }
}

/// Binds and listens, and logs the address. Do it for all sockets of a process before starting
/// any work, so that a port that is taken is found at once. `option` is the variable that gave
/// the address.
pub async fn bind(option: &str, address: SocketAddr) -> Result<Bound, BindError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Without it a restart fails while connections of the last run linger in TIME_WAIT.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok(Bound { listener, address })
    };
    let bound =
        listen().map_err(|source| BindError { option: option.to_owned(), address, source })?;
    tracing::info!(option, address = %bound.address, "listening");
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn port_zero_is_resolved_and_a_taken_port_is_named_with_its_option() {
        let first = bind("HERALD_A_LISTEN", ([127, 0, 0, 1], 0).into()).await.unwrap();
        assert_ne!(first.address.port(), 0);

        let error = bind("HERALD_B_LISTEN", first.address).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("HERALD_B_LISTEN"), "{text}");
        assert!(text.contains(&first.address.to_string()), "{text}");
        assert!(text.contains("choose another port"), "{text}");
    }

    #[tokio::test]
    async fn a_foreign_address_is_explained() {
        // TEST-NET-1, which no host has.
        let error = bind("HERALD_A_LISTEN", ([192, 0, 2, 1], 0).into()).await.unwrap_err();
        assert!(error.to_string().contains("no interface"), "{error}");
    }
}
