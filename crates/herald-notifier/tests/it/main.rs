//! The notifier over real sockets, with the embedded backplane unless said otherwise.

mod bad_input;
mod callers;
mod ending;
mod explain;
mod figures;
mod harness;
mod inbox;
mod lifecycle;
mod limits;
mod openapi;
mod outage;
mod presence;
mod process;
mod receipts;
mod retries;
mod sending;
mod standard;
mod tls;
mod volatile;
