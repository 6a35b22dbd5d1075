//! A redis-server of a test's own, that the test can stop and start as it likes.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

/// A port that a server will have.
pub(crate) struct Reserved {
    pub(crate) url: String,
    port: u16,
}

/// A server that ends with its value.
pub(crate) struct RedisServer {
    pub(crate) url: String,
    port: u16,
    server: Child,
    _directory: tempfile::TempDir,
}

impl RedisServer {
    /// Finds a port, without a server on it yet.
    pub(crate) fn reserve() -> Reserved {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        Reserved { url: format!("redis://127.0.0.1:{port}/0"), port }
    }

    /// Stops it in the middle of whatever it does.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Removes everything that is in it.
    pub(crate) fn empty(&self) {
        assert_eq!(self.ask("FLUSHALL"), "OK");
    }

    /// What an operator would be answered. No word of the command holds a space; of a list only
    /// its length is given.
    pub(crate) fn ask(&self, command: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut answers = BufReader::new(stream);
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        assert_ne!(kind, "-", "{command}: {rest}");
        if kind != "$" {
            return rest.to_owned();
        }
        let mut text = vec![0; rest.parse().unwrap()];
        answers.read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    /// How often each command was run so far.
    pub(crate) fn commands(&self) -> BTreeMap<String, u64> {
        let stats = self.ask("INFO commandstats");
        let read = |line: &str| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), figures.split(',').next()?.parse().ok()?))
        };
        stats.lines().filter_map(read).collect()
    }

    fn signal(&self, name: &str) {
        let pid = self.server.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(sent.success());
    }
}

impl Reserved {
    /// Starts the server.
    pub(crate) fn start(self) -> RedisServer {
        let directory = tempfile::tempdir().unwrap();
        let mut server = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server is installed");
        let mut log = BufReader::new(server.stdout.take().unwrap()).lines();
        assert!(
            log.any(|line| line.unwrap().contains("Ready to accept connections")),
            "redis-server did not start"
        );
        std::thread::spawn(move || log.for_each(drop));
        RedisServer { url: self.url, port: self.port, server, _directory: directory }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
