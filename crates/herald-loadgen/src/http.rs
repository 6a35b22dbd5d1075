//! A minimal HTTP/1.1 client: one address, one connection, kept alive.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use crate::net::Dial;

/// The largest answer that is read.
const MAX_BODY: usize = 32 << 20;

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection could not be opened.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The request could not be built from what was given.
    #[error("bad request: {0}")]
    Request(#[from] ::http::Error),
    /// The connection broke before the answer was complete.
    #[error("no answer: {0}")]
    Exchange(#[from] hyper::Error),
    /// The answer's body broke off, or was larger than 32 MiB.
    #[error("unreadable body: {0}")]
    Body(String),
    /// The time for it was over.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
}

/// A client for one address with at most one connection, opened when needed and kept alive.
/// Requests go one after the other; for more at once, use more clients.
#[derive(Debug)]
pub struct HttpClient {
    dial: Dial,
    host: String,
    headers: HeaderMap,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl HttpClient {
    /// A client that has not connected yet.
    pub fn new(address: SocketAddr) -> Self {
        let dial = Dial { address, source_ip: None, receive_buffer: None };
        Self::dialling(dial, address.to_string(), HeaderMap::new())
    }

    /// The same from a local address.
    #[must_use]
    pub fn source_ip(mut self, source_ip: IpAddr) -> Self {
        self.dial.source_ip = Some(source_ip);
        self
    }

    pub(crate) fn dialling(dial: Dial, host: String, headers: HeaderMap) -> Self {
        Self { dial, host, headers, connection: None }
    }

    /// Sends a GET request.
    ///
    /// # Errors
    ///
    /// See [`request`](Self::request).
    pub async fn get(&mut self, target: &str) -> Result<Response<Bytes>, HttpError> {
        self.request(Method::GET, target, &[], Bytes::new()).await
    }

    /// Sends a POST request with JSON.
    ///
    /// # Errors
    ///
    /// See [`request`](Self::request).
    pub async fn post_json(
        &mut self,
        target: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Bytes>, HttpError> {
        self.request(Method::POST, target, &[("content-type", "application/json")], body.into())
            .await
    }

    /// Sends a request and reads the whole answer, whatever its status. `target` is path and
    /// query. A request that never left, because a kept connection had been closed meanwhile, goes
    /// out again on a new one.
    ///
    /// # Errors
    ///
    /// [`HttpError`], never for a status. There is no deadline here: the caller has one.
    pub async fn request(
        &mut self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Response<Bytes>, HttpError> {
        let build = || {
            let mut request = Request::builder()
                .method(method.clone())
                .uri(target)
                .header(header::HOST, &self.host);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let mut request = request.body(Full::new(body.clone()))?;
            request.headers_mut().extend(self.headers.clone());
            Ok::<_, HttpError>(request)
        };
        let (first, second) = (build()?, build()?);
        let kept = self.connection.is_some();
        match self.exchange(first).await {
            // Only what hyper gives back unsent may be repeated: a POST might count twice.
            Err(HttpError::Exchange(e)) if kept && e.is_canceled() => self.exchange(second).await,
            other => other,
        }
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, HttpError> {
        // Taken, so that a request given up half-way takes its connection with it.
        let kept = match self.connection.take() {
            Some(mut kept) => kept.ready().await.is_ok().then_some(kept),
            None => None,
        };
        let mut connection = match kept {
            Some(kept) => kept,
            None => self.open().await?,
        };
        let (head, body) = connection.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_BODY)
            .collect()
            .await
            .map_err(|e| HttpError::Body(e.to_string()))?
            .to_bytes();
        self.connection = Some(connection);
        Ok(Response::from_parts(head, body))
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, HttpError> {
        let stream = self.dial.connect().await.map_err(HttpError::Connect)?;
        let (mut connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the connection's handle; what it has to report comes out of the request.
        tokio::spawn(driver);
        connection.ready().await?;
        Ok(connection)
    }
}

/// `Retry-After` in seconds; the other form, a date, is not understood.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// One GET with a connection of its own and a deadline: status and body as text.
///
/// # Errors
///
/// [`HttpError`], never for a status.
pub async fn get_once(
    address: SocketAddr,
    target: &str,
    deadline: Duration,
) -> Result<(StatusCode, String), HttpError> {
    let mut client = HttpClient::new(address);
    let answer = tokio::time::timeout(deadline, client.get(target))
        .await
        .map_err(|_| HttpError::TimedOut(deadline))??;
    Ok((answer.status(), String::from_utf8_lossy(answer.body()).into_owned()))
}
