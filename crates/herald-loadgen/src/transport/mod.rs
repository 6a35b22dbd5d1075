//! How packets travel.

mod polling;
mod websocket;

use std::{collections::VecDeque, time::Duration};

use tokio::time::timeout;

use crate::{
    error::{CloseReason, ConnectError},
    net::Dial,
    options::{SessionOptions, Transport},
    packet::Handshake,
};

pub(crate) use self::{polling::Polling, websocket::WebSocket};

/// How long the server may take to accept a packet.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// An open Engine.IO connection.
#[derive(Debug)]
pub(crate) enum Link {
    WebSocket(Box<WebSocket>),
    Polling(Box<Polling>),
}

impl Link {
    /// Opens a connection by the transport that the options name.
    pub(crate) async fn open(options: &SessionOptions) -> Result<(Self, Handshake), ConnectError> {
        match options.transport {
            Transport::WebSocket => {
                let mut socket = WebSocket::open(options, None).await?;
                let handshake = Handshake::parse(&socket.receive().await?)?;
                Ok((Self::WebSocket(Box::new(socket)), handshake))
            }
            Transport::Polling => {
                let (polling, handshake) = Polling::open(options).await?;
                Ok((Self::Polling(Box::new(polling)), handshake))
            }
            Transport::Upgrade => {
                let (polling, handshake) = Polling::open(options).await?;
                // Nothing is under way by polling, and nothing will be: it can go.
                drop(polling);
                let mut socket = WebSocket::open(options, Some(&handshake.sid)).await?;
                socket.send("2probe".to_owned()).await?;
                match socket.receive().await?.as_str() {
                    "3probe" => socket.send("5".to_owned()).await?,
                    other => {
                        return Err(ConnectError::Protocol(format!("probe answered by {other}")));
                    }
                }
                Ok((Self::WebSocket(Box::new(socket)), handshake))
            }
        }
    }

    /// The next packet. Can be dropped and called again without losing one.
    pub(crate) async fn receive(&mut self) -> Result<String, CloseReason> {
        match self {
            Self::WebSocket(socket) => socket.receive().await,
            Self::Polling(polling) => polling.receive().await,
        }
    }

    /// Sends one packet; returns when the system (WebSocket) or the server (polling) has it.
    pub(crate) async fn send(&mut self, packet: String) -> Result<(), CloseReason> {
        let send = async {
            match self {
                Self::WebSocket(socket) => socket.send(packet).await,
                Self::Polling(polling) => polling.send(packet).await,
            }
        };
        timeout(SEND_DEADLINE, send)
            .await
            .map_err(|_| CloseReason::Transport(format!("nothing sent for {SEND_DEADLINE:?}")))?
    }

    /// Ends the connection as the protocol says.
    pub(crate) async fn close(&mut self) -> Result<(), CloseReason> {
        match self {
            Self::WebSocket(socket) => socket.close().await,
            Self::Polling(polling) => polling.send("1".to_owned()).await,
        }
    }
}

fn dial(options: &SessionOptions) -> Dial {
    Dial {
        address: options.address,
        source_ip: options.source_ip,
        receive_buffer: options.receive_buffer,
    }
}

/// The packets of a long-polling body.
fn split(body: &str) -> VecDeque<String> {
    body.split(crate::packet::SEPARATOR).map(str::to_owned).collect()
}
