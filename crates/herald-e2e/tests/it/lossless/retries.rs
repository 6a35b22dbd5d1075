//! A storm of retries.

use std::collections::{BTreeMap, HashSet};

use herald_e2e::Sandbox;
use herald_loadgen::Session;
use herald_proto::api::{SendNoticeRequest, send_notice_request::Payload};
use tokio::task::JoinSet;
use tonic::Code;

use crate::support::{PATIENCE, api, whole_inbox};

const NOTICES: usize = 100;

/// How often each is sent, at the same time.
const TIMES: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_sent_five_times_at_once_with_one_key_is_one_notice() {
    let sandbox = Sandbox::builder().gateways(2).notifier().notifier().start().await.unwrap();
    let mut sessions = Vec::new();
    for gateway in &sandbox.gateways {
        let mut session = Session::connect(gateway.session("alice")).await.unwrap();
        session.ready(PATIENCE).await.unwrap();
        sessions.push(session);
    }
    let notifiers = [api(&sandbox.notifiers[0]), api(&sandbox.notifiers[1])];
    let mut sending = JoinSet::new();
    for number in 0..NOTICES {
        for time in 0..TIMES {
            let mut notices = notifiers[time % 2].clone();
            let request = SendNoticeRequest {
                user_id: "alice".into(),
                payload: Some(Payload::Json(number.to_string().into())),
                idempotency_key: format!("key-{number}"),
                ..SendNoticeRequest::default()
            };
            sending.spawn(async move {
                loop {
                    match notices.send_notice(request.clone()).await {
                        Ok(answer) => return (number, answer.into_inner()),
                        // Unknown: that is what the key is for.
                        Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status}"),
                    }
                }
            });
        }
    }
    let mut ids: BTreeMap<usize, HashSet<String>> = BTreeMap::new();
    let mut first = 0;
    for (number, answer) in sending.join_all().await {
        first += usize::from(!answer.duplicate);
        ids.entry(number).or_default().insert(answer.notice_id);
    }
    assert_eq!(ids.len(), NOTICES);
    // The first answer to one may have been lost.
    assert!(first <= NOTICES, "{first} are said to be the first of their key");
    assert!(ids.values().all(|ids| ids.len() == 1), "one id in every answer: {ids:?}");

    let inbox = whole_inbox(sandbox.notifier(), "alice").await;
    assert_eq!(inbox.len(), NOTICES, "one notice each");
    let expected: HashSet<_> = ids.into_values().flatten().collect();
    assert_eq!(inbox.iter().map(|notice| notice.id.clone()).collect::<HashSet<_>>(), expected);
    for session in &mut sessions {
        for notice in &inbox {
            assert_eq!(session.notice(PATIENCE).await.unwrap().id, notice.id, "once, in order");
        }
    }
    // And nothing after it.
    let last = SendNoticeRequest {
        user_id: "alice".into(),
        payload: Some(Payload::Json("\"last\"".into())),
        ..SendNoticeRequest::default()
    };
    api(sandbox.notifier()).send_notice(last).await.unwrap();
    for session in &mut sessions {
        assert_eq!(&*session.notice(PATIENCE).await.unwrap().payload, "\"last\"");
    }
}
