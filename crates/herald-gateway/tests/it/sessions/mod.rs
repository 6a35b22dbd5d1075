//! Sessions on a whole gateway: who gets in, and what they get.

mod audit;
mod auth;
mod cursors;
mod delivery;
mod drain;
mod endings;
mod expiry;
mod jwks;
mod kicked;
mod lease;
mod outage;
mod receipts;
mod slow;
mod token_end;
mod volatile;
mod webhook;
