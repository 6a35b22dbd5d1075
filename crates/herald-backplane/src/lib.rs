//! The backplane: registry of sessions, inboxes of notices, channels to
//! gateways. Embedded for one process, Redis for many.
//!
//! Only this crate knows a key or a channel name. Start at [`port`].

mod clock;
mod ending;
mod error;
mod events;
mod figures;
pub mod memory;
mod places;
pub mod port;
mod receipts;
pub mod redis;
mod trace;
mod wire;

pub use clock::Clock;
pub use ending::{Admission, EndOrder, EndReason, Ending, Mark, Standing};
pub use error::{BackplaneError, LeaseError, OpenError};
pub use events::{Announced, GatewayEvent, GatewayEvents, VolatileNotice};
pub use places::{Found, FoundNotice, InboxState, Places, SessionPlace};
pub use port::{
    Audit, Backplane, BackplaneOptions, Believed, Dispatched, Finding, GatewayPort, Health,
    InboxNotice, Key, NotifierPort, Page, Presence, Reaped, Sent, Since, Target, Terms,
};
pub use receipts::{
    GoneReason, Kept, KeptReport, KeptTarget, KeptTargets, Outgoing, Receipt, ReceiptEvent,
    ReceiptEvents, ReceiptState, ReceiptsWanted, Report, Reported,
};
pub use trace::{SPANS, UNTRACED, is_traced};
