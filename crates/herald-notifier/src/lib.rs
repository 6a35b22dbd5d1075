//! The service that backends call: gRPC, and the same as JSON over HTTP.
//!
//! # The walk
//! One file a step: `grpc.rs` (and `http.rs`, which ends in the same) takes a call in,
//! `validate.rs` says everything that is wrong with it, `send.rs` hands the notice to the
//! backplane, `receipts.rs` waits for what gateways report of it where that is asked for, and the
//! answer is what is known then. `batch.rs`, `list.rs` and `presence.rs` stand beside
//! `send.rs`. `call.rs` is what every call has (deadline, trace, figures), `error.rs` the one table
//! of errors for both protocols, `callers.rs` who calls and what it may, `admission.rs` the bound on
//! calls under way.
//!
//! # What it holds to
//! - Accepted means appended: an answer of OK was written to the user's inbox.
//! - A refusal says whether nothing happened or whether that is unknown.
//! - What this version does not offer is refused by name, never ignored.
//! - A receipt never claims more than was seen, and a wait never lasts longer than its call.
//! - It starts without the backplane and waits for it, saying so at `/ready` and in the gRPC health
//!   service.
//!
//! ```no_run
//! use herald_backplane::{Backplane, BackplaneOptions};
//! use herald_notifier::{Notifier, Options};
//! use herald_service::{Readiness, Shutdown};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let backplane = Backplane::open(&BackplaneOptions::default())?;
//! let notifier = Notifier::bind(Options::default(), backplane, &Readiness::new()).await?;
//! println!("gRPC at {}", notifier.grpc_address());
//! notifier.run(Shutdown::new()).await?;
//! # Ok(())
//! # }
//! ```

// Futures of calls go deep, down to the connection of a pool, and each has to be `Send`.
#![recursion_limit = "256"]

mod accept;
mod admission;
mod batch;
mod call;
mod callers;
mod config;
mod ending;
mod error;
mod explain;
mod field;
mod grpc;
mod health;
#[doc(hidden)]
pub mod hot;
mod http;
mod list;
mod metrics;
mod page_token;
mod presence;
mod reaper;
mod receipts;
mod send;
mod service;
mod trace;
mod validate;

pub use callers::{ApiKeys, KeyRequest, NewKey, new_key};
pub use config::{Options, ProcessOptions};
pub use http::explanation_json;
pub use service::{Notifier, RunError, serve};
