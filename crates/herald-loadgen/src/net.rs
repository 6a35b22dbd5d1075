//! TCP connections from a chosen source address.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::net::{TcpSocket, TcpStream};

/// What a connection is opened with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dial {
    pub(crate) address: SocketAddr,
    pub(crate) source_ip: Option<IpAddr>,
    pub(crate) receive_buffer: Option<u32>,
}

impl Dial {
    pub(crate) async fn connect(self) -> io::Result<TcpStream> {
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(size) = self.receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        if let Some(ip) = self.source_ip {
            // With it the kernel gives out a port that lingers in TIME_WAIT again, which it does
            // anyway for connections that are not bound.
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(ip, 0))?;
        }
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
