//! From JSON to the messages of the API.
//!
//! Unknown fields are refused, as protobuf's JSON mapping asks; `null` is as good as absent, but
//! for `data`, where it is the payload.

use std::fmt;

use bytes::Bytes;
use herald_proto::{
    api::{self, WaitFor, broadcast_request, send_notice_request::Payload},
    time::parse_duration,
};
use prost_types::Duration;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::{error::Category, value::RawValue};

use crate::{
    batch::Item,
    error::Error,
    field::{Names, Path, Violations},
};

/// The body of `POST /v1/notices`.
pub(super) fn send_notice(body: &Bytes) -> Result<api::SendNoticeRequest, Error> {
    let Object(notice): Object<NoticeBody<'_>> = whole(body)?;
    Ok(notice.into_api(body))
}

/// The body of `POST /v1/notices:batch`. An item that cannot be read fails alone.
pub(super) fn batch(body: &Bytes) -> Result<Vec<Item>, Error> {
    let Object(batch): Object<BatchBody<'_>> = whole(body)?;
    let root = Path::root(Names::Json);
    let at = root.field("items");
    let items = batch.items.unwrap_or_default().into_iter().enumerate();
    Ok(items.map(|(index, item)| self::item(item, body, &at.item(index))).collect())
}

/// The body of `POST /v1/broadcast`.
pub(super) fn broadcast(body: &Bytes) -> Result<api::BroadcastRequest, Error> {
    let Object(broadcast): Object<BroadcastBody<'_>> = whole(body)?;
    let data = broadcast.data.map(|raw| body.slice_ref(raw.get().as_bytes()));
    Ok(api::BroadcastRequest {
        event: broadcast.event.unwrap_or_default(),
        payload: data.map(broadcast_request::Payload::Json),
    })
}

/// The body of `POST /v1/presence:query`.
pub(super) fn presence(body: &Bytes) -> Result<api::BatchGetPresenceRequest, Error> {
    let Object(presence): Object<PresenceBody> = whole(body)?;
    Ok(api::BatchGetPresenceRequest { user_ids: presence.user_ids.unwrap_or_default() })
}

/// Path and body of `POST /v1/users/{id}:disconnect`; `user_id` is decoded, `None` when it is not
/// UTF-8.
pub(super) fn disconnect(
    user_id: Option<String>,
    body: &Bytes,
) -> Result<api::DisconnectUserRequest, Error> {
    let user_id = text(user_id)?;
    let Object(body): Object<DisconnectBody> = whole(body)?;
    let DisconnectBody { session_ids, reason, revoke_tokens } = body;
    Ok(api::DisconnectUserRequest {
        user_id,
        session_ids: session_ids.unwrap_or_default(),
        reason: reason.unwrap_or_default(),
        revoke_tokens: revoke_tokens.unwrap_or_default(),
    })
}

/// Path and body of `POST /v1/users/{id}:purge`.
pub(super) fn purge(user_id: Option<String>, body: &Bytes) -> Result<api::PurgeUserRequest, Error> {
    let user_id = text(user_id)?;
    let Object(PurgeBody { reason }) = whole(body)?;
    Ok(api::PurgeUserRequest { user_id, reason: reason.unwrap_or_default() })
}

