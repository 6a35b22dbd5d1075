use herald_proto::api::send_notice_request::Payload as ApiPayload;
use prost_types::{Value, value::Kind};

use super::{
    super::samples::{limits, violations},
    *,
};
use crate::field::Names;

fn request(json: &'static str) -> api::SendNoticeRequest {
    api::SendNoticeRequest {
        user_id: "alice".into(),
        payload: Some(ApiPayload::Json(json.into())),
        ..Default::default()
    }
}

fn check(request: api::SendNoticeRequest) -> Result<Sendable, Error> {
    notice(request, &Path::root(Names::Proto), &limits())
}

#[test]
fn a_notice_is_taken_as_it_is_and_its_event_defaults() {
    let sendable = check(request(r#" {"n": 12345678901234567890} "#)).unwrap();
    assert_eq!(sendable.user.as_str(), "alice");
    assert_eq!(sendable.event, EventName::notice());
    assert_eq!(sendable.payload.bytes(), r#"{"n": 12345678901234567890}"#);
}

#[test]
fn everything_wrong_is_found_at_once() {
    let bad = api::SendNoticeRequest {
        user_id: "a\nb".into(),
        event: "connect".into(),
        wait_for: 99,
        ..Default::default()
    };
    let fields: Vec<String> =
        violations(check(bad).unwrap_err()).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["wait_for", "user_id", "event", "payload"]);
}

#[test]
fn payloads_are_held_to_the_limit_in_either_form() {
    let long = "x".repeat(70);
    let data = Value { kind: Some(Kind::StringValue(long.clone())) };
    for (payload, field) in
        [(ApiPayload::Data(data), "data"), (ApiPayload::Json(format!("\"{long}\"").into()), "json")]
    {
        let bad = api::SendNoticeRequest { payload: Some(payload), ..request("") };
        let expected = "must be at most 64 bytes of JSON, got 72".to_owned();
        assert_eq!(violations(check(bad).unwrap_err()), [(field.to_owned(), expected)]);
    }
}

#[test]
fn a_value_that_has_no_json_is_refused() {
    let data = Value { kind: Some(Kind::NumberValue(f64::NAN)) };
    let bad = api::SendNoticeRequest { payload: Some(ApiPayload::Data(data)), ..request("") };
    let listed = violations(check(bad).unwrap_err());
    assert_eq!(listed[0].0, "data");
    assert!(listed[0].1.contains("NaN"), "{listed:?}");
}

#[test]
fn volatile_goes_with_nothing_that_needs_keeping() {
    let plain = api::SendNoticeRequest { volatile: true, ..request("1") };
    assert_eq!(check(plain.clone()).unwrap().way, Way::Volatile);
    let all = api::SendNoticeRequest {
        ttl: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        idempotency_key: "k".into(),
        wait_for: WaitFor::Emitted.into(),
        ..plain
    };
    let why = "must not be combined with volatile";
    let expected =
        ["ttl", "idempotency_key", "wait_for"].map(|field| (field.to_owned(), why.to_owned()));
    assert_eq!(violations(check(all).unwrap_err()), expected);
}

#[test]
fn a_ttl_is_above_zero_and_at_most_the_inboxs_age() {
    let ask = |seconds, nanos| {
        let ttl = Some(prost_types::Duration { seconds, nanos });
        check(api::SendNoticeRequest { ttl, ..request("1") })
    };
    for (seconds, nanos, ms) in [(0, 1_000_000, 1), (1, 500_000_000, 1_500), (60, 0, 60_000)] {
        let ttl = Some(Duration::from_millis(ms));
        let way = Way::Durable(Terms { ttl, ..Terms::default() }, None);
        assert_eq!(ask(seconds, nanos).unwrap().way, way);
    }
    let limits = "must be from 0.001s to 60s, which is the inbox's age, got ";
    for (seconds, nanos, got) in [
        (0, 0, "0s"),
        (0, 999_999, "0.000999999s"),
        (-1, 0, "-1s"),
        (60, 1, "60.000000001s"),
        (i64::MAX, 0, "not a valid google.protobuf.Duration"),
        (1, -1, "not a valid google.protobuf.Duration"),
    ] {
        let expected = ("ttl".to_owned(), format!("{limits}{got}"));
        assert_eq!(violations(ask(seconds, nanos).unwrap_err()), [expected]);
    }
    assert_eq!(check(request("1")).unwrap().way, Way::Durable(Terms::default(), None));
}

#[test]
fn a_wait_is_for_something_and_has_its_limits() {
    let ask = |wait_for: WaitFor, timeout: Option<(i64, i32)>| {
        let timeout = timeout.map(|(seconds, nanos)| prost_types::Duration { seconds, nanos });
        let wait_for = wait_for.into();
        let asking = api::SendNoticeRequest { wait_for, wait_timeout: timeout, ..request("1") };
        check(asking).map(|sendable| match sendable.way {
            Way::Durable(_, wait) => wait.map(|wait| (wait.goal, wait.timeout)),
            Way::Volatile => panic!("it is kept"),
        })
    };
    for (wait_for, goal) in [
        (WaitFor::Unspecified, None),
        (WaitFor::Accepted, None),
        (WaitFor::Emitted, Some(Goal::Emitted)),
        (WaitFor::AckedAny, Some(Goal::AckedAny)),
        (WaitFor::AckedAll, Some(Goal::AckedAll)),
    ] {
        let after = |seconds| goal.map(|goal| (goal, Duration::from_secs(seconds)));
        assert_eq!(ask(wait_for, None).unwrap(), after(5));
        assert_eq!(ask(wait_for, Some((30, 0))).unwrap(), after(30));
    }
    let shortest = ask(WaitFor::Emitted, Some((0, 1))).unwrap();
    assert_eq!(shortest, Some((Goal::Emitted, Duration::from_nanos(1))));
    for (given, got) in [
        ((0, 0), "0s"),
        ((-1, 0), "-1s"),
        ((30, 1), "30.000000001s"),
        ((1, -1), "not a valid google.protobuf.Duration"),
    ] {
        for wait_for in [WaitFor::Accepted, WaitFor::AckedAll] {
            let wrong = format!("must be above 0s and at most 30s, got {got}");
            let listed = violations(ask(wait_for, Some(given)).unwrap_err());
            assert_eq!(listed, [("wait_timeout".to_owned(), wrong)]);
        }
    }
}

#[test]
fn an_item_is_checked_with_its_ref_and_its_place() {
    let root = Path::root(Names::Json);
    let (items, long) = (root.field("items"), "r".repeat(129));
    let bad = api::SendNoticeRequest { user_id: String::new(), ..request("1") };
    let error = item(&long, Some(bad), &items.item(2), &limits()).unwrap_err();
    let fields: Vec<String> = violations(error).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["items[2].ref", "items[2].notice.userId"]);
    let error = item("", None, &items.item(0), &limits()).unwrap_err();
    assert_eq!(violations(error)[0].0, "items[0].notice");
}

#[test]
fn a_batch_is_bounded_in_items_and_bytes() {
    let root = Path::root(Names::Proto);
    assert!(batch(3, 1_000, &root, &limits()).is_ok());
    for (items, bytes, wrong) in [
        (0, 0, "must hold 1 to 3 items, got 0"),
        (4, 0, "must hold 1 to 3 items, got 4"),
        (1, 1_001, "must be at most 1000 bytes in all, got 1001"),
    ] {
        let listed = violations(batch(items, bytes, &root, &limits()).unwrap_err());
        assert_eq!(listed, [("items".to_owned(), wrong.to_owned())]);
    }
}
