//! Reading a request's body.

use std::time::Duration;

use axum::{body::Body, extract::Request};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::error::Error;

/// How much of a body that is too large is read and thrown away, in units of the limit. Whoever
/// is still writing when we close is cut off before it sees the answer.
const DISCARD: usize = 4;

/// Space taken before the first byte, whatever length is announced.
const FIRST_BYTES: usize = 64 << 10;

/// The body of a request: at most `limit` bytes of what is said to be JSON, within `allowed`.
pub(super) async fn read(
    request: Request,
    limit: usize,
    allowed: Duration,
) -> Result<Bytes, Error> {
    if !is_json(request.headers()) {
        return Err(Error::MediaType);
    }
    let body = request.into_body();
    timeout(allowed, collect(body, limit)).await.unwrap_or(Err(Error::SlowBody(allowed)))
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, Error> {
    let announced = http_body::Body::size_hint(&body).lower();
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::with_capacity(announced.min(limit).min(FIRST_BYTES));
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "cannot read a request's body");
            Error::BrokenBody
        })?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > limit.saturating_mul(DISCARD) {
            break;
        }
        if length <= limit {
            bytes.extend_from_slice(&data);
        } else {
            bytes = BytesMut::new();
        }
    }
    if length > limit { Err(Error::TooLarge { limit }) } else { Ok(bytes.freeze()) }
}

/// Whether the content type is JSON in UTF-8. Asking for it keeps forms of foreign web pages out.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
                value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said_to_be(kind: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
        is_json(&headers)
    }

    #[test]
    fn json_in_utf_8_is_taken_whatever_the_case() {
        for kind in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"; profile=x",
        ] {
            assert!(said_to_be(kind), "{kind}");
        }
        for kind in ["text/plain", "application/jsonp", "application/json; charset=latin1", ""] {
            assert!(!said_to_be(kind), "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_body_is_taken_up_to_the_limit() {
        let collected = collect(Body::from("1234"), 4).await.unwrap();
        assert_eq!(collected, "1234");
        let error = collect(Body::from("12345"), 4).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 4 }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_given_up() {
        let stalled =
            Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        let request = Request::builder()
            .header(header::CONTENT_TYPE, "application/json")
            .body(stalled)
            .unwrap();
        let error = read(request, 4, Duration::from_secs(3)).await.unwrap_err();
        assert!(matches!(error, Error::SlowBody(_)), "{error}");
    }
}
