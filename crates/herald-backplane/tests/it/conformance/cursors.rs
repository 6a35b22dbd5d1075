//! Where a reader goes on: the table of `Since`.

use std::time::Duration;

use herald_backplane::{NotifierPort, Page, Since};
use herald_core::{Cursor, Epoch, GapReason, Place, Position, UserId};

use crate::support::{Fixture, Gateway, SendMany, numbered, places, session, user};

/// An inbox that keeps three notices, was given six, and so has its floor at the
/// third. No two of them share a millisecond.
struct Inbox {
    notifier: NotifierPort,
    gateway: Gateway,
    user: UserId,
    epoch: Epoch,
    places: Vec<Place>,
}

impl Inbox {
    async fn new(fixture: &Fixture) -> Self {
        let fixture = fixture.with_inbox(|inbox| inbox.notices = 3);
        let (notifier, gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
        let mut places: Vec<Place> = Vec::new();
        let (user, mut epoch) = (user("alice"), Epoch(0));
        for number in 0..6 {
            let dispatched = notifier.dispatch(&user, &numbered(number, 0)).await.unwrap();
            assert!(number == 0 || dispatched.epoch == epoch, "one inbox, one epoch");
            epoch = dispatched.epoch;
            places.push(dispatched.place);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        assert!(places.windows(2).all(|pair| pair[0].position.ms < pair[1].position.ms));
        Self { notifier, gateway, user, epoch, places }
    }

    fn floor(&self) -> Place {
        Place { position: self.places[2].position, random: 0 }
    }

    fn after(&self, place: Place) -> Since {
        Since::After(Cursor { epoch: self.epoch, place })
    }

    /// What a notifier, a gateway and a session that connects all find.
    async fn page(&self, since: Since) -> Page {
        let page = self.notifier.read(&self.user, since, 100).await.unwrap();
        assert_eq!(self.gateway.port.read(&self.user, since).await.unwrap(), page);
        assert_eq!(self.gateway.port.connect(&self.user, &session(1), since).await.unwrap(), page);
        assert_eq!(
            (page.epoch, page.tip, page.floor),
            (self.epoch, self.places[5], self.places[2].position)
        );
        assert_eq!((page.reached, page.more()), (page.tip, false));
        page
    }

    /// After a gap all that is kept follows.
    async fn has_gap(&self, since: Since, gap: GapReason) {
        let page = self.page(since).await;
        assert_eq!((page.gap, page.start), (Some(gap), self.floor()), "{since:?}");
        assert_eq!(places(&page), self.places[3..], "{since:?}");
    }
}

pub(crate) async fn the_start_is_all_that_is_kept_without_a_gap(fixture: &Fixture) {
    let inbox = Inbox::new(fixture).await;
    let page = inbox.page(Since::Start).await;
    assert_eq!((page.gap, page.start), (None, inbox.floor()));
    assert_eq!(places(&page), inbox.places[3..]);
}

pub(crate) async fn a_cursor_that_names_a_kept_notice_goes_on_after_it(fixture: &Fixture) {
    let inbox = Inbox::new(fixture).await;
    for at in 3..6 {
        let page = inbox.page(inbox.after(inbox.places[at])).await;
        assert_eq!((page.gap, page.start), (None, inbox.places[at]));
        assert_eq!(places(&page), inbox.places[at + 1..]);
    }
}

pub(crate) async fn a_cursor_at_the_floor_misses_nothing(fixture: &Fixture) {
    let inbox = Inbox::new(fixture).await;
    // The random part of what stood there is gone; the start of a page has none.
    for place in [inbox.places[2], inbox.floor()] {
        let page = inbox.page(inbox.after(place)).await;
        assert_eq!((page.gap, page.start), (None, place));
        assert_eq!(places(&page), inbox.places[3..]);
    }
}

pub(crate) async fn a_cursor_below_the_floor_is_expired(fixture: &Fixture) {
    let inbox = Inbox::new(fixture).await;
    for place in [inbox.places[1], inbox.places[0], Place::ZERO] {
        inbox.has_gap(inbox.after(place), GapReason::Expired).await;
    }
}

pub(crate) async fn a_cursor_that_names_nothing_there_is_reset(fixture: &Fixture) {
    let inbox = Inbox::new(fixture).await;
    let [fourth, fifth, tip] = [inbox.places[3], inbox.places[4], inbox.places[5]];
    let other_random = |place: Place| Place { random: place.random ^ 1, ..place };
    let moved = |place: Place, ms: u64, seq: u32| {
        let Position { ms: at_ms, seq: at_seq } = place.position;
        Place { position: Position { ms: at_ms + ms, seq: at_seq + seq }, ..place }
    };
    for place in [
        other_random(fourth),
        other_random(fifth),
        other_random(tip),
        Place { random: 0, ..tip },
        moved(fourth, 0, 1),
        moved(fourth, 1, 0),
        moved(tip, 0, 1),
        moved(tip, 1, 0),
        Place { position: Position { ms: u64::MAX >> 16, seq: 0 }, random: 0 },
    ] {
        inbox.has_gap(inbox.after(place), GapReason::Reset).await;
    }
    let bob = inbox.notifier.dispatch(&user("bob"), &numbered(0, 0)).await.unwrap();
    let foreign = [
        Cursor { epoch: Epoch(inbox.epoch.0 ^ 1), place: fifth },
        Cursor { epoch: Epoch(inbox.epoch.0 ^ 1), place: tip },
        Cursor { epoch: Epoch(inbox.epoch.0 ^ 1), place: inbox.places[0] },
        Cursor { epoch: Epoch(inbox.epoch.0 ^ 1), place: Place::ZERO },
        Cursor { epoch: bob.epoch, place: bob.place },
        Cursor { epoch: bob.epoch, place: fifth },
    ];
    for cursor in foreign {
        inbox.has_gap(Since::After(cursor), GapReason::Reset).await;
    }
}

pub(crate) async fn an_inbox_that_never_had_a_notice_has_a_beginning(fixture: &Fixture) {
    let (notifier, gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let alice = user("alice");
    let page = gateway.port.connect(&alice, &session(1), Since::Start).await.unwrap();
    assert_ne!(page.epoch, Epoch(0), "a life of its own begins with its first session");
    assert_eq!((page.gap, page.start, page.reached), (None, Place::ZERO, Place::ZERO));
    assert_eq!((page.tip, page.floor, page.notices.len()), (Place::ZERO, Position::ZERO, 0));
    let beginning = page.cursor();
    assert_eq!(gateway.port.tip(&alice).await.unwrap(), Some(beginning));

    let again = gateway.port.connect(&alice, &session(2), Since::After(beginning)).await.unwrap();
    assert_eq!(again, page);
    let above = Place { position: Position { ms: 1, seq: 0 }, random: 0 };
    let above = Cursor { epoch: page.epoch, place: above };
    let reset = gateway.port.read(&alice, Since::After(above)).await.unwrap();
    assert_eq!(reset, Page { gap: Some(GapReason::Reset), ..page.clone() });

    let sent = notifier.send(&alice, 3, 0).await;
    let page = gateway.port.read(&alice, Since::After(beginning)).await.unwrap();
    assert_eq!((page.gap, page.start, page.floor), (None, Place::ZERO, Position::ZERO));
    assert_eq!(
        (page.epoch, places(&page)),
        (beginning.epoch, sent),
        "who left before its first notice"
    );
}

pub(crate) async fn a_user_without_an_inbox_has_an_empty_page(fixture: &Fixture) {
    let (notifier, gateway) = (fixture.notifier().await, fixture.gateway("gw:1").await);
    let nobody = user("nobody");
    let somewhere = Place { position: Position { ms: 1_764_000_000_000, seq: 3 }, random: 7 };
    let after = |epoch, place| Since::After(Cursor { epoch: Epoch(epoch), place });
    for (since, gap) in [
        (Since::Start, None),
        (after(0, Place::ZERO), None),
        (after(9, somewhere), Some(GapReason::Reset)),
    ] {
        let page = notifier.read(&nobody, since, 100).await.unwrap();
        assert_eq!(gateway.port.read(&nobody, since).await.unwrap(), page);
        assert_eq!((page.epoch, page.gap, page.start), (Epoch(0), gap, Place::ZERO));
        assert_eq!(
            (page.reached, page.tip, page.floor),
            (Place::ZERO, Place::ZERO, Position::ZERO)
        );
        assert!(page.notices.is_empty() && !page.more());
        assert_eq!(gateway.port.tip(&nobody).await.unwrap(), None, "asking makes no inbox");
    }
    let page = gateway.port.connect(&nobody, &session(1), after(9, somewhere)).await.unwrap();
    assert_eq!(page.gap, Some(GapReason::Reset));
    assert_eq!((page.start, page.reached), (Place::ZERO, Place::ZERO));
}

pub(crate) async fn the_beginning_of_nobodys_inbox_goes_on_in_any(fixture: &Fixture) {
    let inbox = Inbox::new(fixture).await;
    let beginning = Since::After(Cursor { epoch: Epoch(0), place: Place::ZERO });
    inbox.has_gap(beginning, GapReason::Expired).await;
    let bob = user("bob");
    let before = inbox.notifier.read(&bob, Since::Start, 100).await.unwrap();
    let sent = inbox.notifier.send(&bob, 2, 0).await;
    let page = inbox.notifier.read(&bob, Since::After(before.cursor()), 100).await.unwrap();
    assert_eq!((page.gap, places(&page)), (None, sent));
}

pub(crate) async fn the_tip_is_where_to_go_on_from(fixture: &Fixture) {
    let inbox = Inbox::new(fixture).await;
    let tip = inbox.gateway.port.tip(&inbox.user).await.unwrap().unwrap();
    assert_eq!(tip, Cursor { epoch: inbox.epoch, place: inbox.places[5] });
    let sent = inbox.notifier.send(&inbox.user, 2, 0).await;
    let page =
        inbox.gateway.port.connect(&inbox.user, &session(1), Since::After(tip)).await.unwrap();
    assert_eq!((page.gap, page.start, places(&page)), (None, tip.place, sent));
}
