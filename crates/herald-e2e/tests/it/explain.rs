//! The story of a lost notice, as somebody finds it out who was woken up for it.

use std::time::{SystemTime, UNIX_EPOCH};

use herald_e2e::{Process, Relay, Sandbox, Signal, Spawn, eventually};
use herald_loadgen::{Session, SessionOptions};
use herald_proto::api::{
    ExplainNoticeRequest, ExplainNoticeResponse, FindingKind, GatewayHearing, GoneReason,
    InboxStanding, SendNoticeRequest, SendNoticeResponse, SessionPlace, SessionState, SessionTrace,
    WaitFor, send_notice_request::Payload,
};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{PATIENCE, api, inbox_and_floor};

const SECRET: &str = "e2e-shared-secret-of-explain-0123456789abcdef";

/// A token of alice's that is good for so many seconds.
fn token(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({"sub": "alice", "exp": now + seconds});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

/// A session of alice's that is ready.
async fn connect(mut options: SessionOptions, device: &str, token: String) -> Session {
    options.token = Some(token);
    let mut session = Session::connect(options.device(device)).await.unwrap();
    session.ready(PATIENCE).await.unwrap();
    session
}

fn notice(json: &str, ttl: Option<prost_types::Duration>) -> SendNoticeRequest {
    SendNoticeRequest {
        user_id: "alice".into(),
        payload: Some(Payload::Json(json.to_owned().into())),
        wait_for: WaitFor::AckedAll.into(),
        wait_timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        idempotency_key: format!("key-{json}"),
        ttl,
        ..SendNoticeRequest::default()
    }
}

fn send(sandbox: &Sandbox, request: SendNoticeRequest) -> JoinHandle<SendNoticeResponse> {
    let mut notices = api(sandbox.notifier());
    tokio::spawn(async move { notices.send_notice(request).await.unwrap().into_inner() })
}

async fn explain(sandbox: &Sandbox, notice_id: &str) -> ExplainNoticeResponse {
    let request = ExplainNoticeRequest { user_id: "alice".into(), notice_id: notice_id.to_owned() };
    api(sandbox.notifier()).explain_notice(request).await.unwrap().into_inner()
}

/// The sessions of a device, in the order in which they connected.
fn of<'e>(explained: &'e ExplainNoticeResponse, device: &str) -> Vec<&'e SessionTrace> {
    let is_its = |session: &&SessionTrace| session.device.as_deref() == Some(device);
    explained.sessions.iter().filter(is_its).collect()
}

