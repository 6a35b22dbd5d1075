//! Who may call what: the same over gRPC and HTTP.

use std::path::PathBuf;

use herald_backplane::BackplaneOptions;
use herald_notifier::{ApiKeys, KeyRequest, Options, new_key};
use herald_proto::api::{
    BatchGetPresenceRequest, BatchSendNoticesItem, BatchSendNoticesRequest, BroadcastRequest,
    ExplainNoticeRequest, ListNoticesRequest, SendNoticeRequest,
    batch_send_notices_result::Result as ItemResult, broadcast_request,
    notice_service_client::NoticeServiceClient,
};
use http::{Method, StatusCode};
use serde_json::json;
use tonic::{Code, Request, Status, transport::Channel};

use crate::harness::{Answer, Herald, eventually, notice};

/// A notifier whose callers need keys, and the file with them.
struct Scene {
    herald: Herald,
    directory: tempfile::TempDir,
}

fn made(name: &str, rpcs: &[&str], users: &[&str], events: &[&str]) -> (String, String) {
    let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let (rpcs, users, events) = (list(rpcs), list(users), list(events));
    let made = new_key(KeyRequest { name: name.into(), rpcs, users, events }).unwrap();
    (made.key.expose().to_owned(), made.entry)
}

impl Scene {
    async fn new(entries: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = Self::write_to(&directory, &format!("{{\"keys\": [{}]}}", entries.join(",")));
        let options =
            Options { api_keys: Some(ApiKeys::read(path).unwrap()), ..Default::default() };
        let herald = Herald::start_with(options, &BackplaneOptions::default()).await;
        Self { herald, directory }
    }

    fn write_to(directory: &tempfile::TempDir, text: &str) -> PathBuf {
        // Replaced as a whole, as whoever deploys it should.
        let (new, path) = (directory.path().join("new"), directory.path().join("keys.json"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, &path).unwrap();
        path
    }

    fn write(&self, text: &str) {
        Self::write_to(&self.directory, text);
    }

    async fn http(&self, authorization: Option<&str>, path: &str, body: &str) -> Answer {
        let mut request =
            self.herald.build(Method::POST, path, Some("application/json"), body.to_owned());
        if let Some(value) = authorization {
            request.headers_mut().insert("authorization", value.parse().unwrap());
        }
        self.herald.request(request).await
    }

    async fn client(&self) -> NoticeServiceClient<Channel> {
        self.herald.notices().await
    }
}

fn with<T>(authorization: Option<&str>, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(value) = authorization {
        request.metadata_mut().insert("authorization", value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn without_a_key_that_is_known_nobody_gets_in() {
    let (key, entry) = made("orders", &["*"], &[], &[]);
    let (unknown, _) = made("orders", &["*"], &[], &[]);
    let scene = Scene::new(&[&entry]).await;
    let mut client = scene.client().await;
    let form = "the authorization is not of the form `Bearer <key>`";
    let not_known = "the API key is not known";
    for (authorization, reason) in [
        (None, "an API key is needed: `authorization: Bearer <key>`"),
        (Some(String::new()), form),
        (Some("Bearer".into()), form),
        (Some(format!("Basic {key}")), form),
        (Some(key.clone()), form),
        (Some(format!("Bearer {}", "x".repeat(300))), form),
        (Some("Bearer x".into()), not_known),
        (Some(format!("Bearer {unknown}")), not_known),
        (Some(format!("Bearer {key}x")), not_known),
        (Some(format!("Bearer {}", &key[..key.len() - 1])), not_known),
        (Some(format!("Bearer {}", key.to_uppercase())), not_known),
        (Some(format!("Bearer {key} {key}")), not_known),
    ] {
        let authorization = authorization.as_deref();
        let refused = client.send_notice(with(authorization, notice("alice", "1"))).await;
        let refused = refused.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::Unauthenticated, reason));
        let refused = scene.http(authorization, "/v1/notices", "not even JSON").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
        assert_eq!(refused.headers["www-authenticate"], "Bearer");
        assert_eq!(refused.json()["message"], reason);
        assert_eq!(refused.json()["status"], "UNAUTHENTICATED");
    }
    assert!(scene.herald.inbox("alice").await.is_empty());

    let good = format!("Bearer {key}");
    client.send_notice(with(Some(&good), notice("alice", "1"))).await.unwrap();
    let body = r#"{"userId": "alice", "data": 2}"#;
    assert_eq!(scene.http(Some(&good), "/v1/notices", body).await.status, StatusCode::OK);
    assert_eq!(scene.herald.inbox("alice").await, ["1", "2"]);
    // What tells nothing of anybody needs no key.
    assert_eq!(scene.herald.get("/openapi.json").await.status, StatusCode::OK);
}

/// The refusal names what is lacking.
#[track_caller]
fn lacks<T: std::fmt::Debug>(result: Result<T, Status>, scope: &str) {
    let refused = result.unwrap_err();
    let expected = format!("the caller orders lacks the scope {scope}");
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, expected.as_str()));
}

