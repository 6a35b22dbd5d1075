//! Which web pages may connect.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// The origins whose pages may connect.
///
/// CORS governs polling only; browsers let any page open a WebSocket. With a list a handshake
/// from another origin is therefore refused by the gateway itself. Clients that are no browsers
/// send no origin and are not concerned.
#[derive(Clone, Debug, Default)]
pub enum Origins {
    /// Every page, without cookies or other credentials of the browser.
    #[default]
    Any,
    /// These origins alone, with credentials, as cookie-based stickiness needs them.
    Only(Vec<HeaderValue>),
}

/// An origin that is none: it must look like `https://app.example.com` or
/// `http://localhost:3000`, without a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin (expected scheme://host or scheme://host:port)")]
pub struct InvalidOrigin(pub String);

impl Origins {
    /// `*` among the origins, or none at all, means any.
    ///
    /// # Errors
    /// For the first one that is no origin.
    pub fn parse<'a>(origins: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidOrigin> {
        let origins: Vec<_> = origins.into_iter().map(str::trim).collect();
        if origins.is_empty() || origins.contains(&"*") {
            return Ok(Self::Any);
        }
        origins.into_iter().map(parse_origin).collect::<Result<_, _>>().map(Self::Only)
    }

    /// Whether a handshake with these headers may go on.
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        match (self, headers.get(header::ORIGIN)) {
            (Self::Any, _) | (_, None) => true,
            (Self::Only(origins), Some(origin)) => origins.contains(origin),
        }
    }

    pub(super) fn layer(&self) -> CorsLayer {
        let layer = CorsLayer::new()
            .allow_methods([Method::GET, Method::POST])
            // Clients may be told to send headers of their own.
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([header::RETRY_AFTER])
            .max_age(Duration::from_secs(2 * 60 * 60));
        match self {
            Self::Any => layer.allow_origin(AllowOrigin::any()),
            Self::Only(origins) => layer
                .allow_origin(AllowOrigin::list(origins.iter().cloned()))
                .allow_credentials(true),
        }
    }
}

fn parse_origin(origin: &str) -> Result<HeaderValue, InvalidOrigin> {
    let invalid = || InvalidOrigin(origin.to_owned());
    // What browsers send is in lower case.
    let normal = origin.to_ascii_lowercase();
    let (scheme, authority) = normal.split_once("://").ok_or_else(invalid)?;
    let is_authority = authority
        .parse::<http::uri::Authority>()
        .is_ok_and(|authority| !authority.as_str().contains('@'));
    if scheme.is_empty() || authority.contains(['/', '?', '#']) || !is_authority {
        return Err(invalid());
    }
    HeaderValue::try_from(normal).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_a_missing_scheme_and_user_info_are_refused() {
        for wrong in ["example.com", "https://example.com/", "https://", "://x", "https://u@x"] {
            let expected = InvalidOrigin(wrong.to_owned());
            assert_eq!(Origins::parse([wrong]).unwrap_err(), expected);
        }
        assert!(matches!(Origins::parse(["https://a.example", "*"]), Ok(Origins::Any)));
    }

    #[test]
    fn a_list_lets_its_origins_and_clients_without_one_in() {
        let origins = Origins::parse(["https://App.example", "http://localhost:3000"]).unwrap();
        let with = |origin: &'static str| {
            HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(origin))])
        };
        assert!(origins.allow(&HeaderMap::new()));
        assert!(origins.allow(&with("https://app.example")));
        assert!(origins.allow(&with("http://localhost:3000")));
        assert!(!origins.allow(&with("https://evil.example")));
    }
}
