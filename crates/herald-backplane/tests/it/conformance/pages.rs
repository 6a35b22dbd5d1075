//! Reading in stretches.

use herald_backplane::{NotifierPort, Since};
use herald_core::{Place, UserId};

use crate::support::{Fixture, SendMany, places, session, user};

/// Reads to the end; returns the pages.
async fn pages(notifier: &NotifierPort, user: &UserId, max_notices: u32) -> Vec<Vec<Place>> {
    let (mut pages, mut since, mut last) = (Vec::new(), Since::Start, None);
    loop {
        let page = notifier.read(user, since, max_notices).await.unwrap();
        assert_eq!(page.gap, None);
        assert!(
            last.is_none_or(|last| page.start == last),
            "a page begins where the one before ended"
        );
        assert_eq!(page.notices.last().map_or(page.tip, |last| last.place), page.reached);
        assert_eq!(page.more(), page.reached != page.tip);
        pages.push(places(&page));
        if !page.more() {
            return pages;
        }
        (since, last) = (Since::After(page.cursor()), Some(page.reached));
    }
}

pub(crate) async fn pages_are_bounded_by_count(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| inbox.page_notices = 10);
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let sent = notifier.send(&alice, 25, 0).await;
    assert_eq!(pages(&notifier, &alice, 1_000).await, [&sent[..10], &sent[10..20], &sent[20..]]);
    let bob = user("bob");
    let sent = notifier.send(&bob, 20, 0).await;
    assert_eq!(pages(&notifier, &bob, 1_000).await, [&sent[..10], &sent[10..]], "none is empty");
}

pub(crate) async fn pages_are_bounded_by_bytes_but_never_empty(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| inbox.page_bytes = 1_000);
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let mut sent = Vec::new();
    for bytes in [400, 400, 400, 3_000, 3_000, 400, 900] {
        sent.extend(notifier.send(&alice, 1, bytes).await);
    }
    let expected = [&sent[..2], &sent[2..3], &sent[3..4], &sent[4..5], &sent[5..6], &sent[6..]];
    assert_eq!(pages(&notifier, &alice, 1_000).await, expected);
}

pub(crate) async fn the_first_page_of_a_connect_is_a_page_like_any(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| inbox.page_notices = 10);
    let (notifier, mut gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    let sent = notifier.send(&alice, 15, 0).await;
    let first = gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    assert_eq!(
        (places(&first), first.reached, first.tip),
        (sent[..10].to_vec(), sent[9], sent[14])
    );
    assert!(first.more());
    // Sent between the pages: announced, and on the next page as well.
    let between = notifier.send(&alice, 1, 0).await[0];
    assert_eq!(gateway.events.notice().await.previous, sent[14].position);
    let second = gateway.port.read(&alice, Since::After(first.cursor())).await.unwrap();
    assert_eq!(places(&second), [&sent[10..], &[between]].concat());
    assert_eq!((second.gap, second.start, second.more()), (None, sent[9], false));
}

pub(crate) async fn the_notifier_may_ask_for_less(fixture: &Fixture) {
    let fixture = fixture.with_inbox(|inbox| inbox.page_notices = 10);
    let notifier = fixture.notifier().await;
    let alice = user("alice");
    let sent = notifier.send(&alice, 9, 0).await;
    assert_eq!(pages(&notifier, &alice, 4).await, [&sent[..4], &sent[4..8], &sent[8..]]);
    assert_eq!(pages(&notifier, &alice, 1).await.len(), 9);
}
