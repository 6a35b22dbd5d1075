//! The edge of the gateway: everything between the TCP socket and Socket.IO's handlers.
//!
//! ```text
//! TcpListener ─▶ listener ─▶ OwnedStream ─▶ hyper ─▶ cors ─▶ gate ─▶ Engine.IO ─▶ handlers
//!                (bounds,     (kill handle,          (any     (admission,
//!                 time-outs)   byte counts)          origin)  compaction, transports)
//! ```
//!
//! Socket.IO's server has no call that closes one connection, and its disconnect packet makes the
//! stock clients stay away. So the gateway owns each TCP connection and closes a client's
//! *transport* when that client shall come back: see [`Transports`].
//!
//! # How the parts fit
//! ```no_run
//! # use herald_gateway::edge::{self, *};
//! # async fn example() -> std::io::Result<()> {
//! let engine = EngineOptions::default();
//! let (service, io) = engine::builder(&engine).build_svc();
//! let admission = Admission::new(AdmissionOptions::default());
//! let transports = Transports::new(service.clone(), &engine.path);
//! let router = edge::router(service, &RouterOptions {
//!     path: engine.path.clone(),
//!     admission: admission.clone(),
//!     transports: transports.clone(),
//!     origins: Origins::Any,
//!     body_timeout: std::time::Duration::from_secs(10),
//! });
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8013").await?;
//! let edge = edge::serve(listener, router, EdgeOptions::default())?;
//! // in a connect handler: transports.of(socket.id, socket.req_parts())
//! # drop((edge, io)); Ok(()) }
//! ```

mod admission;
mod close;
mod compact;
mod connection;
pub mod engine;
mod figures;
mod listener;
mod origins;
mod request;
mod router;
mod stream;
mod transports;

pub use admission::{Admission, AdmissionOptions, Connecting, HandshakeRate, Refusal};
pub use close::CloseReason;
pub use compact::{Handshake, Token};
pub use connection::ConnectionHandle;
pub use engine::EngineOptions;
pub use listener::{EdgeHandle, EdgeOptions, serve};
pub use origins::{InvalidOrigin, Origins};
pub use router::{RouterOptions, router};
pub use stream::OwnedStream;
pub use transports::{Transport, Transports};
