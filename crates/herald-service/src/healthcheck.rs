//! Asking a running process how it is.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use crate::exit::Exit;

/// Longest answer read; `/ready` is a few hundred bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Which question to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// `/ready`: can it do its work?
    Ready,
    /// `/live`: does it run at all?
    Live,
}

impl Probe {
    fn path(self) -> &'static str {
        match self {
            Self::Ready => "/ready",
            Self::Live => "/live",
        }
    }
}

/// Asks the admin port at `address` and prints its answer: [`Exit::Clean`] when it is a 200,
/// [`Exit::Unhealthy`] when it is anything else or none came within `deadline`. A wildcard
/// address is asked on loopback. Blocks, needs no runtime.
pub fn healthcheck(address: SocketAddr, probe: Probe, deadline: Duration) -> Exit {
    let address = reachable(address);
    match ask(address, probe.path(), deadline) {
        Ok((200, body)) => {
            println!("{}", body.trim_end());
            Exit::Clean
        }
        Ok((status, body)) => {
            eprintln!("http://{address}{} answers {status}: {}", probe.path(), body.trim_end());
            Exit::Unhealthy
        }
        Err(error) => {
            eprintln!("no answer from http://{address}{}: {error}", probe.path());
            Exit::Unhealthy
        }
    }
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The status and body of a plain GET, in `deadline` altogether.
fn ask(address: SocketAddr, path: &str, deadline: Duration) -> io::Result<(u16, String)> {
    let end = Instant::now() + deadline;
    // A time-out of zero is refused by the system.
    let left = || match end.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;

    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while answer.len() < MAX_ANSWER_BYTES {
        stream.set_read_timeout(Some(left()?))?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(size) => answer.extend_from_slice(&chunk[..size]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What the system calls a time-out on a read.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is not HTTP"))
}

fn parse(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let mut words = head.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    let status = words.next()?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_wildcard_is_asked_on_loopback() {
        let reach = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:9013"), "127.0.0.1:9013");
        assert_eq!(reach("[::]:9013"), "[::1]:9013");
        assert_eq!(reach("127.0.0.2:9013"), "127.0.0.2:9013");
    }

    #[test]
    fn a_peer_that_accepts_and_says_nothing_runs_into_the_deadline() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let start = Instant::now();
        let address = silent.local_addr().unwrap();
        let error = ask(address, "/ready", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn something_that_is_not_http_is_said_to_be() {
        assert_eq!(
            parse("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nno"),
            Some((503, "no".into()))
        );
        assert_eq!(parse("-ERR unknown command\r\n\r\n"), None);
        assert_eq!(parse(""), None);
    }
}
