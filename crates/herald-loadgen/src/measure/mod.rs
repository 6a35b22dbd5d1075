//! Load for measuring, with as little work for each notice as there can be: a [`Swarm`] of clients
//! that only read a time stamp and count, and a [`Run`] that sends to their users, closed (so many
//! calls in flight) or open (so many a second, whatever the answers take).
//!
//! In an open loop each notice has its own time by the schedule, and latency counts from that time
//! on: a system that stalls is not let off by a producer that waits for it (no coordinated
//! omission). Stamps are of the system's monotonic clock, so that they hold across processes of
//! one machine, and across none.
//!
//! Besides Herald it drives anything that passes a payload on unchanged: Socket.IO servers, and
//! plain WebSocket ones with publishers over HTTP.

mod client;
mod figures;
mod meter;
mod producer;
mod run;
mod swarm;
mod tokens;

pub use self::{
    client::Dialect,
    figures::{Figures, Spread, Summary},
    producer::Producer,
    run::{Load, Plan, Run},
    swarm::{Opened, Population, Swarm},
    tokens::{Signer, Tokens},
};
