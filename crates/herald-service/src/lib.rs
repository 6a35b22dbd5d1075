//! Process plumbing shared by all Herald services: configuration, telemetry, lifecycle, admin
//! port. It knows nothing of notices.
//!
//! | | |
//! |---|---|
//! | [`config`] | the one rule for options; every fault at once |
//! | [`launch`](launch()) | from `main` to the exit code |
//! | [`telemetry`] | logs, OTLP export, `traceparent` passed on |
//! | [`MetricsHandle`], [`Readiness`], [`AdminPort`] | `/metrics`, `/ready`, `/live`, `/log` |
//! | [`backplane_options`] | the options that all services share |
//! | [`Tls`] | TLS of a listener, its files read again when they change |
//! | [`Shutdown`], [`bind`], [`Exit`] | ending in time, sockets bound first, exit codes |
//!
//! Nothing here reads the process's environment or arguments by itself, and a service never needs
//! a global: what it gets is a [`Process`], of which a test makes as many as it likes. (The two
//! exceptions are not ours: `tracing` and `metrics` know one subscriber and one recorder for a
//! process; setting them up again is harmless.)
//!
//! # A service's `main`
//! ```no_run
//! use std::net::SocketAddr;
//! use herald_service::{
//!     AdminPort, Exit, Failure, Process, Program, bind,
//!     config::{Reader, Source},
//! };
//!
//! struct Options {
//!     listen: SocketAddr,
//!     admin_listen: SocketAddr,
//! }
//!
//! impl Options {
//!     fn read(r: &mut Reader) -> Self {
//!         r.group("Gateway");
//!         Self {
//!             listen: r
//!                 .option("HERALD_GATEWAY_LISTEN", "Where clients connect")
//!                 .default("0.0.0.0:8013"),
//!             admin_listen: r.admin_listen("HERALD_GATEWAY_ADMIN_LISTEN", "127.0.0.1:9013"),
//!         }
//!     }
//! }
//!
//! async fn serve(options: Options, process: Process) -> Result<(), Failure> {
//!     let clients = bind("HERALD_GATEWAY_LISTEN", options.listen).await?;
//!     let admin = bind("HERALD_GATEWAY_ADMIN_LISTEN", options.admin_listen).await?;
//!
//!     let backplane = process.readiness.condition("backplane");
//!     let admin = AdminPort::serve(admin, &process);
//!
//!     backplane.set_ready();
//!     let router = axum::Router::new();
//!     axum::serve(clients.listener, router)
//!         .with_graceful_shutdown(process.shutdown.requested_owned())
//!         .await?;
//!     admin.stop().await;
//!     Ok(())
//! }
//!
//! fn main() -> Exit {
//!     let program = Program {
//!         name: "herald-gateway",
//!         version: env!("CARGO_PKG_VERSION"),
//!         about: "Holds the sessions of Herald's clients",
//!     };
//!     let source = Source::new(std::env::args_os().skip(1), std::env::vars_os());
//!     herald_service::launch(&program, source, Options::read, serve)
//! }
//! ```

mod admin;
mod backplane;
pub mod config;
mod exit;
mod healthcheck;
mod launch;
mod listener;
mod metrics;
mod program;
mod readiness;
mod shutdown;
pub mod signals;
pub mod telemetry;
mod tls;

pub use admin::AdminPort;
pub use backplane::backplane_options;
pub use exit::{Chain, Exit, Failure};
pub use healthcheck::{Probe, healthcheck};
pub use launch::{Process, launch};
pub use listener::{BindError, Bound, bind};
pub use metrics::{ForeignRecorder, MetricsHandle};
pub use program::{Action, Program};
pub use readiness::{Condition, Readiness, Reason, Report};
pub use shutdown::{DeadlineExceeded, Shutdown, within};
pub use tls::{Tls, TlsOptions, TlsStream, TlsVariables, tls_options};
