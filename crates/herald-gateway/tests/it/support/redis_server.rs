//! A redis-server of a test's own, that the test can stop and start as it likes.

use std::{
    io::{BufRead, BufReader, Write},
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
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"FLUSHALL\r\n").unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert_eq!(answer, "+OK\r\n");
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
