//! What an inbox keeps, and what it remembers of the rest.

use std::time::Duration;

use herald_backplane::Since;
use herald_core::{Cursor, Epoch, GapReason, Place, Position};

use crate::support::{
    Fixture, PATIENCE, SendMany, eventually, numbered, places, session, stored_size, user,
};

pub(crate) async fn count_removes_the_oldest(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| inbox.notices = 40);
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let mut sent = Vec::new();
    for _ in 0..30 {
        sent.extend(notifier.send(&alice, 7, 0).await);
        let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
        let removed = sent.len().saturating_sub(40);
        assert_eq!(places(&page), sent[removed..]);
        let floor = removed.checked_sub(1).map_or(Position::ZERO, |last| sent[last].position);
        assert_eq!((page.floor, page.tip), (floor, *sent.last().unwrap()));
    }
}

/// Large inboxes may let a few more stand, so that those that are too many go together.
pub(crate) async fn count_keeps_what_was_promised_and_little_more(fixture: &Fixture) {
    const PROMISED: usize = 64;
    let fixture = fixture.with_inbox(|inbox| inbox.notices = 64);
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let mut sent = Vec::new();
    for _ in 0..80 {
        sent.extend(notifier.send(&alice, 1, 0).await);
        let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
        let kept = page.notices.len();
        assert!((PROMISED.min(sent.len())..=PROMISED + 1).contains(&kept), "{kept}");
        let removed = sent.len() - kept;
        assert!(places(&page) == sent[removed..], "the newest are kept");
        let floor = removed.checked_sub(1).map_or(Position::ZERO, |last| sent[last].position);
        assert_eq!(page.floor, floor);
    }
}

pub(crate) async fn bytes_remove_the_oldest(fixture: &Fixture) {
    let size = stored_size(&numbered(0, 100)) as u64;
    let fixture = fixture.with_inbox(|inbox| inbox.bytes = 3 * size);
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let kept = async || {
        let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
        (places(&page), page.floor)
    };
    let mut sent = notifier.send(&alice, 3, 100).await;
    assert_eq!(kept().await, (sent.clone(), Position::ZERO), "exactly full is not too full");
    sent.extend(notifier.send(&alice, 1, 100).await);
    assert_eq!(kept().await, (sent[1..].to_vec(), sent[0].position));
    sent.extend(notifier.send(&alice, 1, 101).await);
    assert_eq!(kept().await, (sent[3..].to_vec(), sent[2].position), "one byte more takes two");
    sent.extend(notifier.send(&alice, 1, 30).await);
    assert_eq!(kept().await, (sent[3..].to_vec(), sent[2].position), "a small one fits");
}

pub(crate) async fn a_notice_over_the_limit_is_kept_alone(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| inbox.bytes = 1_000);
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let small = notifier.send(&alice, 3, 0).await;
    let large = notifier.send(&alice, 1, 5_000).await;
    let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
    assert_eq!((places(&page), page.floor), (large.clone(), small[2].position), "accepted is kept");
    let small = notifier.send(&alice, 2, 0).await;
    let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
    assert_eq!((places(&page), page.floor), (small, large[0].position));
}

pub(crate) async fn age_removes_and_the_floor_remembers(fixture: &Fixture) {
    let age = Duration::from_secs(1);
    let fixture = fixture.with_inbox(|inbox| inbox.age = age);
    let (notifier, mut gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    let sent = notifier.send(&alice, 3, 0).await;
    let page = eventually("all are too old", age + PATIENCE, async || {
        let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
        page.notices.is_empty().then_some(page)
    })
    .await;
    let tip = sent[2];
    assert_eq!((page.gap, page.floor, page.tip, page.reached), (None, tip.position, tip, tip));
    assert_eq!(page.start, Place { position: tip.position, random: 0 });

    let after = |place| Since::After(Cursor { epoch: page.epoch, place });
    for (place, gap) in [
        (tip, None),
        (page.start, None),
        (Place { random: tip.random.wrapping_add(1).max(1), ..tip }, Some(GapReason::Reset)),
        (sent[1], Some(GapReason::Expired)),
        (Place::ZERO, Some(GapReason::Expired)),
    ] {
        let found = gateway.port.read(&alice, after(place)).await.unwrap();
        assert_eq!((found.gap, found.reached, found.notices.len()), (gap, tip, 0), "{place:?}");
    }
    let found = gateway.port.connect(&alice, &session(1), after(sent[0])).await.unwrap();
    assert_eq!(
        (found.gap, found.reached, found.floor),
        (Some(GapReason::Expired), tip, tip.position)
    );

    let next = notifier.dispatch(&alice, &numbered(4, 0)).await.unwrap();
    assert_eq!(next.epoch, page.epoch);
    assert_eq!(gateway.events.notice().await.previous, tip.position);
    let found = gateway.port.read(&alice, after(tip)).await.unwrap();
    assert_eq!((found.gap, places(&found)), (None, vec![next.place]));
}

pub(crate) async fn a_user_long_silent_is_forgotten(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| {
        inbox.age = Duration::from_secs(1);
        inbox.memory = Duration::from_secs(2);
    });
    let (notifier, gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    let last = notifier.dispatch(&alice, &numbered(0, 0)).await.unwrap();
    let old = Cursor { epoch: last.epoch, place: last.place };
    eventually("it is forgotten", PATIENCE, async || {
        let tip = gateway.port.tip(&alice).await.unwrap();
        assert!(tip.is_none_or(|tip| tip == old));
        tip.is_none().then_some(())
    })
    .await;
    let page = notifier.read(&alice, Since::After(old), 100).await.unwrap();
    assert_eq!((page.epoch, page.gap, page.tip), (Epoch(0), Some(GapReason::Reset), Place::ZERO));
    let next = notifier.dispatch(&alice, &numbered(1, 0)).await.unwrap();
    assert_ne!(next.epoch, old.epoch, "another life");
    let page = notifier.read(&alice, Since::After(old), 100).await.unwrap();
    assert_eq!((page.gap, places(&page)), (Some(GapReason::Reset), vec![next.place]));
}
