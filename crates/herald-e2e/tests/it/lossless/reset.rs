//! A Redis that forgets: all of it, its last part, or what time it is.

use std::{fs, io, path::Path, time::Instant};

use herald_e2e::{Sandbox, eventually};
use herald_loadgen::{Event, Gap, Outgoing, SendError, Session, Transport};
use tokio::time::timeout;

use crate::{
    probe::{assert_idle, expect_gap, expect_notice, keys, leases},
    support::{PATIENCE, sessions_become, whole_inbox},
};

async fn two_gateways() -> Sandbox {
    Sandbox::builder().gateways(2).notifier().start().await.unwrap()
}

/// A session of this user on each gateway and by each transport, ready.
async fn everywhere(sandbox: &Sandbox, user: &str) -> Vec<Session> {
    let mut sessions = Vec::new();
    for gateway in &sandbox.gateways {
        for transport in [Transport::WebSocket, Transport::Polling] {
            let options = gateway.session(user).transport(transport);
            let mut session = Session::connect(options).await.unwrap();
            session.ready(PATIENCE).await.unwrap();
            sessions.push(session);
        }
    }
    sessions
}

/// A session that goes on from a cursor, on one of the gateways. It tries again as official
/// clients do while a gateway has no connection to Redis.
async fn back(sandbox: &Sandbox, nth: usize, user: &str, cursor: &str) -> Session {
    let options = sandbox.gateways[nth].session(user).cursor(cursor);
    eventually("the session is taken", PATIENCE, async || {
        match Session::connect(options.clone()).await {
            Ok(session) => Ok(session),
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => panic!("{user} is refused: {error}"),
        }
    })
    .await
}

/// Where somebody is who has just connected.
async fn place_of(sandbox: &Sandbox, user: &str) -> String {
    let mut session = Session::connect(sandbox.gateways[0].session(user)).await.unwrap();
    let ready = session.ready(PATIENCE).await.unwrap();
    session.close().await;
    sessions_become(sandbox.notifier(), user, 0, PATIENCE).await;
    ready.cursor
}

async fn send(sandbox: &Sandbox, user: &str, payloads: &[&str]) {
    let producer = sandbox.notifier().grpc();
    for payload in payloads {
        producer.send(&Outgoing::new(user, *payload)).await.unwrap();
    }
}

/// Waits until the notifier has found Redis again on all of its connections, which take turns.
async fn notifier_recovers(sandbox: &Sandbox) {
    let producer = sandbox.notifier().grpc();
    eventually("the notifier has found Redis again", PATIENCE, async || {
        for _ in 0..20 {
            producer.send(&Outgoing::new("nobody", "0")).await?;
        }
        Ok::<_, SendError>(())
    })
    .await;
}

/// The next notices of a session are these and nothing comes in between; the last one's cursor.
async fn expect_all(session: &mut Session, payloads: &[&str]) -> String {
    let mut cursor = String::new();
    for payload in payloads {
        match timeout(PATIENCE, session.next()).await.expect("a notice in time") {
            Some(Event::Notice(notice)) => {
                assert_eq!(&*notice.payload, *payload);
                cursor = notice.cursor;
            }
            Some(Event::Ready(_)) => cursor = expect_notice(session, payload).await.cursor,
            other => panic!("no {payload} but {other:?}"),
        }
    }
    cursor
}

/// The session is told of a reset, and then gets these.
async fn expect_reset(session: &mut Session, payloads: &[&str]) -> Gap {
    let gap = expect_gap(session).await;
    assert_eq!(gap.reason, "reset");
    assert!(gap.floor.is_some(), "{gap:?}");
    expect_all(session, payloads).await;
    gap
}

