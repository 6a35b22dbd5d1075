//! The backplane: registry of sessions, inboxes of notices, channels to
//! gateways. Embedded for one process, Redis for many.
//!
//! Only this crate knows a key or a channel name. Start at [`port`].

mod error;
pub mod memory;
pub mod port;
pub mod redis;
mod wire;

pub use error::{BackplaneError, LeaseError, OpenError};
pub use port::{
    Announced, Backplane, BackplaneOptions, Dispatched, GatewayEvent, GatewayEvents, GatewayPort,
    Health, InboxNotice, NotifierPort, Page, Presence, Reaped, Since, Target,
};
