//! Ports that nobody else takes.
//!
//! Binding port 0 and letting it go again is a race: the system may give the same port to an
//! outgoing connection before the child has bound it, and a test that restarts a server on its old
//! port lives with that race for seconds. So ports come from below the system's range for
//! outgoing connections (32768 and up on Linux), and each is claimed by a locked file that all
//! test processes of this machine agree on. The lock goes with the process, however it ends.

use std::{
    env,
    fs::{self, File, OpenOptions},
    net::{SocketAddr, TcpListener},
    ops::Range,
};

use anyhow::{Context as _, bail};
use rand::RngExt as _;

const RANGE: Range<u16> = 20_000..30_000;

/// A port on 127.0.0.1 that is this process' own for as long as this value lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _claim: File,
}

impl Port {
    /// Claims a port that nothing listens on.
    ///
    /// # Errors
    ///
    /// When the lock files cannot be made or no port is left.
    pub fn claim() -> anyhow::Result<Self> {
        let locks = env::temp_dir().join("herald-e2e-ports");
        fs::create_dir_all(&locks).with_context(|| format!("cannot make {}", locks.display()))?;
        let first = rand::rng().random_range(RANGE);
        for number in (first..RANGE.end).chain(RANGE.start..first) {
            let claim = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(locks.join(number.to_string()))
                .context("cannot open a port's lock file")?;
            // Somebody who knows nothing of the locks may have it: bind to see. The standard
            // library sets SO_REUSEADDR, so connections in TIME_WAIT do not count.
            if claim.try_lock().is_ok() && TcpListener::bind(("0.0.0.0", number)).is_ok() {
                return Ok(Self { number, _claim: claim });
            }
        }
        bail!("no port from {} to {} is free", RANGE.start, RANGE.end)
    }

    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The port on 127.0.0.1.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_out_once_and_can_be_bound() {
        let ports: Vec<_> = (0..50).map(|_| Port::claim().unwrap()).collect();
        let mut numbers: Vec<_> = ports.iter().map(Port::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ports.len());
        TcpListener::bind(ports[0].address()).unwrap();
    }
}
