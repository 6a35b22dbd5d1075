//! What only Redis can do to us: freeze, forget, cut lines, hold other people's keys.

use std::time::Duration;

use herald_backplane::{
    Backplane, BackplaneError, Believed, GatewayEvent, Health, Key, Outgoing, ReceiptEvent,
    ReceiptsWanted, Report, Since, Terms,
};
use herald_core::{
    Cursor, GapReason, GatewayId, GatewayName, IdempotencyKey, NotifierId, Place, Position, UserId,
};
use herald_e2e::Cluster;
use redis::{Cmd, FromRedisValue, aio::MultiplexedConnection};

use crate::support::{Fixture, PATIENCE, RedisServer, eventually, sent, session, user};

/// Somebody else's connection to the same Redis.
pub(super) struct Operator(MultiplexedConnection);

impl Operator {
    pub(super) async fn of(fixture: &Fixture) -> Self {
        Self::at(&fixture.options.url).await
    }

    async fn at(url: &str) -> Self {
        let client = redis::Client::open(url).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
        Self(client.get_multiplexed_async_connection_with_config(&config).await.unwrap())
    }

    pub(super) async fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut cmd = Cmd::new();
        for word in words {
            cmd.arg(*word);
        }
        cmd.query_async(&mut self.0).await.unwrap()
    }

    /// The keys of a user, by what they hold.
    pub(super) async fn key(&mut self, fixture: &Fixture, user: &UserId, part: &str) -> String {
        let all: Vec<String> =
            self.ask(&["KEYS", &format!("{}:*:{part}", fixture.options.key_prefix)]).await;
        assert_eq!(all.len(), 1, "{user} is alone and has one {part}");
        all[0].clone()
    }
}

#[tokio::test]
async fn a_call_that_was_given_up_is_not_carried_out_later() {
    let server = RedisServer::alone();
    let fixture =
        Fixture::on(&server).with(|options| options.call_deadline = Duration::from_millis(300));
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let pid = process_of(&fixture).await;
    let before = notifier.dispatch(&alice, &sent("1")).await.unwrap();
    signal("STOP", pid);
    let error = notifier.dispatch(&alice, &sent("2")).await.unwrap_err();
    assert!(matches!(error, BackplaneError::Unknown(_)) && error.is_retryable(), "{error}");
    signal("CONT", pid);
    let after = eventually("Redis is back", PATIENCE, async || {
        notifier.dispatch(&alice, &sent("3")).await.ok()
    })
    .await;
    let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
    let kept: Vec<_> = page.notices.iter().map(|kept| kept.place).collect();
    assert_eq!(kept, [before.place, after.place]);
}

/// The process of this Redis.
pub(super) async fn process_of(fixture: &Fixture) -> u32 {
    let info: redis::InfoDict = Operator::of(fixture).await.ask(&["INFO", "server"]).await;
    info.get("process_id").unwrap()
}

