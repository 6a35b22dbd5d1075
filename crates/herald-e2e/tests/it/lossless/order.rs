//! Senders that race.

use std::sync::Arc;

use herald_e2e::Sandbox;
use herald_loadgen::{Notice, Outgoing, Session, SessionOptions, Transport};
use tokio::{sync::Barrier, task::JoinSet};

use crate::support::{PATIENCE, whole_inbox};

const USER: &str = "alice";
const SENDERS: usize = 20;

/// Of each sender; all together are fewer than an inbox keeps.
const NOTICES: usize = 45;

/// After it, nothing comes.
const LAST: &str = "\"last\"";

/// After so many a session that comes and goes has its connection broken.
const PART: usize = 100;

/// What a session gets up to the last notice or so many.
async fn read(session: &mut Session, most: usize) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    while notices.len() < most && notices.last().is_none_or(|notice| &*notice.payload != LAST) {
        notices.push(session.notice(PATIENCE).await.unwrap());
    }
    notices
}

/// What a client gets over many connections, to one gateway and the other in turn.
async fn come_and_go(options: [SessionOptions; 2]) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    for turn in 0.. {
        let cursor = notices.last().map_or("start", |notice| &notice.cursor);
        let options = options[turn % 2].clone().cursor(cursor);
        let mut session = Session::connect(options).await.unwrap();
        notices.extend(read(&mut session, PART).await);
        if notices.last().is_some_and(|notice| &*notice.payload == LAST) {
            break;
        }
    }
    notices
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_session_sees_racing_senders_in_the_one_order_of_the_inbox() {
    let sandbox = Sandbox::builder().gateways(2).notifier().notifier().start().await.unwrap();
    let mut readers = JoinSet::new();
    for gateway in &sandbox.gateways {
        for transport in
            [Transport::WebSocket, Transport::WebSocket, Transport::Polling, Transport::Upgrade]
        {
            let options = gateway.session(USER).transport(transport);
            let mut session = Session::connect(options).await.unwrap();
            session.ready(PATIENCE).await.unwrap();
            readers.spawn(async move { read(&mut session, usize::MAX).await });
        }
    }
    let [first, second] = [0, 1].map(|nth| sandbox.gateways[nth].session(USER));
    readers.spawn(come_and_go([first.clone(), second.clone()]));
    readers.spawn(come_and_go([second.clone(), first]));

    let start = Arc::new(Barrier::new(SENDERS));
    let mut senders = JoinSet::new();
    for nth in 0..SENDERS {
        let notifier = &sandbox.notifiers[nth % 2];
        let producer = if nth % 4 < 2 { notifier.grpc() } else { notifier.http() };
        let start = Arc::clone(&start);
        senders.spawn(async move {
            start.wait().await;
            for number in 0..NOTICES {
                producer.send(&Outgoing::new(USER, format!("[{nth},{number}]"))).await.unwrap();
            }
        });
    }
    senders.join_all().await;
    sandbox.notifier().grpc().send(&Outgoing::new(USER, LAST)).await.unwrap();
    let seen = readers.join_all().await;

    let inbox = whole_inbox(sandbox.notifier(), USER).await;
    assert_eq!(inbox.len(), SENDERS * NOTICES + 1);
    let expected: Vec<_> =
        inbox.iter().map(|notice| (notice.id.clone(), notice.json.to_vec())).collect();
    for (nth, notices) in seen.iter().enumerate() {
        let found: Vec<_> = notices
            .iter()
            .map(|notice| (notice.id.clone(), notice.payload.as_bytes().to_vec()))
            .collect();
        assert!(found == expected, "session {nth} saw another order: {found:?}\n{expected:?}");
    }
    // Each sender awaits an answer before it goes on, so its own notices stand in its order.
    let mut next = [0; SENDERS];
    let mut turns = 0;
    let mut before = SENDERS;
    for (_, payload) in &expected[..expected.len() - 1] {
        let [nth, number]: [usize; 2] = serde_json::from_slice(payload).unwrap();
        assert_eq!(number, next[nth], "sender {nth}");
        next[nth] += 1;
        turns += usize::from(nth != before);
        before = nth;
    }
    println!(
        "{} sessions agree with the inbox on {} notices, the sender changed {turns} times",
        seen.len(),
        expected.len()
    );
    assert!(turns > SENDERS * 2, "the senders did not race");
}