/// Explains until it says this of the first session of the device.
async fn comes_to_say(
    sandbox: &Sandbox,
    notice_id: &str,
    device: &str,
    wanted: impl Fn(&SessionTrace) -> bool,
) -> ExplainNoticeResponse {
    eventually(&format!("it is said of {device}"), PATIENCE, async || {
        let explained = explain(sandbox, notice_id).await;
        match of(&explained, device).first() {
            Some(session) if wanted(session) => Ok(explained),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// `herald explain`: its exit code, and what it said.
async fn herald(sandbox: &Sandbox, arguments: &[&str]) -> (i32, String) {
    let url = format!("http://{}", sandbox.notifier().grpc_address());
    let mut spawn = Spawn::ours("herald").unwrap().args(["explain"]).args(arguments);
    spawn.name = format!("explain-{}", arguments.len());
    let spawn = spawn.env("HERALD_NOTIFIER_URL", url);
    let mut process: Process = sandbox.spawn(&spawn).unwrap();
    let status = process.wait(PATIENCE).await.unwrap();
    (status.code().unwrap(), process.log())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_notice_has_a_story_for_every_device() {
    let sandbox = Sandbox::builder()
        .env("HERALD_CLIENT_AUTH", "jwt")
        .env("HERALD_JWT_SECRET", SECRET)
        .env("HERALD_JWT_LEEWAY", "0")
        // Longer than this takes: the lease of a frozen gateway stays good.
        .env("HERALD_LEASE", "120s")
        .gateways(2)
        .notifier();
    let mut sandbox = sandbox.start().await.unwrap();
    let (here, there) =
        (sandbox.gateways[0].name().to_owned(), sandbox.gateways[1].name().to_owned());
    let relay = Relay::start(sandbox.gateways[0].address()).await.unwrap();
    let options = sandbox.gateways[0].session("alice");
    let through = SessionOptions { address: relay.address(), ..options.clone() };
    let mut acks = connect(options.clone(), "acks", token(600)).await;
    let mut cut = connect(through, "cut", token(600)).await;
    let mut frozen = connect(sandbox.gateways[1].session("alice"), "frozen", token(600)).await;
    let mut expires = connect(options.clone(), "expires", token(4)).await;
    sandbox.gateways[1].process().unwrap().signal(Signal::STOP).unwrap();

    let sent = send(&sandbox, notice("1", None));
    let got = acks.notice(PATIENCE).await.unwrap();
    acks.acknowledge(&got).await;
    for session in [&mut cut, &mut expires] {
        assert_eq!(session.notice(PATIENCE).await.unwrap().id, got.id);
    }
    relay.cut();
    expires.closed(PATIENCE).await.expect("its token has ended");
    let known = sent.await.unwrap();
    assert_eq!((known.notice_id.as_str(), known.wait_satisfied), (got.id.as_str(), false));

    let ended = |session: &SessionTrace| session.state() == SessionState::Gone;
    comes_to_say(&sandbox, &got.id, "expires", ended).await;
    let explained = comes_to_say(&sandbox, &got.id, "cut", ended).await;
    println!("{}", explained.summary);
    assert_eq!((explained.standing(), explained.recorded), (InboxStanding::Kept, true));
    assert_eq!(explained.sessions.len(), 4);
    assert!(explained.sessions.iter().all(|session| session.target));
    for (device, state, reason, place, words) in [
        (
            "acks",
            SessionState::Acked,
            GoneReason::Unspecified,
            SessionPlace::Passed,
            "its client acknowledged it",
        ),
        (
            "cut",
            SessionState::Gone,
            GoneReason::ConnectionLost,
            SessionPlace::NotConnected,
            "its connection closed or broke. The device may have got it or not.",
        ),
        (
            "expires",
            SessionState::Gone,
            GoneReason::TokenExpired,
            SessionPlace::NotConnected,
            "its token expired",
        ),
        (
            "frozen",
            SessionState::Unknown,
            GoneReason::Unspecified,
            SessionPlace::NoAnswer,
            "did not answer within 1 s",
        ),
    ] {
        let session = of(&explained, device)[0];
        println!("{device}: {}", session.text);
        let said = (session.state(), session.gone_reason(), session.place());
        assert_eq!(said, (state, reason, place), "{device}");
        assert!(session.text.contains(words), "{words} is not in: {}", session.text);
        let gateway = if device == "frozen" { &there } else { &here };
        assert_eq!(session.gateway, *gateway);
    }
    let mut gateways: Vec<_> = explained
        .gateways
        .iter()
        .map(|of| (of.gateway.as_str(), of.hearing(), of.reported))
        .collect();
    gateways.sort_by_key(|(name, ..)| *name != here);
    // The kernel still holds its connection to Redis.
    let listened = GatewayHearing::Listened;
    assert_eq!(gateways, [(here.as_str(), listened, true), (there.as_str(), listened, false)]);

    // The same on the command line, for people and for programs.
    let (code, page) = herald(&sandbox, &["alice", &got.id]).await;
    assert_eq!(code, 0, "{page}");
    for words in [&format!("Notice {}", got.id), "token expired", "What happened", "acknowledged"] {
        assert!(page.contains(words), "{words} is not in:\n{page}");
    }
    let (code, json) = herald(&sandbox, &["alice", &got.id, "--json"]).await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["standing"]), (0, &json!("INBOX_STANDING_KEPT")));
    let (code, said) = herald(&sandbox, &["bob", &got.id, "--timeout", "20"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("nothing is known of this notice: the user has no inbox"), "{said}");

    // A device comes back with a cursor, another one begins anew; and the sender tries again.
    let (_, floor) = inbox_and_floor(sandbox.notifier(), "alice").await;
    let mut back = connect(options.clone().cursor(floor), "cut", token(600)).await;
    assert!(back.notice(PATIENCE).await.unwrap().replayed);
    let _new = connect(options, "new", token(600)).await;
    assert!(send(&sandbox, notice("1", None)).await.unwrap().duplicate);
    let explained = explain(&sandbox, &got.id).await;
    let cut = of(&explained, "cut");
    assert_eq!(cut.len(), 2);
    assert_eq!((cut[1].state(), cut[1].target), (SessionState::Emitted, false));
    assert!(cut[1].replayed && cut[1].text.contains("its client having come back"));
    let new = of(&explained, "new")[0];
    assert_eq!(new.place(), SessionPlace::BeganAfter);
    assert!(new.text.contains("without a cursor"), "{}", new.text);
    assert_eq!(explained.retries, 1);
    assert!(explained.timeline.iter().any(|of| of.kind() == FindingKind::Retried));

    // One that is of use for a moment only, and whose time is over when the gateway runs again.
    let short = notice("2", Some(prost_types::Duration { seconds: 0, nanos: 300_000_000 }));
    let short = send(&sandbox, short).await.unwrap().notice_id;
    let explained = eventually("it has expired", PATIENCE, async || {
        let explained = explain(&sandbox, &short).await;
        match explained.standing() {
            InboxStanding::Expired => Ok(explained),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(explained.summary.contains("Its ttl was over at"), "{}", explained.summary);
    assert!(explained.timeline.iter().any(|of| of.kind() == FindingKind::Expired));
    sandbox.gateways[1].process().unwrap().signal(Signal::CONT).unwrap();
    assert_eq!(frozen.notice(PATIENCE).await.unwrap().id, got.id);
    let passed = |session: &SessionTrace| session.place() == SessionPlace::Passed;
    let explained = comes_to_say(&sandbox, &short, "frozen", passed).await;
    let text = &of(&explained, "frozen")[0].text;
    assert!(text.contains("unless the ttl was over"), "it was not handed it: {text}");
    let emitted = |session: &SessionTrace| session.state() == SessionState::Emitted;
    comes_to_say(&sandbox, &got.id, "frozen", emitted).await;
}
