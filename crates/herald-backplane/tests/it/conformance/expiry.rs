//! Notices that are of use for a while only.

use std::time::Duration;

use herald_backplane::{Page, Since, Terms};
use herald_core::{Cursor, Place, UserId};

use crate::support::{
    Fixture, Gateway, PATIENCE, SendMany, eventually, numbered, places, session, user,
};

fn good_for(ttl: Duration) -> Terms {
    Terms { ttl: Some(ttl), ..Terms::default() }
}

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3_600);

/// Reads to the end, over pages that hold nothing; gives the places and where it ended.
async fn all(gateway: &Gateway, user: &UserId, mut since: Since) -> (Vec<Place>, Page) {
    let mut found = Vec::new();
    loop {
        let page = gateway.port.read(user, since).await.unwrap();
        assert_eq!(page.gap, None);
        found.extend(places(&page));
        if !page.more() {
            return (found, page);
        }
        since = Since::After(page.cursor());
    }
}

pub(crate) async fn a_notice_expires_its_ttl_after_it_was_accepted(fixture: &Fixture) {
    let (notifier, mut gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let short = notifier.dispatch_with(&alice, &numbered(0, 0), &good_for(SHORT)).await.unwrap();
    let long = notifier.dispatch_with(&alice, &numbered(1, 0), &good_for(LONG)).await.unwrap();
    let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
    // On a busy machine the short one may be over already.
    let long_kept = page.notices.last().unwrap();
    assert_eq!(long_kept.place, long.place);
    let ttl = |kept: &herald_backplane::InboxNotice| kept.expires_at_ms - kept.place.position.ms;
    assert_eq!(ttl(long_kept), 3_600_000, "counted from acceptance, by the clock of positions");
    assert_eq!(long.at_ms, long.place.position.ms);
    for place in [short.place, long.place] {
        let announced = gateway.events.notice().await;
        assert_eq!(announced.place, place, "what expires soon is announced like any");
    }

    let page = eventually("the short one has expired", PATIENCE, async || {
        let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
        (places(&page) == [long.place]).then_some(page)
    })
    .await;
    assert_eq!((page.gap, page.tip, page.reached), (None, long.place, long.place));
    let now = notifier.dispatch(&alice, &numbered(2, 0)).await.unwrap().at_ms;
    assert!(now >= short.place.position.ms + 300, "and not before its time");
}

pub(crate) async fn reading_goes_over_what_has_expired(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| inbox.page_notices = 3);
    let (notifier, gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    let terms = good_for(Duration::from_millis(1));
    let mut kept = Vec::new();
    let mut expired = Vec::new();
    for round in 0..3 {
        kept.extend(notifier.send(&alice, round, 0).await);
        for number in 0..5 {
            let sent = notifier.dispatch_with(&alice, &numbered(number, 0), &terms).await;
            expired.push(sent.unwrap().place);
        }
    }
    let tip = *expired.last().unwrap();
    let (_, end) = eventually("all but the kept have expired", PATIENCE, async || {
        let read = all(&gateway, &alice, Since::Start).await;
        (read.0 == kept).then_some(read)
    })
    .await;
    assert_eq!((end.reached, end.tip), (tip, tip), "the place is behind what was left out");
    let cursor = |place| Cursor { epoch: end.epoch, place };
    // Its place is good to go on from, and a session that begins there gets the rest.
    for (place, rest) in [(expired[4], &kept[..]), (expired[9], &kept[1..]), (tip, &[][..])] {
        assert_eq!(all(&gateway, &alice, Since::After(cursor(place))).await.0, rest);
    }
    let page = gateway.port.connect(&alice, &session(1), Since::After(cursor(tip))).await.unwrap();
    assert_eq!((page.gap, page.notices.len(), page.more()), (None, 0, false));
}

pub(crate) async fn what_expired_before_it_was_taken_is_not_given(fixture: &Fixture) {
    let (notifier, mut gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    let sent = notifier.dispatch_with(&alice, &numbered(0, 0), &good_for(SHORT)).await.unwrap();
    let after = notifier.dispatch_with(&alice, &numbered(1, 0), &good_for(LONG)).await.unwrap();
    // The gateway takes nothing meanwhile.
    eventually("it has expired", PATIENCE, async || {
        let page = notifier.read(&alice, Since::Start, 100).await.unwrap();
        (page.notices.len() == 1).then_some(())
    })
    .await;
    // The gateway's own idea of the clock may lag by a round trip.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let announced = gateway.events.notice().await;
    assert_eq!((announced.place, announced.notice), (sent.place, None), "a hint to read, no more");
    let announced = gateway.events.notice().await;
    assert_eq!((announced.place, announced.notice.is_some()), (after.place, true));
}
