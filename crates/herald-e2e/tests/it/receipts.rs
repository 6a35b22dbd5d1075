//! What senders learn of their notices' way, with official clients on real devices: processes that
//! are stopped, killed and come back.

use std::time::{Duration, Instant};

use herald_e2e::{Notifier, Sandbox, Script, Signal};
use herald_proto::api::{
    Outcome, SendNoticeRequest, SendNoticeResponse, SessionState, WaitFor,
    notice_service_client::NoticeServiceClient, send_notice_request::Payload,
};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use tonic::{Status, transport::Channel};

use crate::support::{PATIENCE, api, figure, sessions_become};

/// Longer than anything here should take, and within the longest wait.
const LONG: i64 = 30;

/// Where nothing more comes, a wait is this long.
const SHORT: i64 = 6;

fn notice(user: &str, json: &str, wait_for: WaitFor, seconds: i64) -> SendNoticeRequest {
    SendNoticeRequest {
        user_id: user.into(),
        payload: Some(Payload::Json(json.to_owned().into())),
        wait_for: wait_for.into(),
        wait_timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..SendNoticeRequest::default()
    }
}

type Answer = JoinHandle<Result<SendNoticeResponse, Status>>;

/// Sends in the background.
fn send(notifier: &Notifier, request: SendNoticeRequest) -> Answer {
    send_by(api(notifier), request)
}

fn send_by(mut notices: NoticeServiceClient<Channel>, request: SendNoticeRequest) -> Answer {
    tokio::spawn(async move {
        let mut request = tonic::Request::new(request);
        // The longest wait, and time for the rest.
        request.set_timeout(PATIENCE + PATIENCE);
        Ok(notices.send_notice(request).await?.into_inner())
    })
}

async fn answer(sent: Answer) -> SendNoticeResponse {
    tokio::time::timeout(PATIENCE + PATIENCE, sent).await.expect("an answer").unwrap().unwrap()
}

/// A tab of alice's on one of the gateways, that is ready; `more` are options of its script.
async fn tab(sandbox: &mut Sandbox, gateway: usize, device: &str, more: Value) -> Script {
    let address = sandbox.gateways[gateway].address();
    let mut config = json!({
        "url": format!("http://{address}/notice"),
        "path": "/notice",
        "transports": ["websocket"],
        "reconnectionDelay": 50,
        "reconnectionDelayMax": 200,
        "auth": {"token": "alice", "device": device},
    });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut tab = sandbox.node("client.mjs", &config).unwrap();
    let ready = tab.expect("event", PATIENCE).await.unwrap();
    assert_eq!(ready["event"], "herald:ready");
    tab
}

/// Waits until a tab has a notice with this payload; whether an acknowledgement was asked for.
async fn has(tab: &mut Script, payload: &Value) -> bool {
    loop {
        let event = tab.expect("event", PATIENCE).await.unwrap();
        if event["event"] == "notice" && event["args"][0] == *payload {
            return event["asks"].as_bool().unwrap();
        }
    }
}

