//! What is kept of a handshake request.
//!
//! Engine.IO keeps the request for as long as the session lives. Its URI and headers are slices
//! of hyper's read buffer, so they would keep all of it: 16 KiB a session. The request is
//! therefore rebuilt from copies of what somebody needs.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::extract::Query;
use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Request, Uri, header,
    request::{self, Parts},
    uri::PathAndQuery,
};
use hyper::upgrade::OnUpgrade;
use serde::Deserialize;

use super::{
    admission::{Admission, Connecting},
    connection::{ConnectionHandle, Peer},
};

/// What the gateway knows of a client since its handshake; an extension of the request that
/// Socket.IO keeps, see [`Handshake::of`].
#[derive(Clone, Debug)]
pub struct Handshake(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    peer: SocketAddr,
    token: Option<Token>,
    connection: Option<ConnectionHandle>,
    admission: Admission,
}

impl Handshake {
    /// The handshake of a socket, from `socket.req_parts()`; `None` when the request did not come
    /// through [`router`](super::router).
    #[must_use]
    pub fn of(parts: &Parts) -> Option<&Self> {
        parts.extensions.get()
    }

    /// The other end of the TCP connection: the client, or the proxy before it.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.0.peer
    }

    /// The `token` of the query, decoded. It is no longer in the request's URI.
    #[must_use]
    pub fn token(&self) -> Option<&Token> {
        self.0.token.as_ref()
    }

    /// The TCP connection, when it is this client's alone: the session began as a WebSocket.
    #[must_use]
    pub fn connection(&self) -> Option<&ConnectionHandle> {
        self.0.connection.as_ref()
    }

    /// The client is being connected from now on, until what is returned is dropped: the door that
    /// it came in by counts it.
    pub(crate) fn connecting(&self) -> Connecting {
        self.0.admission.connecting()
    }
}

/// A client's token. It is never shown: `Debug` hides it and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// The token itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Headers that are kept, with the most bytes of a value. Longer ones are left out.
const KEPT: [(HeaderName, usize); 7] = [
    (header::HOST, 256),
    (header::ORIGIN, 256),
    (header::USER_AGENT, 512),
    (header::SEC_WEBSOCKET_KEY, 64),
    (HeaderName::from_static("x-forwarded-for"), 512),
    (HeaderName::from_static("x-real-ip"), 64),
    (HeaderName::from_static("traceparent"), 128),
];

/// Lines of one header that are kept.
const MAX_LINES: usize = 4;

/// Rebuilds a request that opens a session. `exclusive`: its connection will be this client's.
pub(super) fn handshake<B>(
    request: Request<B>,
    peer: &Peer,
    exclusive: bool,
    admission: &Admission,
) -> Request<B> {
    let (parts, body) = request.into_parts();
    let handshake = Handshake(Arc::new(Inner {
        peer: peer.address,
        token: token_of(&parts.uri),
        connection: exclusive.then(|| peer.connection.clone()),
        admission: admission.clone(),
    }));
    let mut parts = rebuild(parts, &KEPT);
    parts.extensions.insert(handshake);
    Request::from_parts(parts, body)
}

/// Rebuilds a request that moves a session to a WebSocket: it is kept as long, and read by nobody.
pub(super) fn upgrade<B>(request: Request<B>) -> Request<B> {
    let (parts, body) = request.into_parts();
    Request::from_parts(rebuild(parts, &[(header::SEC_WEBSOCKET_KEY, 64)]), body)
}

fn rebuild(mut parts: Parts, kept: &[(HeaderName, usize)]) -> Parts {
    let mut extensions = Extensions::new();
    if let Some(on_upgrade) = parts.extensions.remove::<OnUpgrade>() {
        extensions.insert(on_upgrade);
    }
    let mut rebuilt = request::Request::new(()).into_parts().0;
    rebuilt.method = parts.method;
    rebuilt.version = parts.version;
    rebuilt.uri = copy_uri(&parts.uri);
    rebuilt.headers = copy_headers(&parts.headers, kept);
    rebuilt.extensions = extensions;
    rebuilt
}

fn copy_headers(headers: &HeaderMap, kept: &[(HeaderName, usize)]) -> HeaderMap {
    let wanted = || {
        kept.iter().flat_map(|(name, max_bytes)| {
            let lines = headers.get_all(name).iter().take(MAX_LINES);
            lines.filter(|value| value.len() <= *max_bytes).map(move |value| (name, value))
        })
    };
    // A map that grows by itself begins with room for six, at a hundred bytes each.
    let mut copies = HeaderMap::with_capacity(wanted().count());
    for (name, value) in wanted() {
        if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
            copies.append(name.clone(), copy);
        }
    }
    copies
}

/// Path and query in storage of their own. Left out are the token, which must not be logged with
/// the URI, the cache buster `t`, and names that are not plain, which could be a token in disguise.
fn copy_uri(uri: &Uri) -> Uri {
    let mut copy = String::with_capacity(uri.path().len() + uri.query().map_or(0, str::len) + 1);
    copy.push_str(uri.path());
    let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        !name.is_empty() && plain && name != "token" && name != "t"
    });
    for (nth, pair) in pairs.enumerate() {
        copy.push(if nth == 0 { '?' } else { '&' });
        copy.push_str(pair);
    }
    copy.shrink_to_fit();
    PathAndQuery::try_from(copy).map(Uri::from).unwrap_or_default()
}

#[derive(Deserialize)]
struct TokenQuery {
    token: Option<Box<str>>,
}

fn token_of(uri: &Uri) -> Option<Token> {
    // Two of them are none: it would be unclear which one was meant.
    let Query(TokenQuery { token }) = Query::try_from_uri(uri).ok()?;
    token.filter(|token| !token.is_empty()).map(Token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn the_token_is_decoded_and_leaves_the_uri() {
        let uri =
            uri("/notice/?EIO=4&transport=polling&t=Px1&token=a%2Bb%20c&cursor=x%3D&%74oken=y");
        assert_eq!(copy_uri(&uri), "/notice/?EIO=4&transport=polling&cursor=x%3D");
        let plain = super::tests::uri("/notice/?token=a%2Bb%20c&EIO=4");
        assert_eq!(token_of(&plain).unwrap().expose(), "a+b c");
    }

    #[test]
    fn two_tokens_are_none() {
        assert_eq!(token_of(&uri("/notice/?token=a&token=b")), None);
        assert_eq!(token_of(&uri("/notice/?token=")), None);
        assert_eq!(token_of(&uri("/notice/")), None);
    }

    #[test]
    fn a_token_is_not_shown_by_debug() {
        let token = Token("secret".into());
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn cookies_credentials_and_overlong_values_are_not_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("a=b"));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("test"));
        headers.insert(header::ORIGIN, HeaderValue::try_from("o".repeat(257)).unwrap());
        for line in ["10.0.0.1", "10.0.0.2"] {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        let kept = copy_headers(&headers, &KEPT);
        assert_eq!(kept.len(), 3);
        assert_eq!(kept[header::USER_AGENT], "test");
        assert_eq!(kept.get_all("x-forwarded-for").iter().count(), 2);
    }

    #[test]
    fn few_headers_take_little_room() {
        let mut headers = HeaderMap::new();
        for (name, _) in &KEPT[..3] {
            headers.insert(name, HeaderValue::from_static("value"));
        }
        let kept = copy_headers(&headers, &KEPT);
        assert_eq!((kept.len(), kept.capacity()), (3, 3));
        let kept = copy_headers(&headers, &KEPT[..1]);
        assert_eq!((kept.len(), kept.capacity()), (1, 1));
    }
}