/// The only user's key of this kind.
async fn key(sandbox: &Sandbox, part: &str) -> String {
    let pattern = format!("{}:v1:*:{part}", sandbox.key_prefix());
    let found = keys(&sandbox.redis, &pattern).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

#[tokio::test]
async fn an_emptied_redis_resets_every_cursor_and_loses_nothing_that_comes_after() {
    let sandbox = two_gateways().await;
    let nobody_sent = place_of(&sandbox, "bob").await;
    let mut live = everywhere(&sandbox, "alice").await;
    send(&sandbox, "alice", &["1", "2"]).await;
    send(&sandbox, "bob", &["1"]).await;
    let mut cursor = String::new();
    for session in &mut live {
        cursor = expect_all(session, &["1", "2"]).await;
    }
    let before = leases(&sandbox.redis, sandbox.key_prefix()).await.unwrap();

    sandbox.redis.cli(&["flushall"]).await.unwrap();
    let emptied = Instant::now();
    // Before a gateway has noticed: nobody is registered, and nobody is told of these.
    send(&sandbox, "alice", &["3", "4"]).await;
    send(&sandbox, "bob", &["3", "4"]).await;
    for session in &mut live {
        expect_reset(session, &["3", "4"]).await;
    }
    println!("all sessions had what came after the loss {:.1?} after it", emptied.elapsed());
    sessions_become(sandbox.notifier(), "alice", live.len(), PATIENCE).await;
    let after = leases(&sandbox.redis, sandbox.key_prefix()).await.unwrap();
    assert!(after.len() == 2 && before.is_disjoint(&after), "{before:?} {after:?}");

    for (user, cursor) in [("alice", &cursor), ("bob", &nobody_sent)] {
        let mut returning = back(&sandbox, 1, user, cursor).await;
        let gap = expect_reset(&mut returning, &["3", "4"]).await;
        assert_eq!(gap.after.as_ref(), Some(cursor), "{user}");
        assert_idle(&mut returning);
    }
    send(&sandbox, "alice", &["5"]).await;
    for session in &mut live {
        expect_all(session, &["5"]).await;
        assert_idle(session);
    }
}

#[tokio::test]
async fn a_clock_set_back_changes_nothing_and_with_the_data_gone_resets_every_cursor() {
    let sandbox = two_gateways().await;
    let mut live = everywhere(&sandbox, "alice").await;
    send(&sandbox, "alice", &["1"]).await;
    let mut cursor = String::new();
    for session in &mut live {
        cursor = expect_all(session, &["1"]).await;
    }

    // As if what was last had been appended by a clock an hour ahead of what it is now.
    let (state, inbox) = (key(&sandbox, "state").await, key(&sandbox, "inbox").await);
    let last = sandbox.redis.cli(&["hget", &state, "l"]).await.unwrap();
    let (ms, _) = last.split_once('-').unwrap();
    let ahead = format!("{}-7", ms.parse::<u64>().unwrap() + 3_600_000);
    sandbox.redis.cli(&["xsetid", &inbox, &ahead]).await.unwrap();
    sandbox.redis.cli(&["hset", &state, "l", &ahead]).await.unwrap();
    send(&sandbox, "alice", &["2", "3"]).await;
    let mut later = String::new();
    for session in &mut live {
        later = expect_all(session, &["2", "3"]).await;
    }
    let mut returning = back(&sandbox, 1, "alice", &cursor).await;
    assert_eq!(expect_all(&mut returning, &["2", "3"]).await, later);
    returning.close().await;
    let kept = whole_inbox(sandbox.notifier(), "alice").await;
    assert!(kept[1].id.starts_with(&format!("{}-8-", ms.parse::<u64>().unwrap() + 3_600_000)));

    // The inbox is gone, and begins anew below all that was there. The registry stays, so that
    // only what is announced can tell the sessions.
    sandbox.redis.cli(&["del", &state, &inbox]).await.unwrap();
    send(&sandbox, "alice", &["4", "5"]).await;
    for session in &mut live {
        expect_reset(session, &["4", "5"]).await;
    }
    for (nth, cursor) in [&cursor, &later].into_iter().enumerate() {
        let mut returning = back(&sandbox, nth, "alice", cursor).await;
        let gap = expect_reset(&mut returning, &["4", "5"]).await;
        assert_eq!(gap.after.as_ref(), Some(cursor));
        returning.close().await;
    }
    send(&sandbox, "alice", &["6"]).await;
    for session in &mut live {
        expect_all(session, &["6"]).await;
        assert_idle(session);
    }
}

/// Copies a directory and what is below it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_tail_lost_in_a_failover_resets_who_had_seen_it_and_nobody_else() {
    let mut sandbox = Sandbox::builder().gateways(2).notifier().persist().start().await.unwrap();
    let data = sandbox.directory().join("data");
    let replica = sandbox.directory().join("replica");
    let mut live = everywhere(&sandbox, "alice").await;
    let mut quiet = everywhere(&sandbox, "bob").await;
    send(&sandbox, "alice", &["1", "2"]).await;
    send(&sandbox, "bob", &["1"]).await;
    let mut before = String::new();
    for session in &mut live {
        before = expect_all(session, &["1", "2"]).await;
    }
    for session in &mut quiet {
        expect_all(session, &["1"]).await;
    }
    // What a replica has that is promoted later: every answer is on disk, and nothing is under way.
    copy(&data, &replica).unwrap();
    send(&sandbox, "alice", &["3", "4"]).await;
    let mut lost = String::new();
    for session in &mut live {
        lost = expect_all(session, &["3", "4"]).await;
    }

    sandbox.redis.kill().await.unwrap();
    fs::remove_dir_all(&data).unwrap();
    copy(&replica, &data).unwrap();
    sandbox.redis.start().await.unwrap();
    let begin = Instant::now();
    sandbox.notifiers[0].ready().await.unwrap();
    for gateway in &mut sandbox.gateways {
        gateway.ready().await.unwrap();
    }
    // Who comes back before anything new: the cursor lies above the tip.
    let mut early = back(&sandbox, 0, "alice", &lost).await;
    let gap = expect_reset(&mut early, &["1", "2"]).await;
    assert_eq!(gap.after.as_ref(), Some(&lost));
    for session in &mut live {
        expect_reset(session, &["1", "2"]).await;
    }
    println!("sessions had what is kept {:.1?} after the failover", begin.elapsed());
    live.push(early);

    notifier_recovers(&sandbox).await;
    send(&sandbox, "alice", &["5", "6"]).await;
    send(&sandbox, "bob", &["2"]).await;
    for session in &mut live {
        expect_all(session, &["5", "6"]).await;
    }
    for session in &mut quiet {
        expect_all(session, &["2"]).await;
    }
    // And after: the cursor lies below the tip, at a place where nothing stands.
    let mut late = back(&sandbox, 1, "alice", &lost).await;
    expect_reset(&mut late, &["1", "2", "5", "6"]).await;
    let mut unaffected = back(&sandbox, 1, "alice", &before).await;
    expect_all(&mut unaffected, &["5", "6"]).await;
    live.extend([late, unaffected]);
    sessions_become(sandbox.notifier(), "alice", live.len(), PATIENCE).await;
    send(&sandbox, "alice", &["7"]).await;
    for session in &mut live {
        expect_all(session, &["7"]).await;
        assert_idle(session);
    }
    quiet.iter_mut().for_each(assert_idle);
}