/// What is said of each device; all of this test's have names.
fn devices(answer: &SendNoticeResponse) -> Vec<(&str, SessionState)> {
    let mut devices: Vec<_> =
        answer.sessions.iter().map(|s| (s.device.as_deref().unwrap(), s.state())).collect();
    devices.sort_by_key(|(device, state)| (*device, *state as i32));
    devices
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_tab_that_acknowledges_is_enough_for_any_and_a_frozen_one_is_told_apart() {
    let mut sandbox = Sandbox::builder().gateways(2).notifier().start().await.unwrap();
    let mut alive = tab(&mut sandbox, 0, "alive", json!({"acknowledge": true})).await;
    let mut frozen = tab(&mut sandbox, 1, "frozen", json!({"acknowledge": true})).await;
    frozen.process().signal(Signal::STOP).unwrap();
    let start = Instant::now();
    let known =
        answer(send(sandbox.notifier(), notice("alice", "1", WaitFor::AckedAny, LONG))).await;
    println!("acknowledged by any after {:?}", start.elapsed());
    assert_eq!((known.outcome(), known.wait_satisfied), (Outcome::Acked, true));
    let states = devices(&known);
    assert_eq!(states[0], ("alive", SessionState::Acked));
    // The other gateway may not have reported by then.
    assert!(matches!(states[1], ("frozen", SessionState::Emitted | SessionState::Accepted)));
    assert!(has(&mut alive, &json!(1)).await);

    let known =
        answer(send(sandbox.notifier(), notice("alice", "2", WaitFor::AckedAll, SHORT))).await;
    assert_eq!((known.outcome(), known.wait_satisfied), (Outcome::Acked, false));
    let expected = [("alive", SessionState::Acked), ("frozen", SessionState::Emitted)];
    assert_eq!(devices(&known), expected);

    let waiting = send(sandbox.notifier(), notice("alice", "3", WaitFor::AckedAll, LONG));
    assert!(has(&mut alive, &json!(3)).await);
    frozen.process().signal(Signal::CONT).unwrap();
    let known = answer(waiting).await;
    assert!(known.wait_satisfied, "{known:?}");
    // What was not asked for is not asked of clients.
    let request = notice("alice", "4", WaitFor::Emitted, LONG);
    assert!(answer(send(sandbox.notifier(), request)).await.wait_satisfied);
    assert!(!has(&mut alive, &json!(4)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tab_killed_midway_is_gone_and_its_return_within_the_wait_makes_good_for_it() {
    let mut sandbox = Sandbox::builder().gateways(2).notifier().start().await.unwrap();
    let mut alive = tab(&mut sandbox, 0, "alive", json!({"acknowledge": true})).await;
    let mut killed = tab(&mut sandbox, 1, "phone", json!({})).await;
    let waiting = send(sandbox.notifier(), notice("alice", "1", WaitFor::AckedAll, SHORT));
    assert!(has(&mut killed, &json!(1)).await && has(&mut alive, &json!(1)).await);
    killed.process().kill().await.unwrap();
    let known = answer(waiting).await;
    assert_eq!((known.outcome(), known.wait_satisfied), (Outcome::Acked, false));
    let expected = [("alive", SessionState::Acked), ("phone", SessionState::Gone)];
    assert_eq!(devices(&known), expected);
    sessions_become(sandbox.notifier(), "alice", 1, PATIENCE).await;

    // The phone again, and this time it comes back: to the other gateway, with the same cursor.
    let mut killed = tab(&mut sandbox, 1, "phone", json!({})).await;
    let waiting = send(sandbox.notifier(), notice("alice", "2", WaitFor::AckedAll, LONG));
    let cursor = loop {
        let event = killed.expect("event", PATIENCE).await.unwrap();
        if event["event"] == "notice" && event["args"][0] == json!(1) {
            break event["args"][1]["cursor"].clone();
        }
        if event["event"] == "notice" && event["args"][0] == json!(2) {
            break json!("start");
        }
    };
    killed.process().kill().await.unwrap();
    let auth = json!({"token": "alice", "device": "phone", "cursor": cursor});
    let more = json!({"acknowledge": true, "auth": auth});
    let mut back = tab(&mut sandbox, 0, "phone", more).await;
    assert!(has(&mut back, &json!(2)).await, "it is asked for an acknowledgement as well");
    let known = answer(waiting).await;
    assert_eq!((known.outcome(), known.wait_satisfied), (Outcome::Acked, true));
    let expected = [
        ("alive", SessionState::Acked),
        ("phone", SessionState::Acked),
        ("phone", SessionState::Gone),
    ];
    assert_eq!(devices(&known), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_midway_leaves_unknown_what_it_did_not_say() {
    let mut sandbox = Sandbox::builder().gateways(2).notifier().start().await.unwrap();
    let mut dies = tab(&mut sandbox, 0, "dies", json!({"acknowledge": true})).await;
    let _stays = tab(&mut sandbox, 1, "stays", json!({"acknowledge": true})).await;
    // It is told, and dies before it does anything.
    sandbox.gateways[0].process().unwrap().signal(Signal::STOP).unwrap();
    let waiting = send(sandbox.notifier(), notice("alice", "1", WaitFor::AckedAll, SHORT));
    sandbox.gateways[0].kill().await.unwrap();
    let known = answer(waiting).await;
    assert_eq!((known.outcome(), known.wait_satisfied), (Outcome::Acked, false));
    let states = devices(&known);
    // Killed before the notice was sent, nobody listened.
    assert!(
        matches!(states[0], ("dies", SessionState::Unknown | SessionState::Unheard)),
        "{states:?}"
    );
    assert_eq!(states[1], ("stays", SessionState::Acked));
    dies.expect("disconnect", PATIENCE).await.unwrap();

    // The same with one that was handed the notice: that much was seen.
    sandbox.gateways[0].start().await.unwrap();
    sessions_become(sandbox.notifier(), "alice", 2, PATIENCE).await;
    dies.process().signal(Signal::STOP).unwrap();
    let waiting = send(sandbox.notifier(), notice("alice", "2", WaitFor::AckedAll, SHORT));
    let emitted = notice("alice", "3", WaitFor::Emitted, LONG);
    assert!(answer(send(sandbox.notifier(), emitted)).await.wait_satisfied);
    let both = async {
        loop {
            let figures = sandbox.gateways[0].admin("/metrics").await.unwrap().1;
            if figures.contains("herald_gateway_reports_total{outcome=\"heard\"} 2") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, both).await.expect("it has reported twice");
    sandbox.gateways[0].kill().await.unwrap();
    let known = answer(waiting).await;
    assert!(!known.wait_satisfied);
    let expected = [("dies", SessionState::Emitted), ("stays", SessionState::Acked)];
    assert_eq!(devices(&known), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_and_deadlines_shorter_than_the_wait() {
    let mut sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let start = Instant::now();
    let known = answer(send(sandbox.notifier(), notice("bob", "1", WaitFor::AckedAll, LONG))).await;
    println!("nobody there after {:?}", start.elapsed());
    assert_eq!((known.outcome(), known.wait_satisfied), (Outcome::Offline, false));
    assert!(start.elapsed() < Duration::from_secs(LONG.unsigned_abs()), "it waited for nobody");

    let mut frozen = tab(&mut sandbox, 0, "frozen", json!({})).await;
    frozen.process().signal(Signal::STOP).unwrap();
    let mut request = tonic::Request::new(notice("alice", "2", WaitFor::AckedAny, LONG));
    request.set_timeout(Duration::from_secs(10));
    let start = Instant::now();
    // An error of the client's own would be DEADLINE_EXCEEDED.
    let known = api(sandbox.notifier()).send_notice(request).await.unwrap().into_inner();
    println!("answered after {:?} of 10 s", start.elapsed());
    assert_eq!((known.outcome(), known.wait_satisfied), (Outcome::Emitted, false));
    assert_eq!(devices(&known), [("frozen", SessionState::Emitted)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_several_notifiers_hears_of_its_own_notices() {
    const EACH: usize = 50;
    let mut sandbox = Sandbox::builder().gateways(2).notifier().notifier().start().await.unwrap();
    let _one = tab(&mut sandbox, 0, "one", json!({"acknowledge": true})).await;
    let _two = tab(&mut sandbox, 1, "two", json!({"acknowledge": true})).await;
    let mut sending = JoinSet::new();
    for (nth, notifier) in sandbox.notifiers.iter().enumerate() {
        let notices = api(notifier);
        for number in 0..EACH {
            let json = format!("[{nth},{number}]");
            let request = notice("alice", &json, WaitFor::AckedAll, LONG);
            sending.spawn(answer(send_by(notices.clone(), request)));
        }
    }
    for known in sending.join_all().await {
        assert!(known.wait_satisfied, "{known:?}");
        let expected = [("one", SessionState::Acked), ("two", SessionState::Acked)];
        assert_eq!(devices(&known), expected);
    }
    for notifier in &sandbox.notifiers {
        let figures = notifier.admin("/metrics").await.unwrap().1;
        let reports = figure(&figures, "herald_notifier_reports_total");
        let expected = (2 * 2 * EACH) as f64;
        assert_eq!(reports, Some(expected), "a roll call and an acknowledgement of each gateway");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_while_the_channel_is_cut_is_found_in_what_is_kept() {
    let mut sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let mut late = tab(&mut sandbox, 0, "late", json!({})).await;
    for round in 0..3 {
        let json = round.to_string();
        let waiting = send(sandbox.notifier(), notice("alice", &json, WaitFor::AckedAny, LONG));
        assert!(has(&mut late, &json!(round)).await);
        // It can subscribe again only when it runs again, and the acknowledgement comes before.
        sandbox.notifiers[0].process().unwrap().signal(Signal::STOP).unwrap();
        sandbox.redis.cli(&["client", "kill", "type", "pubsub"]).await.unwrap();
        late.command(&json!({"do": "acknowledge"})).await.unwrap();
        let unheard = async {
            loop {
                let figures = sandbox.gateways[0].admin("/metrics").await.unwrap().1;
                let line = "herald_gateway_reports_total{outcome=\"unheard\"} ";
                let count = figures.lines().find_map(|figure| figure.strip_prefix(line)).unwrap();
                if count.parse::<f64>().unwrap() > f64::from(round) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, unheard).await.expect("nobody hears of it");
        sandbox.notifiers[0].process().unwrap().signal(Signal::CONT).unwrap();
        let known = answer(waiting).await;
        assert!(known.wait_satisfied, "{known:?}");
        assert_eq!(devices(&known), [("late", SessionState::Acked)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_typed_client_acknowledges_what_its_handler_has_dealt_with() {
    let mut sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let address = sandbox.gateways[0].address();
    let config = json!({
        "url": format!("http://{address}/notice"),
        "token": "alice",
        "device": "laptop",
        "slow": true,
    });
    let mut client = sandbox.node("herald-client.mjs", &config).unwrap();
    client.expect("online", PATIENCE).await.unwrap();
    let waiting = send(sandbox.notifier(), notice("alice", "1", WaitFor::AckedAll, LONG));
    client.expect("notice", PATIENCE).await.unwrap();
    let emitted = notice("alice", "2", WaitFor::AckedAll, 3);
    let known = answer(send(sandbox.notifier(), emitted)).await;
    assert_eq!(devices(&known), [("laptop", SessionState::Emitted)], "it waits for its turn");
    assert!(!waiting.is_finished(), "the handler is at it");
    client.command(&json!({"do": "finish"})).await.unwrap();
    let known = answer(waiting).await;
    assert!(known.wait_satisfied && known.outcome() == Outcome::Acked);

    // Its connection breaks while the handler is at it, and the notice comes again.
    client.expect("notice", PATIENCE).await.unwrap();
    client.command(&json!({"do": "finish"})).await.unwrap();
    let waiting = send(sandbox.notifier(), notice("alice", "3", WaitFor::AckedAll, LONG));
    while client.expect("notice", PATIENCE).await.unwrap()["payload"] != json!(3) {}
    client.command(&json!({"do": "drop"})).await.unwrap();
    client.expect("offline", PATIENCE).await.unwrap();
    client.expect("online", PATIENCE).await.unwrap();
    client.command(&json!({"do": "finish"})).await.unwrap();
    let known = answer(waiting).await;
    assert!(known.wait_satisfied, "{known:?}");
    let expected = [("laptop", SessionState::Acked), ("laptop", SessionState::Gone)];
    assert_eq!(devices(&known), expected);
}