#[tokio::test]
async fn a_key_is_held_to_its_rpcs_users_and_events() {
    let rpcs = ["SendNotice", "BatchSendNotices", "ExplainNotice", "BatchGetPresence", "Broadcast"];
    let (key, entry) = made("orders", &rpcs, &["customer-", "guest-"], &["order"]);
    let scene = Scene::new(&[&entry]).await;
    let good = Some(format!("Bearer {key}"));
    let good = good.as_deref();
    let mut client = scene.client().await;
    let order = |user: &str| SendNoticeRequest { event: "order".into(), ..notice(user, "1") };

    client.send_notice(with(good, order("customer-1"))).await.unwrap();
    lacks(client.send_notice(with(good, order("alice"))).await, "user \"alice\"");
    lacks(client.send_notice(with(good, order("customer"))).await, "user \"customer\"");
    lacks(client.send_notice(with(good, notice("guest-1", "1"))).await, "event \"notice\"");
    let list = ListNoticesRequest { user_id: "customer-1".into(), ..Default::default() };
    lacks(client.list_notices(with(good, list)).await, "rpc ListNotices");
    let explain = |user: &str| ExplainNoticeRequest {
        user_id: user.into(),
        notice_id: "1-0-00000000".into(),
    };
    let allowed = client.explain_notice(with(good, explain("customer-2"))).await.unwrap_err();
    assert_eq!(allowed.code(), Code::NotFound, "{allowed}");
    lacks(client.explain_notice(with(good, explain("alice"))).await, "user \"alice\"");
    let presence =
        |ids: [&str; 2]| BatchGetPresenceRequest { user_ids: ids.map(Into::into).into() };
    let both = presence(["customer-1", "guest-1"]);
    client.batch_get_presence(with(good, both)).await.unwrap();
    let one = presence(["customer-1", "alice"]);
    lacks(client.batch_get_presence(with(good, one)).await, "user \"alice\"");
    let payload = Some(broadcast_request::Payload::Json("1".into()));
    let broadcast = BroadcastRequest { event: "order".into(), payload };
    lacks(client.broadcast(with(good, broadcast)).await, "all users");

    // One item that is not allowed does not spoil the other.
    let items = ["customer-2", "alice"]
        .map(|user| BatchSendNoticesItem { r#ref: user.into(), notice: Some(order(user)) });
    let batch = BatchSendNoticesRequest { items: items.into() };
    let results = client.batch_send_notices(with(good, batch)).await.unwrap().into_inner().results;
    assert!(matches!(results[0].result, Some(ItemResult::Response(_))));
    let Some(ItemResult::Error(error)) = &results[1].result else { panic!("{results:?}") };
    assert_eq!(error.code, Code::PermissionDenied as i32);

    let body = json!({"userId": "alice", "event": "order", "data": 1}).to_string();
    let refused = scene.http(good, "/v1/notices", &body).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.json()["status"], "PERMISSION_DENIED");
    assert_eq!(refused.json()["message"], "the caller orders lacks the scope user \"alice\"");
    assert!(scene.herald.inbox("alice").await.is_empty());
}

#[tokio::test]
async fn the_same_idempotency_key_of_two_callers_is_two_keys() {
    let (one, first) = made("one", &["*"], &[], &[]);
    let (two, second) = made("two", &["*"], &[], &[]);
    let scene = Scene::new(&[&first, &second]).await;
    let mut client = scene.client().await;
    for (key, json, duplicate) in [(&one, "1", false), (&two, "2", false), (&one, "1", true)] {
        let request =
            SendNoticeRequest { idempotency_key: "k".into(), ..notice("alice", json.to_owned()) };
        let authorization = format!("Bearer {key}");
        let answer = client.send_notice(with(Some(&authorization), request)).await.unwrap();
        assert_eq!(answer.into_inner().duplicate, duplicate);
    }
    assert_eq!(scene.herald.inbox("alice").await, ["1", "2"]);
}

#[tokio::test]
async fn keys_are_rotated_live_and_a_broken_file_changes_nothing() {
    let (old, old_entry) = made("orders", &["*"], &[], &[]);
    let (new, new_entry) = made("orders", &["*"], &[], &[]);
    let scene = Scene::new(&[&old_entry]).await;
    let works = async |key: &str| {
        let authorization = format!("Bearer {key}");
        let body = r#"{"userIds": ["alice"]}"#;
        let answer = scene.http(Some(&authorization), "/v1/presence:query", body).await;
        answer.status == StatusCode::OK
    };
    let become_so = async |key: &str, expected: bool| {
        eventually(async || (works(key).await == expected).then_some(())).await;
    };
    assert!(works(&old).await && !works(&new).await);
    // Both for a while, under one name.
    let hash = |entry: &str| {
        let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
        entry["hashes"][0].clone()
    };
    let hashes = [hash(&old_entry), hash(&new_entry)];
    scene
        .write(&json!({"keys": [{"name": "orders", "hashes": hashes, "rpcs": ["*"]}]}).to_string());
    become_so(&new, true).await;
    assert!(works(&old).await);
    scene.write(&format!("{{\"keys\": [{new_entry}]}}"));
    become_so(&old, false).await;
    assert!(works(&new).await);

    for broken in ["", "{", "{\"keys\": [{\"name\": \"x\"}]}", &"x".repeat(2 << 20)] {
        scene.write(broken);
        // For longer than it takes to be looked at.
        let looked_at = tokio::time::Instant::now() + std::time::Duration::from_millis(1_500);
        while tokio::time::Instant::now() < looked_at {
            assert!(works(&new).await, "a broken file locks nobody out");
            tokio::task::yield_now().await;
        }
        let (fresh, entry) = made("fresh", &["*"], &[], &[]);
        scene.write(&format!("{{\"keys\": [{new_entry}, {entry}]}}"));
        become_so(&fresh, true).await;
    }
    std::fs::remove_file(scene.directory.path().join("keys.json")).unwrap();
    assert!(works(&new).await);
    // None at all is a file too.
    scene.write("{\"keys\": []}");
    become_so(&new, false).await;
}
