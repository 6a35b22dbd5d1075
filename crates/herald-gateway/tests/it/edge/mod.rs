//! The edge: from the TCP socket to Socket.IO's handlers.

mod admission;
mod bounds;
mod closing;
mod facts;
mod listener;
mod memory;
mod tls;
