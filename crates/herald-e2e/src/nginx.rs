//! nginx with the configuration of deploy/nginx, on the test's ports.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use herald_loadgen::{SessionOptions, http::get_once};

use crate::{
    binaries,
    eventually::within,
    ports::Port,
    process::{self, Process, Spawn},
    watchdog::Watchdog,
};

/// What deploy/nginx says, and is replaced by the test's.
const LISTEN: &str = "listen 8000 ";
const GATEWAYS: [&str; 2] = ["server 127.0.0.1:8013 ", "server 127.0.0.1:8014 "];
const INCLUDE: &str = "include herald/upstream-ip-hash.conf;";

/// How long it may take to start, and one look at it.
const DEADLINE: Duration = Duration::from_secs(20);
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// Which of deploy/nginx' upstream files is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// Sticky by the client's address (all of 127.0.0.x is one client, 127.0.x.1 are many).
    IpHash,
    /// Sticky by the token in the query.
    TokenHash,
    /// Not sticky; WebSocket alone.
    WebSocketOnly,
}

impl Upstream {
    fn file(self) -> &'static str {
        match self {
            Self::IpHash => "upstream-ip-hash.conf",
            Self::TokenHash => "upstream-token-hash.conf",
            Self::WebSocketOnly => "upstream-websocket-only.conf",
        }
    }

    fn include(self) -> String {
        format!("include herald/{};", self.file())
    }
}

/// An nginx before two gateways.
#[derive(Debug)]
pub struct Nginx {
    port: Port,
    directory: PathBuf,
    process: Process,
}

impl Nginx {
    /// Renders the configuration and starts it, in the foreground.
    pub(crate) async fn start(
        directory: PathBuf,
        upstream: Upstream,
        gateways: [SocketAddr; 2],
        watchdog: &Arc<Watchdog>,
    ) -> anyhow::Result<Self> {
        let port = Port::claim()?;
        let files = binaries::root().join("deploy/nginx");
        render(&files, &directory, upstream, gateways, port.number())?;
        let spawn = Spawn::new("nginx", binaries::system("nginx")?)
            .args(["-p".as_ref(), directory.as_os_str()])
            .args(["-c", "nginx.conf", "-g", "daemon off;", "-e", "stderr"]);
        let mut nginx =
            Self { port, process: Process::spawn(&spawn, &directory, watchdog)?, directory };
        let address = nginx.address();
        let ended = within("nginx answers", DEADLINE, async || {
            if let Some(status) = nginx.process.ended()? {
                return Ok(Some(status));
            }
            // 404, as for all paths that are not the gateways'; any answer will do.
            get_once(address, "/", PROBE_DEADLINE).await?;
            anyhow::Ok(None)
        });
        match ended.await? {
            None => Ok(nginx),
            Some(status) => bail!("nginx ended with {status}: {}", nginx.process.log()),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Options for a session of this user through it.
    pub fn session(&self, user: &str) -> SessionOptions {
        SessionOptions::new(self.address(), user)
    }

    /// Its access log.
    pub fn access_log(&self) -> String {
        process::read(&self.directory.join("access.log"))
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Copies the configuration, with the test's ports and upstream in the place of its own. A file
/// that does not hold what is to be replaced has changed, and so must this.
fn render(
    from: &Path,
    to: &Path,
    upstream: Upstream,
    gateways: [SocketAddr; 2],
    listen: u16,
) -> anyhow::Result<()> {
    let copy = |file: &str, changes: &[(&str, String)]| {
        let path = from.join(file);
        let mut text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for (old, new) in changes {
            if !text.contains(old) {
                bail!("{} does not contain {old:?}", path.display());
            }
            text = text.replace(old, new);
        }
        process::write(&to.join(file), &text)
    };
    // Two are enough for a test, however many cores there are.
    let main = [
        (INCLUDE, upstream.include()),
        ("worker_processes auto;", "worker_processes 2;".to_owned()),
    ];
    copy("nginx.conf", &main)?;
    copy("herald/server.conf", &[(LISTEN, format!("listen 127.0.0.1:{listen} "))])?;
    let servers: Vec<_> = GATEWAYS
        .into_iter()
        .zip(gateways)
        .map(|(old, gateway)| (old, format!("server {gateway} ")))
        .collect();
    copy(&format!("herald/{}", upstream.file()), &servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_upstream_is_rendered_with_the_tests_ports() {
        let gateways = [([127, 0, 0, 1], 21_001).into(), ([127, 0, 0, 1], 21_002).into()];
        let files = binaries::root().join("deploy/nginx");
        for upstream in [Upstream::IpHash, Upstream::TokenHash, Upstream::WebSocketOnly] {
            let to = tempfile::tempdir().unwrap();
            render(&files, to.path(), upstream, gateways, 21_000).unwrap();
            let read = |file: &str| fs::read_to_string(to.path().join(file)).unwrap();
            assert!(read("nginx.conf").contains(&format!("\n    {}", upstream.include())));
            assert!(read("herald/server.conf").contains("listen 127.0.0.1:21000 "));
            let servers = read(&format!("herald/{}", upstream.file()));
            assert!(servers.contains("127.0.0.1:21001 ") && servers.contains("127.0.0.1:21002 "));
        }
    }
}
