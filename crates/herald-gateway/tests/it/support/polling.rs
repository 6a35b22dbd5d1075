//! A raw HTTP/1.1 client on one connection, and Engine.IO's polling on top.

use std::{collections::HashMap, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::soon;

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// One kept-alive connection.
pub(crate) struct Http {
    pub(crate) stream: TcpStream,
    address: SocketAddr,
}

impl Http {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, address }
    }

    /// Sends a request without waiting for its answer.
    pub(crate) async fn send(&mut self, method: &str, target: &str, headers: &str, body: &str) {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            self.address,
            body.len(),
        );
        // The other side may have answered and closed before it has read everything.
        let _ = self.stream.write_all(request.as_bytes()).await;
    }

    /// The next answer; `None` when the connection ended instead.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        soon("an answer", read_answer(&mut self.stream)).await
    }

    pub(crate) async fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> Answer {
        self.send(method, target, headers, body).await;
        self.answer().await.expect("an answer")
    }

    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, "", "").await
    }
}

async fn read_answer(stream: &mut TcpStream) -> Option<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |n| n.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Answer { status, headers, body: String::from_utf8(body).unwrap() })
}

/// Opens an Engine.IO session and leaves it there; returns its sid.
pub(crate) async fn handshake(http: &mut Http) -> String {
    let answer = http.get("/notice/?EIO=4&transport=polling").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let open: serde_json::Value =
        serde_json::from_str(answer.body.strip_prefix('0').unwrap()).unwrap();
    open["sid"].as_str().unwrap().to_owned()
}

/// The request target of a session.
pub(crate) fn target(sid: &str) -> String {
    format!("/notice/?EIO=4&transport=polling&sid={sid}")
}

/// A polling session in `/notice`: one connection for polls, one for packets.
pub(crate) struct Polling {
    pub(crate) polls: Http,
    pub(crate) pushes: Http,
    pub(crate) sid: String,
}

impl Polling {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut polls = Http::connect(address).await;
        let sid = handshake(&mut polls).await;
        let pushes = Http::connect(address).await;
        let mut this = Self { polls, pushes, sid };
        // The first ping is sent at once.
        assert_eq!(this.poll().await.body, "2");
        assert_eq!(this.push("3\u{1e}40/notice,").await.status, 200);
        let answer = this.poll().await;
        assert!(answer.body.starts_with("40/notice,"), "{answer:?}");
        this
    }

    pub(crate) async fn push(&mut self, packets: &str) -> Answer {
        let target = target(&self.sid);
        self.pushes.request("POST", &target, "", packets).await
    }

    pub(crate) async fn poll(&mut self) -> Answer {
        self.start_poll().await;
        self.polls.answer().await.expect("an answer")
    }

    pub(crate) async fn start_poll(&mut self) {
        let target = target(&self.sid);
        self.polls.send("GET", &target, "", "").await;
    }
}