pub(super) fn signal(signal: &str, pid: u32) {
    let sent =
        std::process::Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(sent.unwrap().success());
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_that_leaves_nothing_behind() {
    let fixture = Fixture::redis();
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    notifier.dispatch(&alice, &sent("1")).await.unwrap();
    let mut operator = Operator::of(&fixture).await;
    let sessions = operator.key(&fixture, &alice, "state").await.replace(":state", ":sessions");
    operator.ask::<()>(&["SET", &sessions, "somebody else's"]).await;
    let error = notifier.dispatch(&alice, &sent("2")).await.unwrap_err();
    assert!(matches!(error, BackplaneError::Unusable(_)) && !error.is_retryable(), "{error}");
    operator.ask::<()>(&["DEL", &sessions]).await;
    let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
    assert_eq!(page.notices.len(), 1, "the refused one was not appended");
}

#[tokio::test]
async fn an_inbox_that_somebody_removed_is_a_gap_and_goes_on() {
    let fixture = Fixture::redis();
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let first = notifier.dispatch(&alice, &sent("1")).await.unwrap();
    notifier.dispatch(&alice, &sent("2")).await.unwrap();
    let mut operator = Operator::of(&fixture).await;
    let inbox = operator.key(&fixture, &alice, "inbox").await;
    operator.ask::<()>(&["DEL", &inbox]).await;
    let third = notifier.dispatch(&alice, &sent("3")).await.unwrap();
    assert_eq!(third.epoch, first.epoch);
    let cursor = Cursor { epoch: first.epoch, place: first.place };
    let page = notifier.read(&alice, Since::After(cursor), 100).await.unwrap();
    // The first one's place is gone with the stream: whether below the floor or unknown, it is a gap.
    assert!(page.gap.is_some());
    assert_eq!(page.notices.iter().map(|kept| kept.place).collect::<Vec<_>>(), [third.place]);
}

#[tokio::test]
async fn a_clock_that_went_back_does_not_take_positions_with_it() {
    let fixture = Fixture::redis();
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let first = notifier.dispatch(&alice, &sent("1")).await.unwrap();
    let mut operator = Operator::of(&fixture).await;
    let state = operator.key(&fixture, &alice, "state").await;
    let inbox = operator.key(&fixture, &alice, "inbox").await;
    // As if the last notice had been appended by a clock an hour ahead.
    let ahead = format!("{}-7", first.place.position.ms + 3_600_000);
    operator.ask::<()>(&["HSET", &state, "l", &ahead]).await;
    operator.ask::<String>(&["XSETID", &inbox, &ahead]).await;
    let next = notifier.dispatch(&alice, &sent("2")).await.unwrap();
    let expected = Position { ms: first.place.position.ms + 3_600_000, seq: 8 };
    assert_eq!(next.place.position, expected);
}

#[tokio::test]
async fn an_emptied_redis_is_noticed_and_foreign_cursors_are_reset() {
    let server = RedisServer::alone();
    let fixture = Fixture::on(&server);
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    let before = notifier.dispatch(&alice, &sent("1")).await.unwrap();
    Operator::of(&fixture).await.ask::<()>(&["FLUSHALL"]).await;
    assert_eq!(gateway.events.next().await, Some(GatewayEvent::LeaseLost));
    assert_eq!(gateway.events.next().await, None);
    let successor = fixture.gateway("gw:1").await;
    let old = Cursor { epoch: before.epoch, place: before.place };
    let after = notifier.dispatch(&alice, &sent("2")).await.unwrap();
    let page = successor.port.connect(&alice, &session(1), Since::After(old)).await.unwrap();
    assert_eq!(page.gap, Some(GapReason::Reset));
    assert_eq!(page.notices.iter().map(|kept| kept.place).collect::<Vec<_>>(), [after.place]);
}

#[tokio::test]
async fn a_channel_that_was_cut_heals_and_says_that_it_was() {
    let server = RedisServer::alone();
    let fixture = Fixture::on(&server);
    let notifier = fixture.notifier().await;
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let mut operator = Operator::of(&fixture).await;
    for round in 0..5 {
        let cut: u64 = operator.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        assert_eq!(cut, 1, "the gateway has one subscription");
        assert_eq!(gateway.events.next().await, Some(GatewayEvent::Doubt));
        let notice = notifier.dispatch(&alice, &sent(round.to_string())).await.unwrap();
        assert!(notice.targets[0].heard);
        assert_eq!(gateway.events.notice().await.place, notice.place);
    }
}

#[tokio::test]
async fn a_notifiers_channel_is_connected_again_and_says_that_it_was() {
    let server = RedisServer::alone();
    let fixture = Fixture::on(&server);
    let (notifier, gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let mut events = notifier.receipts(NotifierId(1));
    let mut operator = Operator::of(&fixture).await;
    let wanted = ReceiptsWanted { notifier: NotifierId(1), token: 9, acks: false };
    for _ in 0..5 {
        let next = tokio::time::timeout(PATIENCE, events.next());
        assert_eq!(next.await.unwrap(), Some(ReceiptEvent::Doubt));
        let report = report();
        let outgoing = outgoing(&report, wanted);
        assert_eq!(gateway.port.report(&[outgoing]).await.unwrap().heard, 1);
        let next = tokio::time::timeout(PATIENCE, events.next());
        assert_eq!(next.await.unwrap(), Some(ReceiptEvent::Report { token: 9, report }));
        let mut listening = events.listening();
        listening.mark_unchanged();
        let cut: u64 = operator.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        assert_eq!(cut, 2, "the gateway's subscription and the notifier's");
        let lost = listening.wait_for(|listens| !listens);
        tokio::time::timeout(PATIENCE, lost).await.expect("it is told").unwrap();
    }
}

fn report() -> Report {
    let gateway_name = GatewayName::new("gw:1").unwrap();
    Report { gateway_name, roll_call: Some(GatewayId(1)), receipts: Vec::new() }
}

fn outgoing(report: &Report, wanted: ReceiptsWanted) -> Outgoing {
    let (user, report) = (user("alice"), report.clone());
    Outgoing { user, place: Place::ZERO, to: vec![wanted], keep: wanted.acks, report }
}

#[tokio::test]
async fn what_cannot_be_kept_keeps_nobody_from_sending_or_hearing() {
    let fixture = Fixture::redis();
    let (notifier, gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let mut operator = Operator::of(&fixture).await;
    let alice = user("alice");
    let mut events = notifier.receipts(NotifierId(1));
    assert_eq!(events.next().await, Some(ReceiptEvent::Doubt));
    let wanted = ReceiptsWanted { notifier: NotifierId(1), token: 9, acks: true };
    let terms = Terms { receipts: Some(wanted), ..Terms::default() };
    let first = notifier.dispatch_with(&alice, &sent("1"), &terms).await.unwrap();
    let key = operator.key(&fixture, &alice, "receipts").await;
    let left: i64 = operator.ask(&["PTTL", &key]).await;
    assert!((1..=24 * 3_600_000).contains(&left), "{left}");

    operator.ask::<()>(&["SET", &key, "somebody else's"]).await;
    notifier.dispatch_with(&alice, &sent("2"), &terms).await.unwrap();
    let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
    assert_eq!(page.notices.len(), 2);
    let report = report();
    assert_eq!(gateway.port.report(&[outgoing(&report, wanted)]).await.unwrap().heard, 1);
    assert_eq!(events.next().await, Some(ReceiptEvent::Report { token: 9, report }));
    let error = notifier.kept(&alice, first.place).await.unwrap_err();
    assert!(matches!(error, BackplaneError::Unusable(_)), "{error}");
}

#[tokio::test]
async fn all_connections_cut_and_scripts_forgotten_is_only_a_pause() {
    let server = RedisServer::alone();
    let fixture = Fixture::on(&server);
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let mut operator = Operator::of(&fixture).await;
    for _ in 0..5 {
        operator.ask::<()>(&["SCRIPT", "FLUSH"]).await;
        operator.ask::<u64>(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        eventually("Redis is found again", PATIENCE, async || {
            notifier.dispatch(&alice, &sent("1")).await.ok()
        })
        .await;
    }
}

/// Whoever answers READONLY was a master once, and another one is behind that address by now.
#[tokio::test]
async fn a_server_that_is_no_master_any_more_is_connected_to_anew() {
    let server = RedisServer::alone();
    let fixture = Fixture::on(&server);
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    notifier.dispatch(&alice, &sent("1")).await.unwrap();
    let mut operator = Operator::of(&fixture).await;
    let mut connected = async || {
        let stats: redis::InfoDict = operator.ask(&["INFO", "stats"]).await;
        stats.get::<u64>("total_connections_received").unwrap()
    };
    let before = connected().await;
    let mut other = Operator::of(&fixture).await;
    other.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let error = notifier.dispatch(&alice, &sent("2")).await.unwrap_err();
    assert!(matches!(error, BackplaneError::Unavailable(_)), "{error}");
    eventually("it is connected to anew", PATIENCE, async || {
        (connected().await > before + 1).then_some(())
    })
    .await;
    other.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    let after = eventually("it is a master again", PATIENCE, async || {
        notifier.dispatch(&alice, &sent("3")).await.ok()
    })
    .await;
    let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
    assert_eq!(page.notices.len(), 2);
    assert_eq!(page.tip, after.place);
}

#[tokio::test]
async fn the_keys_of_a_user_stay_few_and_end_by_themselves() {
    let server = RedisServer::alone();
    let fixture = Fixture::on(&server).with_inbox(|inbox| inbox.notices = 10);
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let mut operator = Operator::of(&fixture).await;
    let dispatch = async |n: u32| {
        let key = IdempotencyKey::new(n.to_string()).unwrap();
        let terms = Terms { key: Some(Key { caller: "c".into(), key }), ..Terms::default() };
        notifier.dispatch_with(&alice, &sent(n.to_string()), &terms).await.unwrap()
    };
    for n in 0..100 {
        dispatch(n).await;
    }
    let keys = operator.key(&fixture, &alice, "keys").await;
    let fields: usize = operator.ask(&["HLEN", &keys]).await;
    assert_eq!(fields, 3 + 2 * 10, "counters, and each key with its number");
    let left: i64 = operator.ask(&["PTTL", &keys]).await;
    assert!((1..=24 * 3_600_000).contains(&left), "{left}");
    operator.ask::<()>(&["SCRIPT", "FLUSH"]).await;
    assert!(dispatch(99).await.duplicate, "scripts may be forgotten, keys are not");
    // An inbox that began anew does not have what the keys of the old one stand for.
    let state = operator.key(&fixture, &alice, "state").await;
    operator.ask::<()>(&["DEL", &state]).await;
    assert!(!dispatch(99).await.duplicate);
    assert!(!dispatch(98).await.duplicate && dispatch(99).await.duplicate);

    operator.ask::<()>(&["SET", &keys, "somebody else's"]).await;
    let terms = Terms {
        key: Some(Key { caller: String::new(), key: IdempotencyKey::new("k").unwrap() }),
        ..Terms::default()
    };
    let error = notifier.dispatch_with(&alice, &sent("1"), &terms).await.unwrap_err();
    assert!(matches!(error, BackplaneError::Unusable(_)), "{error}");
    let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
    assert_eq!(page.notices.len(), 2, "the refused one was not appended");
}

#[tokio::test]
async fn settings_that_put_notices_at_risk_are_named() {
    let server = RedisServer::alone();
    let fixture = Fixture::on(&server);
    let backplane = fixture.open().await;
    Operator::of(&fixture)
        .await
        .ask::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])
        .await;
    let risks = backplane.risks().await.unwrap();
    assert!(
        risks.iter().any(|risk| risk.contains("allkeys-lru") && risk.contains("noeviction")),
        "{risks:?}"
    );
    assert!(risks.iter().any(|risk| risk.contains("appendonly")), "{risks:?}");
}

/// The user that docs/redis.md says is enough, on one server and in a cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_acl_user_as_documented_may_do_everything_and_one_with_less_is_told() {
    let documented = include_str!("../../../../../docs/redis.md");
    let (_, rule) = documented.split_once("ACL SETUSER herald ").unwrap();
    let (rule, _) = rule.split_once("```").unwrap();
    let rule: Vec<_> = rule.split_whitespace().filter(|word| *word != "\\").collect();
    let server = RedisServer::alone();
    let cluster = Cluster::start(PATIENCE * 10).await.unwrap();
    for (servers, fixture) in [
        (vec![server.url.clone()], Fixture::on(&server)),
        (cluster.servers.iter().map(|s| s.url()).collect(), Fixture::spread_over(&cluster)),
    ] {
        let mut operators = Vec::new();
        for url in &servers {
            operators.push(Operator::at(url).await);
        }
        let prefix = format!("herald-{}", rand::random::<u32>());
        let allow = async |operators: &mut Vec<Operator>, name: &str, more: &[&str]| {
            for operator in operators {
                let keys = rule.iter().map(|word| word.replace("herald:", &format!("{prefix}:")));
                let mut words = vec!["ACL".to_owned(), "SETUSER".into(), name.into()];
                words.extend(keys.chain(more.iter().map(|word| (*word).to_owned())));
                let words: Vec<_> = words.iter().map(String::as_str).collect();
                operator.ask::<()>(&words).await;
            }
        };
        let as_user = |name: &str| {
            fixture.with(|options| {
                options.url = options.url.replace("://", &format!("://{name}:secret@"));
                options.key_prefix = prefix.clone();
            })
        };
        allow(&mut operators, "herald", &[]).await;
        let allowed = as_user("herald");
        let risks = allowed.open().await.risks().await.unwrap();
        assert!(risks.iter().all(|risk| risk.contains("appendonly")), "{risks:?}");
        let notifier = allowed.notifier().await;
        let mut gateway = allowed.gateway("gw:1").await;
        let alice = user("alice");
        let page = gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
        let notice = notifier.dispatch(&alice, &sent("1")).await.unwrap();
        assert!(notice.targets[0].heard);
        assert_eq!(gateway.events.notice().await.place, notice.place);
        assert_eq!(
            notifier.presence(std::slice::from_ref(&alice)).await.unwrap()[0].sessions.len(),
            1
        );
        assert_eq!(notifier.broadcast(&sent("2")).await.unwrap(), 1);
        let believed =
            Believed { user: alice.clone(), session: session(1).id, cursor: page.cursor() };
        assert_eq!(gateway.port.audit(&[believed]).await.unwrap().findings.len(), 1);
        gateway.port.release().await.unwrap();

        for (name, less) in
            [("unwriting", "-xadd"), ("silent", "resetchannels"), ("elsewhere", "resetkeys")]
        {
            allow(&mut operators, name, &[less]).await;
            let error = as_user(name).open().await.risks().await.unwrap_err();
            assert!(
                matches!(&error, BackplaneError::Unusable(why) if why.contains("permission")),
                "{name}: {error}"
            );
        }
    }
}

#[tokio::test]
async fn a_replica_in_the_place_of_a_master_is_no_backplane_until_it_is_one() {
    let server = RedisServer::alone();
    let fixture = Fixture::on(&server);
    let mut operator = Operator::of(&fixture).await;
    operator.ask::<()>(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let backplane = Backplane::open(&fixture.options).unwrap();
    let mut health = backplane.health();
    let told = health.wait_for(|health| match health {
        Health::Away(why) => why.contains("it is not a master"),
        Health::Ready => false,
    });
    tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
    operator.ask::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    let ready = health.wait_for(|health| *health == Health::Ready);
    tokio::time::timeout(PATIENCE, ready).await.unwrap().unwrap();
}

#[tokio::test]
async fn too_few_replicas_to_wait_for_are_a_risk() {
    let fixture = Fixture::sentinel().with(|options| options.wait_replicas = 3);
    let risks = fixture.open().await.risks().await.unwrap();
    assert!(risks.iter().any(|risk| risk.contains("has 2 of the 3 replicas")), "{risks:?}");
    let fixture = Fixture::cluster().with(|options| options.wait_replicas = 2);
    let risks = fixture.open().await.risks().await.unwrap();
    assert_eq!(risks.iter().filter(|risk| risk.contains("has 1 of the 2 replicas")).count(), 3);
}

/// Who was given a cursor before there was an inbox goes on with it afterwards.
#[tokio::test]
async fn nobodys_cursor_goes_on_in_the_first_inbox() {
    for fixture in [Fixture::redis(), Fixture::memory()] {
        let notifier = fixture.notifier().await;
        let alice = user("alice");
        let empty = notifier.read(&alice, Since::Start, 100).await.unwrap();
        let first = notifier.dispatch(&alice, &sent("1")).await.unwrap();
        let page = notifier.read(&alice, Since::After(empty.cursor()), 100).await.unwrap();
        assert_eq!(page.gap, None);
        assert_eq!(page.notices[0].place, first.place);
        // At the floor that is also the tip, the place without its random part will do.
        let fixture = fixture.with_inbox(|inbox| inbox.age = Duration::from_millis(50));
        let notifier = fixture.notifier().await;
        let last = notifier.dispatch(&alice, &sent("1")).await.unwrap();
        let emptied = eventually("the notice is too old", PATIENCE, async || {
            let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
            page.notices.is_empty().then_some(page)
        })
        .await;
        assert_eq!(emptied.start, Place { position: last.place.position, random: 0 });
        let begun = Cursor { epoch: emptied.epoch, place: emptied.start };
        let page = notifier.read(&alice, Since::After(begun), 100).await.unwrap();
        assert_eq!((page.gap, page.reached), (None, last.place));
    }
}

/// What a reaper needs, and what somebody else put there.
#[tokio::test]
async fn an_audit_sees_the_leases_index_and_passes_over_what_is_not_ours() {
    let fixture = Fixture::redis();
    let gateway = fixture.gateway("gw:1").await;
    let mut operator = Operator::of(&fixture).await;
    let mut asked = Vec::new();
    for name in ["alice", "bob", "carol"] {
        let (user, record) = (user(name), session(1));
        let page = gateway.port.connect(&user, &record, Since::Start).await.unwrap();
        if asked.is_empty() {
            let state = operator.key(&fixture, &user, "state").await;
            let registry = state.replace(":state", ":sessions");
            operator.ask::<()>(&["DEL", &registry]).await;
            operator.ask::<()>(&["SET", &registry, "somebody else's"]).await;
        }
        asked.push(Believed { user, session: record.id, cursor: page.cursor() });
    }
    let prefix = &fixture.options.key_prefix;
    let index: Vec<String> = operator.ask(&["KEYS", &format!("{prefix}:*:lease:*:sessions")]).await;
    operator.ask::<()>(&["HDEL", &index[0], &asked[1].session.to_string()]).await;
    let audit = gateway.port.audit(&asked).await.unwrap();
    assert_eq!(audit.unreadable, 1);
    assert_eq!(audit.findings.len(), 1, "{audit:?}");
    assert_eq!((audit.findings[0].nth, audit.findings[0].registered), (1, false));
}
