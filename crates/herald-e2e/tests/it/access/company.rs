//! A service of the company, over https: it publishes keys, or knows tokens.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::certificates::Certified;

/// How it answers.
#[derive(Debug, Clone)]
pub(super) enum Says {
    Json(Value),
    Status(u16),
    /// No JSON.
    Garbage,
    /// Nothing, over a connection that stays open.
    Nothing,
    /// Key after key, until nobody reads any more.
    KeysWithoutEnd,
    /// To ask somebody else.
    Elsewhere(String),
}

/// The service. It ends when this is dropped.
pub(super) struct Company {
    port: u16,
    says: Arc<Mutex<Says>>,
    /// The most that was written as one answer.
    most: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Company {
    pub(super) async fn start(certified: &Certified, says: Says) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (says, most) = (Arc::new(Mutex::new(says)), Arc::new(AtomicUsize::new(0)));
        let acceptor = TlsAcceptor::from(Arc::new(certified.server()));
        let (answer, longest) = (Arc::clone(&says), Arc::clone(&most));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, says) = (acceptor.clone(), Arc::clone(&answer));
                let longest = Arc::clone(&longest);
                connections.spawn(async move {
                    let written = serve(acceptor, stream, says).await;
                    longest.fetch_max(written, Relaxed);
                });
            }
        });
        Self { port, says, most, _serving: serving }
    }

    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}/", self.port)
    }

    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub(super) fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    pub(super) fn most_written(&self) -> usize {
        self.most.load(Relaxed)
    }
}

/// Serves one connection for one question; how many bytes the answer had.
async fn serve(acceptor: TlsAcceptor, stream: TcpStream, says: Arc<Mutex<Says>>) -> usize {
    // Who does not trust the certificate goes away.
    let Ok(mut stream) = acceptor.accept(stream).await else { return 0 };
    let mut question = Vec::new();
    while !is_whole(&question) {
        match stream.read_buf(&mut question).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return 0,
        }
    }
    let says = says.lock().unwrap().clone();
    let (status, header, body) = match says {
        Says::Json(json) => (200, String::new(), json.to_string()),
        Says::Status(status) => (status, String::new(), String::new()),
        Says::Garbage => (200, String::new(), "<html>".to_owned()),
        Says::Elsewhere(url) => (302, format!("location: {url}\r\n"), String::new()),
        Says::Nothing => return std::future::pending().await,
        Says::KeysWithoutEnd => {
            let mut written = 0;
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"keys\":[";
            let key = r#"{"kty":"EC","kid":"another","crv":"P-256","x":"AA","y":"AA"},"#;
            let mut more = head.to_owned();
            while stream.write_all(more.as_bytes()).await.is_ok() {
                written += more.len();
                more = key.repeat(200);
            }
            return written;
        }
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} X\r\n{header}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
    answer.len()
}

/// Whether a question has its head, and as much of a body as that says.
fn is_whole(question: &[u8]) -> bool {
    let text = String::from_utf8_lossy(question).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.trim().parse().unwrap())
}
