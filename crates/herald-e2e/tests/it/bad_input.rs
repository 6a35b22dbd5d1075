//! What is wrong is refused with its code, and with a message that names the field and the limit;
//! over gRPC and over HTTP alike.

mod raw_grpc;

use bytes::Bytes;
use herald_e2e::Sandbox;
use herald_loadgen::{
    Checker, CloseReason, Outgoing, SendError, Session, Transport, checker::Start,
    http::HttpClient, sender::http_error,
};
use herald_proto::api::{
    BatchSendNoticesItem, BatchSendNoticesRequest, SendNoticeRequest, batch_send_notices_result,
    send_notice_request::Payload,
};
use http::{Method, Response};
use tonic::Code;

use crate::support::{PATIENCE, all_arrives, api, follow, send, sessions_of};

const PAYLOAD_BYTES: usize = 64 << 10;
const BATCH_BYTES: usize = 4 << 20;

async fn notifier() -> Sandbox {
    Sandbox::builder().notifier().start().await.unwrap()
}

/// That an error is about this field, and that its message holds these words.
#[track_caller]
fn assert_fault(error: &SendError, field: &str, words: &[&str]) {
    assert_eq!(error.code, Code::InvalidArgument, "{error}");
    let (_, description) = error
        .fields
        .iter()
        .find(|(name, _)| name == field)
        .unwrap_or_else(|| panic!("{field} is not named: {error:?}"));
    for word in words {
        assert!(description.contains(word), "{word:?} is not in {description:?}");
        assert!(error.message.contains(word), "{word:?} is not in {:?}", error.message);
    }
    assert!(error.message.contains(field), "{field} is not in {:?}", error.message);
    assert!(matches!(error.status, None | Some(400)), "{error:?}");
}

