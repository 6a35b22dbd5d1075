//! WebSockets byte by byte, for what no decent client does: leaving at any stage, in any manner,
//! not reading, sending half of something.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::support::PATIENCE;

/// The longest head of an answer.
const MAX_HEAD: usize = 8 * 1024;

/// A TCP connection to a gateway.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    address: SocketAddr,
}

/// How a connection is left.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leave {
    /// By FIN, as a process that ends does.
    Fin,
    /// By RST.
    Reset,
}

impl Wire {
    /// Connects, from one of 127.0.0.0/8 if the source's last bytes are given, and with a receive
    /// buffer of so many bytes.
    pub(crate) async fn open(
        address: SocketAddr,
        source: Option<[u8; 2]>,
        receive_buffer: Option<u32>,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if let Some(size) = receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        if let Some([net, host]) = source {
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(IpAddr::from([127, 0, net, host]), 0))?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, address })
    }

    /// A WebSocket that is open, its handshake packet read.
    pub(crate) async fn websocket(address: SocketAddr) -> io::Result<Self> {
        let mut wire = Self::open(address, None, None).await?;
        wire.request_upgrade("").await?;
        wire.head().await?;
        wire.text().await?;
        Ok(wire)
    }

    /// Asks for a WebSocket; `query` is added to the target.
    pub(crate) async fn request_upgrade(&mut self, query: &str) -> io::Result<()> {
        let request = format!(
            "GET /notice/?EIO=4&transport=websocket{query} HTTP/1.1\r\nhost: {}\r\n\
             connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        );
        self.stream.write_all(request.as_bytes()).await
    }

    /// The head of the answer.
    pub(crate) async fn head(&mut self) -> io::Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() == MAX_HEAD {
                return Err(io::Error::other("a head without an end"));
            }
            head.push(self.in_time(1).await?[0]);
        }
        String::from_utf8(head).map_err(io::Error::other)
    }

    /// Sends bytes as they are.
    pub(crate) async fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes)).await?
    }

    /// Sends a text frame.
    pub(crate) async fn send(&mut self, text: &str) -> io::Result<()> {
        self.raw(&frame(text)).await
    }

    /// The next text frame. An error is the end of the connection, however it came.
    pub(crate) async fn text(&mut self) -> io::Result<String> {
        loop {
            let head = self.in_time(2).await?;
            let length = match head[1] & 0x7f {
                126 => {
                    let bytes = self.in_time(2).await?;
                    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
                }
                127 => return Err(io::Error::other("a frame above 64 KiB")),
                length => usize::from(length),
            };
            let payload = self.in_time(length).await?;
            match head[0] & 0x0f {
                1 => return String::from_utf8(payload).map_err(io::Error::other),
                8 => return Err(io::ErrorKind::ConnectionAborted.into()),
                _ => {}
            }
        }
    }

    /// The next packet of Socket.IO; pings are answered.
    pub(crate) async fn packet(&mut self) -> io::Result<String> {
        loop {
            match self.text().await?.as_str() {
                "2" => self.send("3").await?,
                packet => return Ok(packet.to_owned()),
            }
        }
    }

    /// All packets up to the end of the connection, which must come.
    pub(crate) async fn rest(&mut self) -> Vec<String> {
        let mut packets = Vec::new();
        loop {
            match self.packet().await {
                Ok(packet) => packets.push(packet),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    panic!("the connection stays open after {packets:?}")
                }
                Err(_) => return packets,
            }
        }
    }

    /// Leaves.
    pub(crate) async fn leave(mut self, how: Leave) -> io::Result<()> {
        match how {
            // Closing alone would be a reset if there were something unread.
            Leave::Fin => self.stream.shutdown().await,
            Leave::Reset => self.stream.set_zero_linger(),
        }
    }

    async fn in_time(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        timeout(PATIENCE, self.stream.read_exact(&mut bytes)).await??;
        Ok(bytes)
    }
}

/// A text frame as a client sends it, masked with zeros.
pub(crate) fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        length @ ..126 => frame.push(0x80 | u8::try_from(length).expect("below 126")),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).expect("below 65,536").to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend(u64::try_from(length).expect("a length").to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}
