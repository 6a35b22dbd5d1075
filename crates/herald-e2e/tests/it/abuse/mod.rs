//! What no decent client does must cost nobody else anything, and leave nothing behind.

mod aborts;
mod impostors;
mod packets;
mod strangers;
mod zero_window;
