//! The company's own services, as a test wants them: what publishes keys, what knows tokens.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::net::TcpListener;

/// How it answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// With this.
    Says { status: u16, cache: &'static str, body: String },
    /// Not at all, over an open connection.
    Hangs,
    /// With a beginning, and nothing after it.
    Stalls,
}

impl Answer {
    pub(crate) fn json(body: &Value) -> Self {
        Self::text(body.to_string())
    }

    pub(crate) fn text(body: impl Into<String>) -> Self {
        Self::Says { status: 200, cache: "", body: body.into() }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Says { status, cache: "", body: String::new() }
    }

    pub(crate) fn cached(self, directives: &'static str) -> Self {
        match self {
            Self::Says { status, body, .. } => Self::Says { status, cache: directives, body },
            other => other,
        }
    }
}

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<(Answer, Vec<Asked>)>>);

/// A server on loopback.
pub(crate) struct Issuer {
    pub(crate) address: SocketAddr,
    shared: Shared,
}

impl Issuer {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared(Arc::new(Mutex::new((answer, Vec::new()))));
        let app = Router::new().fallback(serve).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// Answers so from now on.
    pub(crate) fn answer(&self, answer: Answer) {
        self.shared.0.lock().unwrap().0 = answer;
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.0.lock().unwrap().1.clone()
    }
}

async fn serve(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let authorization = parts.headers.get(header::AUTHORIZATION);
    let asked = Asked {
        authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let answer = {
        let mut shared = shared.0.lock().unwrap();
        shared.1.push(asked);
        shared.0.clone()
    };
    match answer {
        Answer::Hangs => std::future::pending().await,
        Answer::Stalls => {
            let first =
                futures_util::stream::once(async { Ok::<_, std::io::Error>("{\"keys\":[") });
            let rest = futures_util::stream::pending();
            Body::from_stream(futures_util::StreamExt::chain(first, rest)).into_response()
        }
        Answer::Says { status, cache, body } => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            if !cache.is_empty() {
                response.headers_mut().insert(header::CACHE_CONTROL, cache.parse().unwrap());
            }
            response
        }
    }
}
