//! What a client says of itself when it connects a namespace.

use axum::extract::Query;
use herald_core::{Cursor, CursorError, Device, NameError, UserId};
use http::Uri;
use serde::Deserialize;
use serde_json::Value;

use crate::{auth::AuthError, edge};

/// What the client asks for with `cursor: "start"`: everything that is kept.
const START: &str = "start";

/// A handshake as it was sent; nothing of it is verified.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    pub(crate) token: Option<String>,
    pub(crate) device: Option<String>,
    cursor: Option<String>,
    cursor_unreadable: bool,
}

/// From where a session begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// The client says nothing: from now on.
    Now,
    /// It wants all that is kept.
    Start,
    /// It goes on after this place.
    After(Cursor),
    /// It handed in something that is no cursor of its user.
    Malformed,
}

/// Why a handshake is refused with a `connect_error`, whose message this is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("Authentication error: {}", .0.code())]
    Auth(#[from] AuthError),
    #[error("Handshake error: device {0}")]
    Device(NameError),
    #[error("Handshake error: device must be a text")]
    DeviceType,
}

impl HandshakeError {
    /// What is wrong, for the log; nothing that the client sent is in it.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Auth(error) => error.to_string(),
            Self::Device(_) | Self::DeviceType => self.to_string(),
        }
    }

    /// The reason as a label.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Auth(error) => error.code(),
            Self::Device(_) | Self::DeviceType => "device",
        }
    }
}

/// The parts of the query that concern us. The edge has taken the token out before.
#[derive(Debug, Default, Deserialize)]
struct QueryPart {
    cursor: Option<String>,
    device: Option<String>,
}

impl Handshake {
    /// Reads the `auth` object of the CONNECT packet (null when there was none), and from the
    /// query what is not in it. Empty texts and null count as not given.
    ///
    /// # Errors
    /// When token or device are there and no text. A cursor never refuses anybody.
    pub(crate) fn read(
        auth: &Value,
        uri: &Uri,
        edge: Option<&edge::Handshake>,
    ) -> Result<Self, HandshakeError> {
        let query = Query::<QueryPart>::try_from_uri(uri).map(|Query(query)| query);
        let cursor_unreadable = query.is_err();
        let query = query.unwrap_or_default();
        let given = |name: &str| auth.get(name).filter(|value| !value.is_null());
        let text = |name: &str| match given(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(()),
        };
        let not_empty = |text: &String| !text.is_empty();
        let token = text("token").map_err(|()| AuthError::Malformed)?;
        let device = text("device").map_err(|()| HandshakeError::DeviceType)?;
        let (cursor, cursor_unreadable) = match text("cursor") {
            Ok(None) => (query.cursor.filter(not_empty), cursor_unreadable),
            Ok(cursor) => (cursor, false),
            Err(()) => (None, true),
        };
        Ok(Self {
            token: token.or_else(|| Some(edge?.token()?.expose().to_owned())),
            device: device.or(query.device.filter(not_empty)),
            cursor,
            cursor_unreadable,
        })
    }

    /// The device, checked.
    pub(crate) fn device(&self) -> Result<Option<Device>, HandshakeError> {
        let device = self.device.as_deref().map(Device::new).transpose();
        device.map_err(HandshakeError::Device)
    }

    /// Where `user` wants to begin.
    pub(crate) fn beginning(&self, user: &UserId) -> Beginning {
        match self.cursor.as_deref() {
            None if self.cursor_unreadable => Beginning::Malformed,
            None => Beginning::Now,
            Some(START) => Beginning::Start,
            Some(text) => match Cursor::decode(text, user) {
                Ok(cursor) => Beginning::After(cursor),
                Err(CursorError) => Beginning::Malformed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use herald_core::{Epoch, Place};
    use serde_json::json;

    use super::*;

    fn read(auth: &Value, uri: &str) -> Result<Handshake, HandshakeError> {
        Handshake::read(auth, &uri.parse().unwrap(), None)
    }

    fn alice() -> UserId {
        UserId::new("alice").unwrap()
    }

    #[test]
    fn the_packet_goes_before_the_query() {
        let auth = json!({"token": "t", "cursor": "start", "device": "phone", "other": 1});
        let handshake = read(&auth, "/notice/?cursor=x&device=y").unwrap();
        assert_eq!(handshake.token.as_deref(), Some("t"));
        assert_eq!(handshake.device().unwrap().unwrap().as_str(), "phone");
        assert_eq!(handshake.beginning(&alice()), Beginning::Start);

        let handshake = read(&Value::Null, "/notice/?cursor=start&device=a%20b").unwrap();
        assert_eq!(handshake.device().unwrap().unwrap().as_str(), "a b");
        assert_eq!(handshake.beginning(&alice()), Beginning::Start);
    }

    #[test]
    fn nothing_null_and_empty_are_the_same() {
        for auth in [
            json!(null),
            json!({}),
            json!({"token": null, "device": null, "cursor": null}),
            json!({"token": "", "device": "", "cursor": ""}),
            json!("no object"),
        ] {
            let handshake = read(&auth, "/notice/?cursor=&device=").unwrap();
            assert_eq!(handshake.token, None, "{auth}");
            assert_eq!(handshake.device(), Ok(None), "{auth}");
            assert_eq!(handshake.beginning(&alice()), Beginning::Now, "{auth}");
        }
    }

    #[test]
    fn a_cursor_never_refuses() {
        let place = Cursor { epoch: Epoch(1), place: Place::ZERO };
        let beginning =
            |cursor: Value| read(&json!({"cursor": cursor}), "/").unwrap().beginning(&alice());
        assert_eq!(beginning(place.encode(&alice()).into()), Beginning::After(place));
        let foreign = place.encode(&UserId::new("bob").unwrap());
        for cursor in [json!(foreign), json!("x"), json!(5), json!({}), json!("x".repeat(10_000))] {
            assert_eq!(beginning(cursor.clone()), Beginning::Malformed, "{cursor}");
        }
        let twice = read(&Value::Null, "/notice/?cursor=a&cursor=b").unwrap();
        assert_eq!(twice.beginning(&alice()), Beginning::Malformed);
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let message = |auth| match read(&auth, "/") {
            Err(error) => error.to_string(),
            Ok(handshake) => handshake.device().unwrap_err().to_string(),
        };
        assert_eq!(message(json!({"token": 5})), "Authentication error: token_malformed");
        assert_eq!(message(json!({"device": []})), "Handshake error: device must be a text");
        assert_eq!(
            message(json!({"device": "d".repeat(65)})),
            "Handshake error: device must be at most 64 bytes of UTF-8, got 65"
        );
    }
}
