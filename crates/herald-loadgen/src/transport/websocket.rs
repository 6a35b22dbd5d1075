//! Engine.IO over WebSocket.

use ::http::{Request, StatusCode, header};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message, Utf8Bytes, handshake::client::generate_key, protocol::WebSocketConfig,
    },
};

use crate::{
    error::{CloseReason, ConnectError},
    http::retry_after,
    options::SessionOptions,
};

#[derive(Debug)]
pub(crate) struct WebSocket {
    stream: WebSocketStream<TcpStream>,
}

impl WebSocket {
    /// Opens a WebSocket; with `sid` one that is to take over a polling session.
    pub(crate) async fn open(
        options: &SessionOptions,
        sid: Option<&str>,
    ) -> Result<Self, ConnectError> {
        Self::open_at(options, &options.target("websocket", sid)).await
    }

    /// Opens a WebSocket at any path and query of the options' server.
    pub(crate) async fn open_at(
        options: &SessionOptions,
        target: &str,
    ) -> Result<Self, ConnectError> {
        let host = options.host();
        let mut request = Request::builder()
            .uri(format!("ws://{host}{target}"))
            .header(header::HOST, &host)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, generate_key())
            .body(())
            .map_err(|e| ConnectError::Protocol(e.to_string()))?;
        request.headers_mut().extend(options.headers.clone());

        let stream = super::dial(options)
            .connect()
            .await
            .map_err(|e| ConnectError::Transport(e.to_string()))?;
        // The default buffers of 128 KiB a session would be most of this process' memory.
        let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        let (stream, _) =
            client_async_with_config(request, stream, Some(config)).await.map_err(connect_error)?;
        Ok(Self { stream })
    }

    pub(crate) async fn receive(&mut self) -> Result<String, CloseReason> {
        Ok(self.receive_text().await?.as_str().to_owned())
    }

    /// The next text as it lies in the read buffer. Can be dropped and called again without losing
    /// one.
    pub(crate) async fn receive_text(&mut self) -> Result<Utf8Bytes, CloseReason> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Close(frame))) => {
                    return Err(CloseReason::WebSocketClosed(frame.map(|f| f.code.into())));
                }
                // Attachments of binary events, which nobody here looks at.
                Some(Ok(
                    Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_),
                )) => {}
                Some(Err(e)) => return Err(e.into()),
                None => return Err(CloseReason::Transport("end of stream".to_owned())),
            }
        }
    }

    pub(crate) async fn send(&mut self, packet: String) -> Result<(), CloseReason> {
        Ok(self.stream.send(Message::text(packet)).await?)
    }

    pub(crate) async fn close(&mut self) -> Result<(), CloseReason> {
        Ok(self.stream.close(None).await?)
    }
}

fn connect_error(error: tungstenite::Error) -> ConnectError {
    match error {
        tungstenite::Error::Http(answer) => {
            let body = answer.body().as_deref().unwrap_or_default();
            ConnectError::Refused {
                status: StatusCode::from_u16(answer.status().as_u16())
                    .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                retry_after: retry_after(answer.headers()),
                body: String::from_utf8_lossy(body).into_owned(),
            }
        }
        other => ConnectError::Transport(other.to_string()),
    }
}
