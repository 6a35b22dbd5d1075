//! Idempotency keys: a second dispatch is a retry of the first.

use std::{collections::BTreeSet, time::Duration};

use herald_backplane::{BackplaneError, Dispatched, Key, NotifierPort, Since, Terms};
use herald_core::{IdempotencyKey, Notice, Place, UserId};

use crate::support::{
    Fixture, PATIENCE, SendMany, eventually, numbered, places, sent, session, user,
};

fn keyed(caller: &str, key: &str) -> Terms {
    let key = Key { caller: caller.to_owned(), key: IdempotencyKey::new(key).unwrap() };
    Terms { key: Some(key), ..Terms::default() }
}

async fn dispatch(
    notifier: &NotifierPort,
    user: &UserId,
    key: &str,
    notice: &Notice,
) -> Dispatched {
    notifier.dispatch_with(user, notice, &keyed("", key)).await.unwrap()
}

async fn kept(notifier: &NotifierPort, user: &UserId) -> Vec<Place> {
    places(&notifier.read(user, Since::Start, 100).await.unwrap())
}

pub(crate) async fn a_retry_answers_with_the_first_one_and_tells_again(fixture: &Fixture) {
    let (notifier, mut gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    let first = dispatch(&notifier, &alice, "k", &numbered(1, 0)).await;
    assert!(!first.duplicate && first.targets.is_empty());
    let record = session(1);
    gateway.port.connect(&alice, &record, Since::Start).await.unwrap();
    let between = notifier.send(&alice, 1, 0).await[0];
    assert_eq!(gateway.events.notice().await.place, between);

    let again = dispatch(&notifier, &alice, "k", &numbered(1, 0)).await;
    assert_eq!((again.duplicate, again.place, again.epoch), (true, first.place, first.epoch));
    assert!(again.at_ms >= first.at_ms);
    let targets: Vec<_> = again.targets.iter().map(|t| (t.session.id, t.heard)).collect();
    assert_eq!(targets, [(record.id, true)], "who is there now, not then");
    let announced = gateway.events.notice().await;
    assert_eq!((announced.place, announced.notice), (first.place, None));
    assert_eq!(announced.previous, first.place.position, "so that who lacks it reads");
    assert_eq!(kept(&notifier, &alice).await, [first.place, between]);

    let next = notifier.dispatch(&alice, &numbered(2, 0)).await.unwrap();
    let announced = gateway.events.notice().await;
    assert_eq!(announced.place, next.place);
    assert_eq!(announced.previous, between.position, "the chain is as if there had been no retry");
}

pub(crate) async fn a_key_is_of_one_notice_one_user_and_one_caller(fixture: &Fixture) {
    let notifier = fixture.notifier().await;
    let (alice, bob) = (user("alice"), user("bob"));
    let first = dispatch(&notifier, &alice, "k", &sent("1")).await;
    let other_event = Notice { event: "other".parse().unwrap(), ..sent("1") };
    let ttl = Terms { ttl: Some(Duration::from_secs(9)), ..keyed("", "k") };
    for (notice, terms) in
        [(sent("2"), keyed("", "k")), (other_event, keyed("", "k")), (sent("1"), ttl)]
    {
        let error = notifier.dispatch_with(&alice, &notice, &terms).await.unwrap_err();
        assert!(matches!(error, BackplaneError::KeyUsed) && !error.is_retryable(), "{error}");
    }
    assert_eq!(kept(&notifier, &alice).await, [first.place], "a refused one is not appended");

    let traced = Notice {
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        ..sent("1")
    };
    assert!(dispatch(&notifier, &alice, "k", &traced).await.duplicate, "a retry has its own trace");
    for (user, terms) in [
        (&bob, keyed("", "k")),
        (&alice, keyed("", "K")),
        (&alice, keyed("backend", "k")),
        (&alice, keyed("", "e")),
        (&alice, keyed("", "{k} \u{1F600}")),
        (&alice, keyed("", &"k".repeat(128))),
    ] {
        for duplicate in [false, true] {
            let dispatched = notifier.dispatch_with(user, &sent("1"), &terms).await.unwrap();
            assert_eq!(dispatched.duplicate, duplicate, "{terms:?}");
        }
    }
}

pub(crate) async fn of_many_at_once_one_is_appended(fixture: &Fixture) {
    let notifiers = [fixture.notifier().await, fixture.notifier().await];
    let mut gateway = fixture.gateway("gw:1").await;
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let mut ids = Vec::new();
    for round in 0..40 {
        let retries: Vec<_> = (0..5)
            .map(|n| {
                let (notifier, alice) = (notifiers[n % 2].clone(), alice.clone());
                tokio::spawn(async move {
                    dispatch(&notifier, &alice, &format!("key-{round}"), &numbered(round, 0)).await
                })
            })
            .collect();
        let mut answers = Vec::new();
        for retry in retries {
            answers.push(retry.await.unwrap());
        }
        let places: BTreeSet<String> = answers.iter().map(|a| format!("{:?}", a.place)).collect();
        assert_eq!(places.len(), 1, "one id in every answer");
        assert_eq!(answers.iter().filter(|answer| !answer.duplicate).count(), 1);
        ids.push(answers[0].place);
    }
    assert_eq!(kept(&notifiers[0], &alice).await, ids, "one notice each");
    let heard = gateway.events.notices(200).await;
    assert_eq!(heard.iter().filter(|announced| announced.notice.is_some()).count(), 40);
}

pub(crate) async fn a_key_outlives_its_notice_until_it_lapses(fixture: &Fixture) {
    let age = Duration::from_secs(1);
    let fixture = fixture.with(|options| {
        options.key_age = age;
        options.inbox.bytes = 300;
    });
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let first = dispatch(&notifier, &alice, "k", &numbered(1, 0)).await;
    let large = notifier.send(&alice, 1, 1_000).await[0];
    assert_eq!(kept(&notifier, &alice).await, [large], "the first one was removed");
    let again = dispatch(&notifier, &alice, "k", &numbered(1, 0)).await;
    assert!(again.duplicate || again.at_ms >= first.at_ms + 1_000, "the machine is that slow");
    let anew = eventually("the key has lapsed", age + PATIENCE, async || {
        let again = dispatch(&notifier, &alice, "k", &numbered(1, 0)).await;
        (!again.duplicate).then_some(again)
    })
    .await;
    assert!(anew.at_ms >= first.at_ms + 1_000, "not before its time");
    assert_ne!(anew.place, first.place);
    assert!(
        dispatch(&notifier, &alice, "k", &numbered(1, 0)).await.duplicate,
        "and it counts anew"
    );
}

pub(crate) async fn the_newest_keys_are_kept(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| inbox.notices = 20);
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    for number in 0..50 {
        dispatch(&notifier, &alice, &number.to_string(), &numbered(number, 0)).await;
    }
    for number in 30..50 {
        let again = dispatch(&notifier, &alice, &number.to_string(), &numbered(number, 0)).await;
        assert!(again.duplicate, "{number}");
    }
    let again = dispatch(&notifier, &alice, "29", &numbered(29, 0)).await;
    assert!(!again.duplicate, "the twenty newest, no more");
    let again = dispatch(&notifier, &alice, "30", &numbered(30, 0)).await;
    assert!(!again.duplicate, "which that one has pushed out");
}
