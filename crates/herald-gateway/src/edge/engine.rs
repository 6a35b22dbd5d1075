//! Socket.IO's configuration: tight limits instead of the library's generous ones.

use std::time::Duration;

use socketioxide::{ParserConfig, SocketIo, SocketIoBuilder, TransportType};

/// The service that speaks Engine.IO and Socket.IO. Clones share their sessions.
pub type EngineService =
    socketioxide::service::SocketIoService<engineioxide::service::NotFoundService>;

/// Limits and times of the Engine.IO server.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Path of the Engine.IO requests, with a leading and without a trailing slash.
    pub path: String,
    /// Time between two pings to a client.
    pub ping_interval: Duration,
    /// Time a client has for answering a ping.
    pub ping_timeout: Duration,
    /// Time a client has for connecting to a namespace after its handshake; a client that does
    /// not holds memory for that long.
    pub connect_timeout: Duration,
    /// Time for changing from polling to WebSocket.
    pub upgrade_timeout: Duration,
    /// How long a client's acknowledgement of a notice is awaited.
    pub ack_timeout: Duration,
    /// Largest packet from a client, in bytes, over WebSocket and polling alike (there it is the
    /// largest body). A client that sends more is disconnected. Packets to clients may be larger.
    pub max_packet_bytes: usize,
    /// Packets waiting for one client. A burst above it is refused by the emit call, and a queue
    /// still full at the next ping ends the session.
    pub max_queued_packets: usize,
    /// First size of a WebSocket's read buffer, in bytes; held by each idle session.
    pub ws_read_buffer_bytes: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            path: "/notice".to_owned(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            upgrade_timeout: Duration::from_secs(10),
            ack_timeout: Duration::from_secs(60),
            max_packet_bytes: 16 * 1024,
            max_queued_packets: 128,
            ws_read_buffer_bytes: 512,
        }
    }
}

/// Attachments of one binary packet from a client. Clients have nothing binary to say.
const MAX_ATTACHMENTS: usize = 8;

/// A builder with these limits set, open for state; `build_svc()` makes service and handle.
///
/// Not for `build_layer()`: a layer makes another engine, with sessions of its own, for each
/// service it is applied to.
#[must_use]
pub fn builder(options: &EngineOptions) -> SocketIoBuilder {
    let parser = ParserConfig::common()
        .max_incoming_binaries(MAX_ATTACHMENTS)
        .max_incoming_binary_buf_size(options.max_packet_bytes)
        .packet_completion_timeout(options.connect_timeout);
    SocketIo::builder()
        .with_parser(parser)
        .req_path(options.path.clone())
        .ping_interval(options.ping_interval)
        .ping_timeout(options.ping_timeout)
        .connect_timeout(options.connect_timeout)
        .upgrade_timeout(options.upgrade_timeout)
        .ack_timeout(options.ack_timeout)
        .max_payload(options.max_packet_bytes as u64)
        .ws_max_message_size(options.max_packet_bytes)
        .ws_max_frame_size(options.max_packet_bytes)
        .max_buffer_size(options.max_queued_packets)
        .ws_read_buffer_size(options.ws_read_buffer_bytes)
        .transports([TransportType::Polling, TransportType::Websocket])
}

/// Service and handle with these limits and no state.
#[must_use]
pub fn build(options: &EngineOptions) -> (EngineService, SocketIo) {
    builder(options).build_svc()
}
