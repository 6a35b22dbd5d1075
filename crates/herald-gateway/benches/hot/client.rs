//! A client of `/notice` over WebSocket.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, Utf8Bytes, protocol::WebSocketConfig},
};

pub(crate) struct Client(WebSocketStream<TcpStream>);

impl Client {
    /// Connects as `user`, until a packet has come that begins like `ready`.
    pub(crate) async fn connect(address: SocketAddr, user: &str, ready: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/notice/?EIO=4&transport=websocket");
        // A buffer of the default's size would be cleared for each packet, at more than all else costs.
        let config = WebSocketConfig::default().read_buffer_size(4096);
        let (stream, _) = client_async_with_config(url, stream, Some(config)).await.unwrap();
        let mut this = Self(stream);
        let connect = format!(r#"40/notice,{{"token":"{user}"}}"#);
        this.0.send(Message::text(connect)).await.unwrap();
        while !this.packet().await.starts_with(ready) {}
        this
    }

    /// Reads until a notice has come.
    pub(crate) async fn notice(&mut self) {
        while !self.packet().await.starts_with(r#"42/notice,["notice","#) {}
    }

    /// The next packet; pings are answered.
    async fn packet(&mut self) -> Utf8Bytes {
        loop {
            match self.0.next().await.expect("the connection stays").unwrap() {
                Message::Text(ping) if ping == "2" => {
                    self.0.send(Message::text("3")).await.unwrap();
                }
                Message::Text(packet) => return packet,
                other => panic!("{other:?}"),
            }
        }
    }
}
