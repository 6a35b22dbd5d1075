//! A raw Socket.IO client in quantity: [`Session`]s over WebSocket and long-polling, many from one
//! process and from many source addresses, [`Sender`]s that send notices over gRPC and HTTP, and a
//! [`Checker`] that compares what was sent with what every session received.
//!
//! Two ways to use it: checking, where every notice is remembered and judged, and [measuring](measure), where as little as possible is done for each.
//!
//! It speaks Engine.IO 4 and Socket.IO 5 itself and shares no code with the gateway, so that a
//! mistake there is not made here too. Payloads stay the text that was on the wire.

pub mod checker;
pub mod error;
pub mod event;
pub mod files;
mod follow;
pub mod http;
pub mod measure;
mod net;
pub mod options;
mod packet;
pub mod procfs;
pub mod progress;
pub mod returning;
pub mod sender;
mod session;
mod transport;

pub use crate::{
    checker::{Checker, Reader, Report},
    error::{CloseReason, ConnectError},
    event::{Event, Gap, Notice, Ready},
    follow::Follower,
    options::{SessionOptions, TokenIn, Transport},
    returning::{Habits, Returning, Turnout},
    sender::{Accepted, Outgoing, Receipt, SendError, Sender, WaitFor},
    session::Session,
};
