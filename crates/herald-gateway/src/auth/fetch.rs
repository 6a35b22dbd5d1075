//! Questions to services of the company: its JWKS, its webhook. Always with a deadline, and never
//! more of an answer than is wanted.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use herald_service::Chain;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore};

/// How long a connection that is not used is kept.
const IDLE: Duration = Duration::from_secs(30);

/// A client of HTTP/1 over TCP or TLS. It follows no redirects: who may say who somebody is must
/// not be somebody else's decision.
#[derive(Debug, Clone)]
pub(super) struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer. Nothing of the question is in it.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("its answer breaks off, or has more than {0} bytes")]
    Body(usize),
}

impl HttpClient {
    /// A client that trusts the system's certificates, or those of `SSL_CERT_FILE`.
    pub(super) fn new() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = || {
            ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .expect("ring offers TLS 1.2 and 1.3")
        };
        let config = builder().with_native_roots().unwrap_or_else(|error| {
            tracing::warn!(%error, "no certificates to trust: https will not work");
            builder().with_root_certificates(RootCertStore::empty())
        });
        let config = config.with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector.build());
        Self(client)
    }

    /// Asks; the whole of it has one deadline.
    pub(super) async fn ask(
        &self,
        question: Request<Full<Bytes>>,
        deadline: Duration,
        max_bytes: usize,
    ) -> Result<Answer, HttpError> {
        let asked = async {
            let answer = self.0.request(question).await;
            let answer =
                answer.map_err(|error| HttpError::Unreachable(Chain(&error).to_string()))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, max_bytes).collect().await;
            let body = body.map_err(|_| HttpError::Body(max_bytes))?.to_bytes();
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(deadline, asked).await.unwrap_or(Err(HttpError::Late(deadline)))
    }
}

/// A URL that can be asked.
///
/// # Errors
/// When it is none, is not of HTTP, or holds credentials, which would end up in logs.
pub(crate) fn url(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|_| "is no URL")?;
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err("does not begin with https:// or http://".into()),
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            Err("holds credentials, which do not belong into a URL".into())
        }
        Some(_) => Ok(uri),
        None => Err("names no host".into()),
    }
}
