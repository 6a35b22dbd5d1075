//! Redis servers for all tests of this process.

use std::{
    io::{self, BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use herald_e2e::{Cluster, Sentinel};

/// A server that lives as long as this process: its keeper ends it when our end
/// of the pipe closes, which the kernel sees to however this process ends.
pub(crate) struct RedisServer {
    /// Database 0 of the server.
    pub(crate) url: String,
    _keeper: Child,
}

const KEEPER: &str = r#"
redis-server --port "$1" --bind 127.0.0.1 --save "" --appendonly no --dir "$2" 2>&1 &
server=$!
cat >/dev/null
kill "$server"
wait "$server"
rm -rf "$2"
"#;

impl RedisServer {
    pub(crate) fn shared() -> &'static Self {
        static SERVER: OnceLock<RedisServer> = OnceLock::new();
        SERVER.get_or_init(Self::alone)
    }

    /// One of the caller's own, to be mistreated.
    pub(crate) fn alone() -> Self {
        // Between finding a free port and using it somebody else may have taken it.
        (0..10).find_map(|_| Self::start()).expect("no redis-server could be started")
    }

    fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = tempfile::tempdir().unwrap().keep();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper", &port.to_string()])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(keeper.stdout.take().unwrap());
        let mut line = String::new();
        while log.read_line(&mut line).unwrap() > 0 {
            if line.contains("Ready to accept connections") {
                std::thread::spawn(move || io::copy(&mut log, &mut io::sink()));
                return Some(Self { url: format!("redis://127.0.0.1:{port}/0"), _keeper: keeper });
            }
            if line.contains("Failed listening") || line.contains("not found") {
                break;
            }
            line.clear();
        }
        drop(keeper.stdin.take());
        keeper.wait().unwrap();
        None
    }
}

/// So long that nobody is taken for dead in a test that is about something else.
const NEVER: Duration = Duration::from_secs(300);

/// One for all tests of this process.
pub(crate) fn shared_sentinel() -> &'static Sentinel {
    static SENTINEL: OnceLock<Sentinel> = OnceLock::new();
    SENTINEL.get_or_init(|| start(|| Sentinel::start(NEVER)))
}

/// One for all tests of this process.
pub(crate) fn shared_cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| start(|| Cluster::start(NEVER)))
}

/// Starts something that outlives the runtime of the test that needs it first.
fn start<T: Send, F: Future<Output = anyhow::Result<T>>>(starting: impl FnOnce() -> F + Send) -> T {
    let run = || tokio::runtime::Runtime::new().unwrap().block_on(starting()).unwrap();
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}
