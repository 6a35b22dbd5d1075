//! What a Redis server executes, as MONITOR tells it.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// Lines that a test may collect; more is a mistake in the test.
const MAX_LINES: usize = 5_000_000;

const DEADLINE: Duration = Duration::from_secs(30);

/// A running MONITOR.
#[derive(Debug)]
pub struct Monitor {
    address: SocketAddr,
    end: oneshot::Sender<String>,
    lines: JoinHandle<anyhow::Result<Vec<String>>>,
}

/// A PUBLISH or SPUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The channel.
    pub channel: String,
    /// The message.
    pub message: Vec<u8>,
}

impl Monitor {
    pub(super) async fn start(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = BufReader::new(TcpStream::connect(address).await?);
        stream.write_all(b"MONITOR\r\n").await?;
        let mut answer = String::new();
        timeout(DEADLINE, stream.read_line(&mut answer)).await??;
        if answer.trim_end() != "+OK" {
            bail!("MONITOR answered {answer:?}");
        }
        let (end, ended) = oneshot::channel();
        Ok(Self { address, end, lines: tokio::spawn(collect(stream, ended)) })
    }

    /// Ends it and returns all lines up to now, complete: a last command of its own was seen.
    ///
    /// # Errors
    ///
    /// When redis had cut the connection, so that lines may be missing.
    pub async fn stop(self) -> anyhow::Result<Vec<String>> {
        let mark = format!("end-of-monitor-{:016x}", rand::random::<u64>());
        self.end.send(mark.clone()).ok().context("MONITOR has ended early")?;
        let mut stream = TcpStream::connect(self.address).await?;
        stream.write_all(format!("ECHO {mark}\r\n").as_bytes()).await?;
        timeout(DEADLINE, self.lines).await.context("the end of MONITOR is not seen")??
    }

    /// Ends it and returns all that was published.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    pub async fn published(self) -> anyhow::Result<Vec<Published>> {
        Ok(self.stop().await?.iter().filter_map(|line| publish(line)).collect())
    }
}

async fn collect(
    mut stream: BufReader<TcpStream>,
    mut ended: oneshot::Receiver<String>,
) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut mark = None;
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            bail!("redis closed the connection of MONITOR");
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        mark = mark.or_else(|| ended.try_recv().ok());
        if mark.as_deref().is_some_and(|mark| line.contains(mark)) {
            return Ok(lines);
        }
        if lines.len() == MAX_LINES {
            bail!("more than {MAX_LINES} lines");
        }
        lines.push(line);
    }
}

/// The publication in a line such as `+1.2 [0 lua] "publish" "channel" "message"`.
fn publish(line: &str) -> Option<Published> {
    let (_, rest) = line.split_once("] \"")?;
    let (command, rest) = rest.split_once("\" \"")?;
    if !command.eq_ignore_ascii_case("publish") && !command.eq_ignore_ascii_case("spublish") {
        return None;
    }
    let (channel, message) = rest.split_once("\" \"")?;
    let message = unescape(message.strip_suffix('"').unwrap_or(message));
    Some(Published { channel: channel.to_owned(), message })
}

/// The bytes that MONITOR prints so.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, taken) = match (first, after) {
            (b'\\', [b'x', high, low, ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 4),
                _ => (b'\\', 1),
            },
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'a', ..]) => (0x07, 2),
            (b'\\', [b'b', ..]) => (0x08, 2),
            (b'\\', [other, ..]) => (*other, 2),
            (byte, _) => (*byte, 1),
        };
        bytes.push(byte);
        rest = &rest[taken..];
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publications_are_found_also_those_of_scripts() {
        let line = r#"+1339518083.107412 [0 lua] "PUBLISH" "h:v1:gw:0123" "\x0a\"x\\\n\xff""#;
        let expected =
            Published { channel: "h:v1:gw:0123".to_owned(), message: b"\x0a\"x\\\n\xff".to_vec() };
        assert_eq!(publish(line), Some(expected));
        assert_eq!(publish(r#"+1.2 [0 127.0.0.1:6] "get" "publish""#), None);
        assert_eq!(publish("+OK"), None);
    }
}
