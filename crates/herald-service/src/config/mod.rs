//! One rule for every option of every process.
//!
//! An option is the environment variable `HERALD_X_Y` and the flag `--x-y`; the flag wins, an
//! empty variable counts as unset. What may hold a credential can also be given as a file
//! (`HERALD_X_Y_FILE`, `--x-y-file`). Declaring an option on a [`Reader`] reads it, checks it,
//! documents it in `--help` and prints it in `--check-config`, all from the one line.
//!
//! A faulty value never stops the reading: the declaration hands out a stand-in (its default or
//! example), notes a [`Fault`], and [`Reader::finish`] gives all faults together instead of the
//! options, so a stand-in is never acted upon.
//!
//! ```
//! use std::{net::SocketAddr, time::Duration};
//! use herald_service::config::{self, ByteSize, Reader, Secret, Source};
//!
//! struct Options {
//!     listen: SocketAddr,
//!     lease: Duration,
//!     payload: ByteSize,
//!     namespaces: Vec<String>,
//!     secret: Option<Secret>,
//! }
//!
//! fn read(r: &mut Reader) -> Options {
//!     r.group("Gateway");
//!     Options {
//!         listen: r
//!             .option("HERALD_GATEWAY_LISTEN", "Where clients connect")
//!             .default("0.0.0.0:8013"),
//!         lease: r
//!             .option("HERALD_LEASE", "How long a silent gateway is believed alive")
//!             .within(Duration::from_secs(2)..=Duration::from_secs(300))
//!             .default("10s"),
//!         payload: r.option("HERALD_MAX_PAYLOAD", "Largest payload").default("64KiB"),
//!         namespaces: r.option("HERALD_NAMESPACES", "Namespaces served").default("/notice,/"),
//!         secret: r.secret("HERALD_JWT_SECRET", "Key of HS256 tokens").optional(),
//!     }
//! }
//!
//! let source = Source::new(["--lease", "5s"], [("HERALD_NAMESPACES", "/notice")]);
//! let options = config::load(source, read).unwrap();
//! assert_eq!(options.lease, Duration::from_secs(5));
//! assert_eq!(options.payload.bytes(), 65_536);
//! assert_eq!(options.namespaces, ["/notice"]);
//! # assert!(options.secret.is_none());
//! # assert_eq!(options.listen.port(), 8013);
//! ```

mod declaration;
mod effective;
mod fault;
mod help;
mod lookup;
mod names;
mod reader;
mod secret;
mod source;
mod value;

pub use declaration::Declaration;
pub use effective::{Effective, Setting};
pub use fault::{Fault, Faults};
pub use reader::Reader;
pub use secret::{MASK, Secret};
pub use source::{Origin, Source};
pub use value::{ByteSize, Value};

pub(crate) use help::HelpText;

/// Reads options from a source: the options, or everything that is wrong. What
/// [`launch`](crate::launch()) does for a `main`, for tests and for embedding a service.
pub fn load<O>(source: Source, read: impl FnOnce(&mut Reader) -> O) -> Result<O, Faults> {
    let mut reader = Reader::new(source);
    let options = read(&mut reader);
    reader.finish().map(|_| options)
}

#[cfg(test)]
mod tests;
