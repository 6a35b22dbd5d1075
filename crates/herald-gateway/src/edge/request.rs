//! What an HTTP request is to Engine.IO.

use http::{Method, Request};
use socketioxide::socket::Sid;

/// The part an HTTP request has in the Engine.IO protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EngineRequest {
    /// Not for Engine.IO.
    Other,
    /// Opens a session.
    Handshake(Medium),
    /// Moves the session `sid`, known or not, to a WebSocket.
    Upgrade(Sid),
    /// Asks for the packets of a polling session, or is malformed.
    Poll,
    /// Brings packets of a polling session, or is malformed.
    Push,
}

/// How a session starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Medium {
    WebSocket,
    Polling,
}

impl EngineRequest {
    /// Classifies as the Engine.IO server itself does: the first `sid` and `transport` of the raw
    /// query count.
    pub(super) fn of<B>(request: &Request<B>, path: &str) -> Self {
        if !is_under(request.uri().path(), path) {
            return Self::Other;
        }
        let query = request.uri().query().unwrap_or_default();
        let value = |name| {
            query
                .split('&')
                .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
                .map(|(_, value)| value)
        };
        let websocket = value("transport") == Some("websocket");
        match (value("sid"), request.method()) {
            (None, _) if websocket => Self::Handshake(Medium::WebSocket),
            (None, _) => Self::Handshake(Medium::Polling),
            (Some(sid), &Method::GET) if websocket => sid.parse().map_or(Self::Poll, Self::Upgrade),
            (Some(_), &Method::GET) => Self::Poll,
            (Some(_), _) => Self::Push,
        }
    }
}

fn is_under(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || root.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: Method, uri: &str) -> EngineRequest {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        EngineRequest::of(&request, "/notice")
    }

    #[test]
    fn requests_are_told_apart_as_the_engine_does() {
        use EngineRequest::*;
        let sid = Sid::new();
        for (uri, expected) in [
            ("/notice/?EIO=4&transport=polling".to_owned(), Handshake(Medium::Polling)),
            ("/notice?EIO=4&transport=websocket".to_owned(), Handshake(Medium::WebSocket)),
            ("/notice/".to_owned(), Handshake(Medium::Polling)),
            (format!("/notice/?EIO=4&transport=websocket&sid={sid}"), Upgrade(sid)),
            (format!("/notice/?EIO=4&transport=polling&sid={sid}"), Poll),
            ("/notice/?EIO=4&transport=websocket&sid=x".to_owned(), Poll),
            ("/notice/?EIO=4&transport=polling&sid=".to_owned(), Poll),
            ("/notice/?EIO=4&transport=polling&xsid=1".to_owned(), Handshake(Medium::Polling)),
            ("/notices/?EIO=4&transport=polling".to_owned(), Other),
            ("/".to_owned(), Other),
        ] {
            assert_eq!(of(Method::GET, &uri), expected, "{uri}");
        }
        let post = format!("/notice/?EIO=4&transport=polling&sid={sid}");
        assert_eq!(of(Method::POST, &post), Push);
    }
}
