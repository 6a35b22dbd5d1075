//! Nothing accepted is lost, doubled or out of order: not on a restless network, not under racing
//! senders, not when the channel is cut, a socket stops reading, or Redis loses what it had.
//!
//! The long versions are left out of `make test`: `make jitter` and `make soak` run them.

mod channel;
mod jitter;
mod order;
mod reset;
mod retries;
mod slow;
