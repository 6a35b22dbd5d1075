//! The gateway: holds the users' Socket.IO sessions and delivers notices to them.
//!
//! The way of a notice: `channel` hears of it and finds the user's `sessions`; each
//! `session` asks its `delivery` (a pure state machine) what to do, and `emit` hands it to
//! the socket. What is missed is read from the inbox by `catch_up`. What is in no inbox goes
//! straight to the sockets; `broadcast` emits what is for all of them. What becomes of a notice
//! that its sender wants to hear of is noted by the session and reported by `receipts`.
//!
//! The way of a client: [`edge`] (TCP, HTTP, admission) → `connect` with `handshake` and
//! [`auth`] → a session that catches up, and is registered by its first read.
//!
//! | | |
//! |---|---|
//! | `lease` | the gateway's claim to be alive, and its sessions' registration anew |
//! | `audit` | sessions compared in bulk with registry and inboxes, from time to time and in doubt |
//! | `expiry`, `renewal` | tokens that end, and new ones in their place |
//! | `ending` | sessions that end for good: kicked, evicted |
//! | `departures`, `sweep` | sessions that end, and those that ended unseen |
//! | `drain`, `shutdown` | the end: clients are sent elsewhere, and the rest is given back |
//! | `config`, `figures` | what it can be told, what it tells |
//!
//! ```no_run
//! use herald_backplane::Backplane;
//! use herald_gateway::{Gateway, GatewayOptions};
//! use herald_service::{Failure, Process};
//!
//! async fn serve(options: GatewayOptions, process: Process) -> Result<(), Failure> {
//!     let backplane = Backplane::open(&options.backplane)?;
//!     let gateway = Gateway::bind(options, backplane, process).await?;
//!     println!("clients connect to {}", gateway.address());
//!     gateway.run().await.map_err(Failure::unavailable)
//! }
//! ```

mod audit;
pub mod auth;
mod backoff;
mod broadcast;
mod catch_up;
mod channel;
mod config;
mod connect;
mod context;
mod delivery;
mod departures;
mod drain;
pub mod edge;
mod emit;
mod end_cause;
mod ending;
mod expiry;
mod figures;
mod gateway;
mod handshake;
#[doc(hidden)]
pub mod hot;
mod lease;
mod places;
mod receipts;
mod renewal;
mod session;
mod sessions;
mod shutdown;
mod sweep;
mod trace;

pub use config::GatewayOptions;
pub use gateway::{Gateway, GatewayError};