fn text(user_id: Option<String>) -> Result<String, Error> {
    let mut violations = Violations::default();
    if user_id.is_none() {
        violations.add("userId", "must be UTF-8");
    }
    violations.finish()?;
    Ok(user_id.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DisconnectBody {
    session_ids: Option<Vec<String>>,
    reason: Option<String>,
    revoke_tokens: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PurgeBody {
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct NoticeBody<'a> {
    user_id: Option<String>,
    event: Option<String>,
    #[serde(borrow, default, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
    volatile: Option<bool>,
    #[serde(default, deserialize_with = "duration")]
    ttl: Option<Duration>,
    idempotency_key: Option<String>,
    #[serde(default, deserialize_with = "wait_for")]
    wait_for: i32,
    #[serde(default, deserialize_with = "duration")]
    wait_timeout: Option<Duration>,
}

impl NoticeBody<'_> {
    /// The payload stays the bytes that stand in `body`.
    fn into_api(self, body: &Bytes) -> api::SendNoticeRequest {
        api::SendNoticeRequest {
            user_id: self.user_id.unwrap_or_default(),
            event: self.event.unwrap_or_default(),
            payload: self.data.map(|raw| Payload::Json(body.slice_ref(raw.get().as_bytes()))),
            volatile: self.volatile.unwrap_or_default(),
            ttl: self.ttl,
            idempotency_key: self.idempotency_key.unwrap_or_default(),
            wait_for: self.wait_for,
            wait_timeout: self.wait_timeout,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BroadcastBody<'a> {
    event: Option<String>,
    #[serde(borrow, default, deserialize_with = "raw")]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchBody<'a> {
    #[serde(borrow)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemBody<'a> {
    r#ref: Option<String>,
    #[serde(borrow)]
    notice: Option<Object<NoticeBody<'a>>>,
}

/// What is read of an item that cannot be read otherwise.
#[derive(Deserialize)]
struct ItemRef {
    r#ref: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PresenceBody {
    user_ids: Option<Vec<String>>,
}

fn item(item: &RawValue, body: &Bytes, at: &Path<'_>) -> Item {
    match parse::<Object<ItemBody<'_>>>(item.get()) {
        Ok(Object(ItemBody { r#ref, notice })) => Item {
            reference: r#ref.unwrap_or_default(),
            notice: Ok(notice.map(|Object(notice)| notice.into_api(body))),
        },
        Err(error) => {
            let reference = serde_json::from_str(item.get()).map(|ItemRef { r#ref }| r#ref);
            let notice = Err(unreadable(&error, at));
            Item { reference: reference.unwrap_or_default(), notice }
        }
    }
}

/// Why a part of the body cannot be taken, as a violation below `at`. Lines and columns would
/// count from the part's own beginning, so they are left out.
fn unreadable(error: &PathError, at: &Path<'_>) -> Error {
    let text = error.inner().to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    let at = at.to_string();
    let field = match (at.as_str(), path_of(error)) {
        (at, None) => at.to_owned(),
        ("", Some(path)) => path,
        (at, Some(path)) => format!("{at}.{path}"),
    };
    let mut violations = Violations::default();
    violations.add(field, text);
    Error::Invalid(violations)
}

type PathError = serde_path_to_error::Error<serde_json::Error>;

/// Where inside a part it went wrong; `None` for the part as a whole.
fn path_of(error: &PathError) -> Option<String> {
    Some(error.path().to_string()).filter(|path| path != ".")
}

/// Reads a whole body.
fn whole<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Error::NotJson(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
    parse(text).map_err(|error| match error.inner().classify() {
        Category::Data => {
            let field = path_of(&error).unwrap_or_default();
            let mut violations = Violations::default();
            violations.add(field, error.inner());
            Error::Invalid(violations)
        }
        Category::Syntax | Category::Eof | Category::Io => {
            Error::NotJson(error.inner().to_string())
        }
    })
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, PathError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut track = serde_path_to_error::Track::new();
    let value = T::deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    let value = value.and_then(|value| json.end().map(|()| value));
    value.map_err(|error| PathError::new(track.path(), error))
}

/// An object, and nothing else: derived structs would also take arrays.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfMap<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for OfMap<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(OfMap(std::marker::PhantomData))
    }
}

/// Any JSON there is, `null` included: only a field that is not there at all is absent.
fn raw<'de: 'a, 'a, D: Deserializer<'de>>(json: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(json).map(Some)
}

fn duration<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(json)?;
    text.map(|text| parse_duration(&text).map_err(de::Error::custom)).transpose()
}

/// An enum's value, by name or (as protobuf's JSON mapping allows) by number.
fn wait_for<'de, D: Deserializer<'de>>(json: D) -> Result<i32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected the name of a WaitFor value")]
    enum NameOrNumber {
        Name(String),
        Number(i32),
    }

    match Option::<NameOrNumber>::deserialize(json)? {
        None => Ok(0),
        Some(NameOrNumber::Number(number)) => Ok(number),
        Some(NameOrNumber::Name(name)) => match WaitFor::from_str_name(&name) {
            Some(known) => Ok(known.into()),
            None => Err(de::Error::custom(format_args!("is no value of WaitFor: `{name}`"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(error: Error) -> String {
        error.to_string()
    }

    fn payload(body: &'static str) -> Option<Bytes> {
        match send_notice(&Bytes::from_static(body.as_bytes())).unwrap().payload? {
            Payload::Json(json) => Some(json),
            Payload::Data(_) => None,
        }
    }

    #[test]
    fn data_is_kept_byte_for_byte() {
        let body =
            r#" {"userId":"a", "data" : {"n":1.50, "big":12345678901234567890,"s":"\u00e9"} } "#;
        let json = r#"{"n":1.50, "big":12345678901234567890,"s":"\u00e9"}"#;
        assert_eq!(payload(body).unwrap(), json);
    }

    #[test]
    fn null_is_a_payload_and_absence_is_none() {
        assert_eq!(payload(r#"{"userId":"a","data":null}"#).unwrap(), "null");
        assert_eq!(payload(r#"{"userId":"a"}"#), None);
    }

    #[test]
    fn every_field_is_taken_over() {
        let body = Bytes::from_static(
            br#"{"userId":"a","event":"e","data":1,"volatile":true,"ttl":"3.5s",
                "idempotencyKey":"k","waitFor":"WAIT_FOR_ACKED_ANY","waitTimeout":"1s"}"#,
        );
        let request = send_notice(&body).unwrap();
        assert_eq!((request.user_id.as_str(), request.event.as_str()), ("a", "e"));
        assert_eq!(request.ttl, Some(Duration { seconds: 3, nanos: 500_000_000 }));
        assert_eq!(request.wait_timeout, Some(Duration { seconds: 1, nanos: 0 }));
        assert_eq!(request.wait_for(), WaitFor::AckedAny);
        assert!(request.volatile && request.idempotency_key == "k");
        let nulls =
            Bytes::from_static(br#"{"userId":null,"event":null,"ttl":null,"waitFor":null}"#);
        assert_eq!(send_notice(&nulls).unwrap(), api::SendNoticeRequest::default());
        let number = Bytes::from_static(br#"{"waitFor":2}"#);
        assert_eq!(send_notice(&number).unwrap().wait_for(), WaitFor::Emitted);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (body, expected) in [
            (r#"{"user_id":"a"}"#, "unknown field `user_id`, expected one of `userId`"),
            (r#"{"json":"e30="}"#, "unknown field `json`"),
            (r#"{"userId":5}"#, "userId: invalid type: integer `5`, expected a string"),
            (r#"{"userId":"a","userId":"b"}"#, "duplicate field `userId`"),
            (r#"{"ttl":"5"}"#, "ttl: not a duration"),
            (r#"{"waitFor":"SOON"}"#, "waitFor: is no value of WaitFor: `SOON`"),
            (r#"{"volatile":"yes"}"#, "volatile: invalid type"),
            (r#"["a"]"#, "invalid type: sequence, expected an object"),
            ("5", "expected an object"),
            ("", "the body is not JSON: EOF while parsing a value at line 1 column 0"),
            ("{\n\"userId\" \"a\"}", "the body is not JSON: expected `:` at line 2 column"),
            (r#"{"userId":"a"} x"#, "the body is not JSON: trailing characters at line 1"),
            (r#"{"data":{"a":}}"#, "the body is not JSON: expected value at line 1"),
        ] {
            let error = message(send_notice(&Bytes::from_static(body.as_bytes())).unwrap_err());
            assert!(error.contains(expected), "{body}: {error}");
        }
        let error =
            message(send_notice(&Bytes::from_static(b"{\"userId\":\"\xff\"}")).unwrap_err());
        assert_eq!(error, "the body is not JSON: not UTF-8 at byte 11");
    }

    #[test]
    fn an_item_that_cannot_be_read_fails_alone_and_keeps_its_ref() {
        let body = Bytes::from_static(
            br#"{"items":[{"ref":"a","notice":{"userId":"u","data":1}},
                {"ref":"b","notice":{"userId":7}}, {"ref":"c","extra":1}, 5, {}]}"#,
        );
        let items = batch(&body).unwrap();
        let refs: Vec<&str> = items.iter().map(|item| item.reference.as_str()).collect();
        assert_eq!(refs, ["a", "b", "c", "", ""]);
        let wrong: Vec<String> = items
            .into_iter()
            .map(|item| item.notice.map_or_else(message, |notice| format!("{}", notice.is_some())))
            .collect();
        assert_eq!(wrong[0], "true");
        assert!(wrong[1].starts_with("items[1].notice.userId: invalid type"), "{}", wrong[1]);
        assert!(!wrong[1].contains("line"), "{}", wrong[1]);
        assert!(wrong[2].contains("unknown field `extra`"), "{}", wrong[2]);
        assert!(wrong[3].starts_with("items[3]: invalid type"), "{}", wrong[3]);
        assert_eq!(wrong[4], "false");
    }
}
