//! How a session is opened.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ::http::HeaderMap;

/// How a session is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// WebSocket from the first request on.
    WebSocket,
    /// Long-polling throughout.
    Polling,
    /// Opened by long-polling and upgraded to WebSocket before the namespace is asked for, which
    /// is where an official client may be at the earliest.
    Upgrade,
}

/// Where the token is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenIn {
    /// In `auth.token` of the namespace's CONNECT packet.
    Auth,
    /// In `?token=` of every request.
    Query,
    /// Both, so that a proxy may hash the query.
    AuthAndQuery,
}

/// What a session connects to, as whom and how.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The gateway, or the proxy before it.
    pub address: SocketAddr,
    /// The `Host` header; the address when `None`.
    pub host: Option<String>,
    /// The gateway's socket path, without the final slash.
    pub path: String,
    /// The Socket.IO namespace.
    pub namespace: String,
    /// The client's token; `None` sends none.
    pub token: Option<String>,
    /// Where the token goes.
    pub token_in: TokenIn,
    /// The place to continue from, always sent in `auth`.
    pub cursor: Option<String>,
    /// What the client calls its device, sent in `auth`.
    pub device: Option<String>,
    /// How it is carried.
    pub transport: Transport,
    /// The local address to connect from, such as one of 127.0.0.0/8; the system's choice when
    /// `None`.
    pub source_ip: Option<IpAddr>,
    /// Headers added to every request.
    pub headers: HeaderMap,
    /// The kernel's receive buffer in bytes; small ones make a session that does not read close
    /// its TCP window soon. The system's default when `None`.
    pub receive_buffer: Option<u32>,
    /// How many events wait for [`Session::next`](crate::Session::next) before the session stops
    /// reading its socket, and so also stops answering pings.
    pub event_queue: usize,
    /// The longest that connecting may take as a whole.
    pub timeout: Duration,
}

impl SessionOptions {
    /// A WebSocket session in namespace `/notice` at path `/notice`, with 10 s to connect and room
    /// for 256 events.
    pub fn new(address: SocketAddr, token: impl Into<String>) -> Self {
        Self {
            address,
            host: None,
            path: "/notice".to_owned(),
            namespace: "/notice".to_owned(),
            token: Some(token.into()),
            token_in: TokenIn::Auth,
            cursor: None,
            device: None,
            transport: Transport::WebSocket,
            source_ip: None,
            headers: HeaderMap::new(),
            receive_buffer: None,
            event_queue: 256,
            timeout: Duration::from_secs(10),
        }
    }

    /// The same by another transport.
    #[must_use]
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// The same in another namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// The same from a cursor.
    #[must_use]
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = Some(cursor.into());
        self
    }

    /// The same with a device.
    #[must_use]
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// The same from a local address.
    #[must_use]
    pub fn source_ip(mut self, source_ip: IpAddr) -> Self {
        self.source_ip = Some(source_ip);
        self
    }

    /// The `Host` header's value.
    pub(crate) fn host(&self) -> String {
        self.host.clone().unwrap_or_else(|| self.address.to_string())
    }

    /// The path and query of a request.
    pub(crate) fn target(&self, transport: &str, sid: Option<&str>) -> String {
        let mut target =
            format!("{}/?EIO=4&transport={transport}", self.path.trim_end_matches('/'));
        if let Some(sid) = sid {
            target.push_str("&sid=");
            push_encoded(&mut target, sid);
        }
        if let (Some(token), TokenIn::Query | TokenIn::AuthAndQuery) = (&self.token, self.token_in)
        {
            target.push_str("&token=");
            push_encoded(&mut target, token);
        }
        target
    }

    /// The JSON object that goes with the namespace's CONNECT packet.
    pub(crate) fn auth(&self) -> String {
        #[derive(serde::Serialize)]
        struct Auth<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            token: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            cursor: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            device: Option<&'a str>,
        }
        let in_auth = matches!(self.token_in, TokenIn::Auth | TokenIn::AuthAndQuery);
        serde_json::to_string(&Auth {
            token: self.token.as_deref().filter(|_| in_auth),
            cursor: self.cursor.as_deref(),
            device: self.device.as_deref(),
        })
        .expect("strings are always JSON")
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters.
fn push_encoded(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("writing to a string never fails"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> SessionOptions {
        let mut options = SessionOptions::new(([127, 0, 0, 1], 8013).into(), "a&b ü");
        options.cursor = Some("c\"1".to_owned());
        options
    }

    #[test]
    fn a_token_in_the_query_is_encoded_and_absent_from_auth() {
        let mut options = options();
        options.token_in = TokenIn::Query;
        assert_eq!(
            options.target("polling", Some("s1")),
            "/notice/?EIO=4&transport=polling&sid=s1&token=a%26b%20%C3%BC"
        );
        assert_eq!(options.auth(), r#"{"cursor":"c\"1"}"#);
    }

    #[test]
    fn a_token_in_auth_is_absent_from_the_query() {
        let options = options();
        assert_eq!(options.target("websocket", None), "/notice/?EIO=4&transport=websocket");
        assert_eq!(options.auth(), r#"{"token":"a&b ü","cursor":"c\"1"}"#);
    }
}