/// A JSON text of exactly so many bytes.
fn sized(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

#[tokio::test]
async fn every_faulty_field_of_a_notice_is_named_with_its_limit() {
    let sandbox = notifier().await;
    let good = Outgoing::new("alice", "1");
    let with = |change: &dyn Fn(&mut Outgoing)| {
        let mut notice = good.clone();
        change(&mut notice);
        notice
    };
    let over = (PAYLOAD_BYTES + 1).to_string();
    let cases: Vec<(Outgoing, [&str; 2], Vec<&str>)> = vec![
        (with(&|n| n.user.clear()), ["user_id", "userId"], vec!["must not be empty"]),
        (
            with(&|n| n.user = "u".repeat(129)),
            ["user_id", "userId"],
            vec!["at most 128 bytes", "129"],
        ),
        (
            with(&|n| n.user = "ü".repeat(65)),
            ["user_id", "userId"],
            vec!["at most 128 bytes", "130"],
        ),
        (
            with(&|n| n.user = "a\u{0}b".into()),
            ["user_id", "userId"],
            vec!["control characters", "U+0000"],
        ),
        (
            with(&|n| n.user = "a\u{85}b".into()),
            ["user_id", "userId"],
            vec!["control characters", "U+0085"],
        ),
        (
            with(&|n| n.event = "e".repeat(129)),
            ["event", "event"],
            vec!["at most 128 bytes", "129"],
        ),
        (
            with(&|n| n.event = "a\nb".into()),
            ["event", "event"],
            vec!["control characters", "U+000A"],
        ),
        (with(&|n| n.event = "herald:ready".into()), ["event", "event"], vec!["reserved"]),
        (with(&|n| n.event = "connect_error".into()), ["event", "event"], vec!["reserved"]),
        (with(&|n| n.event = "disconnect".into()), ["event", "event"], vec!["reserved"]),
        (
            with(&|n| n.payload = sized(PAYLOAD_BYTES + 1)),
            ["json", "data"],
            vec!["at most 65536 bytes", &over],
        ),
    ];
    for (notice, fields, words) in &cases {
        let senders = [sandbox.notifier().grpc(), sandbox.notifier().http()];
        for (sender, field) in senders.iter().zip(fields) {
            let error = sender.send(notice).await.unwrap_err();
            assert_fault(&error, field, words);
        }
    }
    // All faults at once.
    let bad = Outgoing { event: "herald:x".into(), ..Outgoing::new("", "1") };
    let error = sandbox.notifier().grpc().send(&bad).await.unwrap_err();
    assert_eq!(error.fields.len(), 2, "{error:?}");
}

#[tokio::test]
async fn what_is_just_within_the_limits_is_accepted() {
    let sandbox = notifier().await;
    for sender in [sandbox.notifier().grpc(), sandbox.notifier().http()] {
        for notice in [
            Outgoing::new("u".repeat(128), "1"),
            Outgoing::new("}{", "1"),
            Outgoing::new(" ", "1"),
            Outgoing::new("alice", sized(PAYLOAD_BYTES)),
            Outgoing { event: "e".repeat(128), ..Outgoing::new("alice", "1") },
        ] {
            sender.send(&notice).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_user_id_with_braces_has_all_its_keys_in_one_slot() {
    let sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    for user in ["{a}", "}{", "a{b}c{d}", "{", "{}"] {
        let checker = Checker::new();
        let follower = follow(&checker, sandbox.gateways[0].session(user), Start::Now).await;
        send(&sandbox.notifier().grpc(), &checker, &Outgoing::new(user, "1")).await;
        all_arrives(&checker, PATIENCE).await;

        // Cluster hashes what is between the first brace and the next closing one.
        let keys = sandbox.redis.cli(&["keys", "*{*"]).await.unwrap();
        let tags: Vec<_> = keys
            .lines()
            .map(|key| key.split_once('{').unwrap().1.split_once('}').unwrap().0)
            .collect();
        assert!(tags.len() >= 3, "{keys}");
        assert!(tags.iter().all(|tag| !tag.is_empty() && *tag == tags[0]), "{keys}");
        follower.close().await;
        sandbox.redis.cli(&["flushall"]).await.unwrap();
    }
}

#[tokio::test]
async fn a_payload_that_is_not_json_is_refused() {
    let sandbox = notifier().await;
    for payload in ["", "{", "{}{}", "NaN", "'a'", "{\"a\":1,}", "\u{feff}1"] {
        let notice = Outgoing::new("alice", payload);
        let error = sandbox.notifier().grpc().send(&notice).await.unwrap_err();
        assert_fault(&error, "json", &["JSON"]);
    }
    let request = SendNoticeRequest {
        user_id: "alice".into(),
        payload: Some(Payload::Json(Bytes::from_static(b"\"\xff\""))),
        ..SendNoticeRequest::default()
    };
    let status = api(sandbox.notifier()).send_notice(request).await.unwrap_err();
    assert_fault(&status.into(), "json", &[]);
    let request = SendNoticeRequest { user_id: "alice".into(), ..SendNoticeRequest::default() };
    let status = api(sandbox.notifier()).send_notice(request).await.unwrap_err();
    assert_fault(&status.into(), "payload", &["required"]);
}

#[tokio::test]
async fn a_batch_over_its_limits_is_refused_and_a_bad_item_spoils_no_other() {
    let sandbox = notifier().await;
    let senders = [sandbox.notifier().grpc(), sandbox.notifier().http()];
    let notice = Outgoing::new("alice", "1");
    for sender in &senders {
        for count in [0, 1001] {
            let error = sender.send_batch(&vec![notice.clone(); count]).await.unwrap_err();
            assert_fault(&error, "items", &["1 to 1000"]);
        }
        assert_eq!(sender.send_batch(&vec![notice.clone(); 1000]).await.unwrap().len(), 1000);

        let mut mixed = vec![notice.clone(); 3];
        mixed[1].user.clear();
        let results = sender.send_batch(&mixed).await.unwrap();
        assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
        let error = results[1].as_ref().unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument);
        assert!(error.message.contains("items[1].notice.user"), "{error}");
    }

    // Sixty-four of the largest are more than 4 MiB by their envelopes alone: gRPC reads that and
    // names the field, far more it does not read at all. Over HTTP nothing more is read.
    let most = BATCH_BYTES / PAYLOAD_BYTES;
    let largest = vec![Outgoing::new("alice", sized(PAYLOAD_BYTES)); most * 2];
    let [grpc, http] = &senders;
    assert_fault(
        &grpc.send_batch(&largest[..most]).await.unwrap_err(),
        "items",
        &["4194304 bytes"],
    );
    let error = grpc.send_batch(&largest).await.unwrap_err();
    assert_eq!(error.code, Code::OutOfRange, "{error}");
    assert!(error.message.contains("limit"), "{error}");
    for large in [&largest[..most], &largest] {
        let error = http.send_batch(large).await.unwrap_err();
        assert_eq!((error.code, error.status), (Code::OutOfRange, Some(413)), "{error}");
        assert!(error.message.contains("4194304 bytes"), "{error}");
    }
    for sender in &senders {
        sender.send_batch(&largest[..most - 1]).await.unwrap();
    }

    let items = ["one", "two"].map(|name| BatchSendNoticesItem {
        r#ref: name.into(),
        notice: (name == "two").then(|| SendNoticeRequest {
            user_id: "alice".into(),
            payload: Some(Payload::Json("1".into())),
            ..SendNoticeRequest::default()
        }),
    });
    let request = BatchSendNoticesRequest { items: items.to_vec() };
    let answer = api(sandbox.notifier()).batch_send_notices(request).await.unwrap().into_inner();
    let refs: Vec<_> = answer.results.iter().map(|result| result.r#ref.as_str()).collect();
    assert_eq!(refs, ["one", "two"]);
    assert!(matches!(answer.results[0].result, Some(batch_send_notices_result::Result::Error(_))));
    assert!(matches!(
        answer.results[1].result,
        Some(batch_send_notices_result::Result::Response(_))
    ));
}

#[tokio::test]
async fn malformed_protobuf_is_internal_with_a_decoding_text() {
    let sandbox = notifier().await;
    for method in
        ["SendNotice", "BatchSendNotices", "ListNotices", "ExplainNotice", "BatchGetPresence"]
    {
        // Field 1, and fewer bytes than announced.
        let body = Bytes::from_static(b"\x0a\x7fshort");
        let status =
            raw_grpc::call(sandbox.notifier().grpc_address(), method, body).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{method}: {status}");
        assert!(status.message().contains("decode"), "{method}: {status}");
    }
    // The connection, and the server, go on.
    sandbox.notifier().grpc().send(&Outgoing::new("alice", "1")).await.unwrap();
}

#[tokio::test]
async fn malformed_http_is_refused_with_the_status_that_says_so() {
    let sandbox = notifier().await;
    let mut client = HttpClient::new(sandbox.notifier().http_address());
    let json = [("content-type", "application/json")];
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let (post, get) = (Method::POST, Method::GET);
    let good = r#"{"userId":"alice","data":1}"#;
    for (method, path, headers, body, status, code, words) in [
        (&post, "/v1/notices", &json[..], "{", 400, Code::InvalidArgument, "not JSON"),
        (&post, "/v1/notices", &json[..], "", 400, Code::InvalidArgument, "JSON"),
        (&post, "/v1/notices", &json[..], "[]", 400, Code::InvalidArgument, "object"),
        (
            &post,
            "/v1/notices",
            &json[..],
            r#"{"userId":1,"data":1}"#,
            400,
            Code::InvalidArgument,
            "",
        ),
        (
            &post,
            "/v1/notices",
            &json[..],
            r#"{"userId":"a","data":1,"usrId":2}"#,
            400,
            Code::InvalidArgument,
            "usrId",
        ),
        (
            &post,
            "/v1/notices",
            &json[..],
            r#"{"userId":"alice"}"#,
            400,
            Code::InvalidArgument,
            "data",
        ),
        (&post, "/v1/notices", &form[..], good, 415, Code::InvalidArgument, "application/json"),
        (&post, "/v1/notices", &[], good, 415, Code::InvalidArgument, "application/json"),
        (&get, "/v1/notices", &json[..], "", 405, Code::Unimplemented, "GET"),
        (&post, "/v2/notices", &json[..], good, 404, Code::NotFound, "path"),
    ] {
        let answer =
            client.request(method.clone(), path, headers, Bytes::from_static(body.as_bytes()));
        let answer: Response<Bytes> = answer.await.unwrap();
        let error = http_error(&answer);
        assert_eq!((error.status, error.code), (Some(status), code), "{path} {body}: {error}");
        assert!(error.message.contains(words), "{words:?} is not in {:?}", error.message);
    }
    let answer = client.get("/openapi.json").await.unwrap();
    assert!(
        serde_json::from_slice::<serde_json::Value>(answer.body()).unwrap()["paths"].is_object()
    );
}

#[tokio::test]
async fn a_malformed_or_oversized_packet_closes_that_connection_alone() {
    let sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let gateway = &sandbox.gateways[0];
    let checker = Checker::new();
    let neighbours = [
        follow(&checker, gateway.session("alice"), Start::Now).await,
        follow(&checker, gateway.session("alice").transport(Transport::Polling), Start::Now).await,
    ];
    let packets = [
        "9".to_owned(),
        "4".to_owned(),
        "4x".to_owned(),
        "42/notice,{".to_owned(),
        "42/notice,[1".to_owned(),
        "45999999999-/notice,[\"x\"]".to_owned(),
        format!("42/notice,[\"x\",\"{}\"]", "y".repeat(20 << 10)),
    ];
    for packet in packets {
        for transport in [Transport::WebSocket, Transport::Polling] {
            let mut session =
                Session::connect(gateway.session("alice").transport(transport)).await.unwrap();
            session.ready(PATIENCE).await.unwrap();
            let count = sessions_of(sandbox.notifier(), "alice").await.len();
            assert_eq!(count, neighbours.len() + 1);
            session.send_raw(packet.clone()).await;
            let head: String = packet.chars().take(30).collect();
            let reason = session.closed(PATIENCE).await;
            let reason = reason.unwrap_or_else(|| panic!("{head} by {transport:?} is put up with"));
            assert_ne!(reason, CloseReason::Local, "{head} by {transport:?}");
            crate::support::sessions_become(sandbox.notifier(), "alice", 2, PATIENCE).await;
        }
    }
    send(&sandbox.notifier().grpc(), &checker, &Outgoing::new("alice", "1")).await;
    all_arrives(&checker, PATIENCE).await;
    assert!(neighbours.iter().all(|neighbour| !neighbour.has_ended()));
}
