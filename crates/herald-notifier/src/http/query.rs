//! From a path and query to a message of the API.

use herald_proto::api;
use http::Uri;

use crate::{error::Error, field::Violations};

/// The path and query of `GET /v1/users/{id}/notices`; `user_id` is decoded, `None` when it is
/// not UTF-8.
pub(super) fn list_notices(
    user_id: Option<String>,
    uri: &Uri,
) -> Result<api::ListNoticesRequest, Error> {
    let mut violations = Violations::default();
    if user_id.is_none() {
        violations.add("userId", "must be UTF-8");
    }
    let (mut cursor, mut page_size, mut page_token) = (None, None, None);
    for (name, value) in form(uri.query().unwrap_or_default()) {
        let known = match name.as_ref() {
            "cursor" => &mut cursor,
            "pageSize" => &mut page_size,
            "pageToken" => &mut page_token,
            _ => {
                let wrong = "is no parameter; expected cursor, pageSize or pageToken";
                violations.add(name, wrong);
                continue;
            }
        };
        if known.replace(value).is_some() {
            violations.add(name, "is given more than once");
        }
    }
    let page_size = match page_size.as_deref() {
        None | Some("") => Some(0),
        Some(text) => {
            let number = text.parse::<u32>();
            violations.check("pageSize", number.map_err(|_| "must be a whole number"))
        }
    };
    violations.finish()?;
    Ok(api::ListNoticesRequest {
        user_id: user_id.unwrap_or_default(),
        cursor: cursor.unwrap_or_default(),
        page_size: page_size.unwrap_or_default(),
        page_token: page_token.unwrap_or_default(),
    })
}

/// The path of `GET /v1/users/{id}/notices/{noticeId}:explain`, decoded; `None` when it is not
/// UTF-8. There is no query.
pub(super) fn explain_notice(
    path: Option<(String, String)>,
    uri: &Uri,
) -> Result<api::ExplainNoticeRequest, Error> {
    let mut violations = Violations::default();
    if path.is_none() {
        violations.add("userId", "must be UTF-8");
    }
    for (name, _) in form(uri.query().unwrap_or_default()) {
        violations.add(name, "is no parameter; none is expected");
    }
    violations.finish()?;
    let (user_id, notice_id) = path.unwrap_or_default();
    Ok(api::ExplainNoticeRequest { user_id, notice_id })
}

/// The pairs of a query string; `+` is a space, what is not UTF-8 becomes U+FFFD, which no cursor
/// and no number holds.
fn form(query: &str) -> impl Iterator<Item = (String, String)> {
    let decode = |text: &str| {
        let bytes = percent_decode(text.as_bytes());
        String::from_utf8_lossy(&bytes).into_owned()
    };
    query.split('&').filter(|pair| !pair.is_empty()).map(move |pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let digit = |at: usize| tail.get(at).and_then(|&digit| char::from(digit).to_digit(16));
        decoded.push(match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                rest = &tail[2..];
                // Two hexadecimal digits fit a byte.
                (high * 16 + low) as u8
            }
            (b'+', ..) => b' ',
            (byte, ..) => byte,
        });
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(error: Error) -> String {
        error.to_string()
    }

    #[test]
    fn a_query_is_read_whole() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        let list = |text: &str| list_notices(Some("a b".into()), &uri(text));
        let request = list("/x?cursor=a%2Bb+c&pageSize=5&pageToken=t").unwrap();
        assert_eq!((request.cursor.as_str(), request.page_size), ("a+b c", 5));
        assert_eq!((request.user_id.as_str(), request.page_token.as_str()), ("a b", "t"));
        assert_eq!(list("/x").unwrap().page_size, 0);
        for (query, expected) in [
            ("/x?pageSize=-1", "pageSize: must be a whole number"),
            ("/x?pageSize=99999999999", "pageSize: must be a whole number"),
            ("/x?page_size=1", "page_size: is no parameter"),
            ("/x?cursor=a&cursor=b", "cursor: is given more than once"),
        ] {
            let error = message(list(query).unwrap_err());
            assert!(error.contains(expected), "{query}: {error}");
        }
        assert!(list_notices(None, &uri("/x")).is_err());
        assert_eq!(percent_decode(b"%zz%4"), b"%zz%4");
    }
}
