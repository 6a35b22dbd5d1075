//! A raw Engine.IO client over WebSocket: packets in, packets out. It answers pings while it reads.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use socketioxide::extract::SocketRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{self, Message},
};

use super::soon;

pub(crate) struct WebSocket {
    stream: WebSocketStream<TcpStream>,
    /// Pings answered so far.
    pub(crate) pings: usize,
}

impl WebSocket {
    /// Opens a WebSocket with this query and without reading anything.
    pub(crate) async fn open(address: SocketAddr, query: &str) -> Result<Self, tungstenite::Error> {
        Self::over(TcpStream::connect(address).await?, address, query).await
    }

    /// The same with a receive buffer of a few kilobytes.
    pub(crate) async fn open_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(address).await.unwrap();
        let mut this = Self::over(stream, address, "").await.unwrap();
        this.open_packet().await;
        this
    }

    async fn over(
        stream: TcpStream,
        address: SocketAddr,
        query: &str,
    ) -> Result<Self, tungstenite::Error> {
        let url = format!("ws://{address}/notice/?EIO=4&transport=websocket{query}");
        let (stream, _) = soon("a handshake", tokio_tungstenite::client_async(url, stream)).await?;
        Ok(Self { stream, pings: 0 })
    }

    /// Handshake and namespace: a session.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut this = Self::open(address, "").await.unwrap();
        this.open_packet().await;
        this.join("/notice").await;
        this
    }

    /// Moves the polling session `sid` to this WebSocket.
    pub(crate) async fn upgrade(address: SocketAddr, sid: &str) -> Self {
        let mut this = Self::open(address, &format!("&sid={sid}")).await.unwrap();
        this.send("2probe").await;
        assert_eq!(this.next().await.as_deref(), Some("3probe"));
        this.send("5").await;
        this
    }

    pub(crate) async fn open_packet(&mut self) -> serde_json::Value {
        let packet = self.next().await.expect("an open packet");
        serde_json::from_str(packet.strip_prefix('0').unwrap()).unwrap()
    }

    pub(crate) async fn join(&mut self, namespace: &str) -> String {
        self.send(&format!("40{namespace},")).await;
        let packet = self.next().await.expect("a connect packet");
        assert!(packet.starts_with("40"), "{packet}");
        packet
    }

    pub(crate) async fn send(&mut self, packet: &str) {
        self.stream.send(Message::text(packet)).await.unwrap();
    }

    /// Sends without caring whether the other side still takes it.
    pub(crate) async fn try_send(&mut self, message: Message) {
        let _ = self.stream.send(message).await;
    }

    /// The next text packet but pings; `None` when the connection has ended, however.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            match soon("a packet", self.stream.next()).await? {
                Ok(Message::Text(packet)) if packet.as_str() == "2" => {
                    self.pings += 1;
                    self.try_send(Message::text("3")).await;
                }
                Ok(Message::Text(packet)) => return Some(packet.to_string()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Reads until the connection has ended.
    pub(crate) async fn ended(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// Waits until the client has answered the first ping, which comes just after the handshake: a
/// ping that finds the queue full ends the session.
pub(crate) async fn pinged(client: &mut WebSocket, socket: &SocketRef) {
    while client.pings == 0 {
        socket.emit("turn", &()).unwrap();
        client.next().await;
    }
}
