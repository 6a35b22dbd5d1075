use herald_core::{EventName, Notice, Payload, UserId};

use super::*;

const EPOCH: Epoch = Epoch(7);

fn place(nth: u64) -> Place {
    let position = Position { ms: nth, seq: 0 };
    Place { position, random: u32::try_from(nth).unwrap() + 1_000 }
}

fn notice() -> Notice {
    Notice {
        event: EventName::notice(),
        payload: Payload::from_trusted("null".into()),
        traceparent: None,
    }
}

fn announced(nth: u64) -> Announced {
    Announced {
        user: UserId::new("alice").unwrap(),
        place: place(nth),
        previous: at(nth - 1).place.position,
        previous_random: Some(at(nth - 1).place.random),
        notice: Some(notice()),
        receipts: None,
    }
}

fn at(nth: u64) -> Cursor {
    let place = if nth == 0 { Place::ZERO } else { place(nth) };
    Cursor { epoch: EPOCH, place }
}

/// A page that ends at `tip` without notices.
fn empty_page(tip: u64) -> Page {
    Page {
        epoch: EPOCH,
        start: at(tip).place,
        gap: None,
        notices: Vec::new(),
        reached: at(tip).place,
        tip: at(tip).place,
        floor: Position::ZERO,
    }
}

fn live_at(nth: u64) -> Delivery {
    let mut delivery = Delivery::new(Since::After(at(nth)));
    delivery.begin_read();
    assert_eq!(delivery.accept(&empty_page(nth)), None);
    assert_eq!(delivery.finish(&empty_page(nth)), Next::Live);
    delivery
}

#[test]
fn the_next_one_is_emitted_and_then_known() {
    let mut delivery = live_at(4);
    assert_eq!(delivery.announced(&announced(5)), Verdict::Emit);
    delivery.emitted(place(5));
    assert_eq!(delivery.announced(&announced(5)), Verdict::Duplicate);
    assert_eq!(delivery.announced(&announced(4)), Verdict::Duplicate);
    assert_eq!(delivery.cursor(), at(5));
}

#[test]
fn a_hole_is_read_and_nothing_is_emitted_meanwhile() {
    let mut delivery = live_at(4);
    assert_eq!(delivery.announced(&announced(6)), Verdict::Read(Doubt::Missed));
    assert_eq!(delivery.announced(&announced(5)), Verdict::Later);
    assert_eq!(delivery.begin_read(), Since::After(at(4)));
}

#[test]
fn what_comes_without_its_notice_is_read() {
    let mut delivery = live_at(4);
    let announced = Announced { notice: None, ..announced(5) };
    assert_eq!(delivery.announced(&announced), Verdict::Read(Doubt::NotInline));
}

#[test]
fn another_notice_at_our_place_or_a_first_one_below_it_is_read() {
    let other = Place { random: 1, ..place(4) };
    let reissued = Announced { place: other, ..announced(4) };
    assert_eq!(live_at(4).announced(&reissued), Verdict::Read(Doubt::Reissued));
    assert_eq!(live_at(4).announced(&announced(1)), Verdict::Read(Doubt::Reissued));
}

#[test]
fn another_notice_before_the_next_one_is_read_if_it_is_told_apart() {
    let after_another = Announced { previous_random: Some(1), ..announced(5) };
    assert_eq!(live_at(4).announced(&after_another), Verdict::Read(Doubt::Reissued));
    let not_told = Announced { previous_random: None, ..announced(5) };
    assert_eq!(live_at(4).announced(&not_told), Verdict::Emit);
    let floor = Place { random: 0, ..place(4) };
    let mut at_the_floor = live_at(4);
    at_the_floor.emitted(floor);
    assert_eq!(at_the_floor.announced(&announced(5)), Verdict::Emit, "it is complete");
}

#[test]
fn a_session_of_no_epoch_learns_it_before_it_emits() {
    let nobody = Page { epoch: Epoch(0), ..empty_page(0) };
    let mut delivery = Delivery::new(Since::Start);
    delivery.begin_read();
    delivery.accept(&nobody);
    assert_eq!(delivery.finish(&nobody), Next::Live);
    assert_eq!(delivery.announced(&announced(1)), Verdict::Read(Doubt::Missed));
}

#[test]
fn a_notice_announced_but_gone_from_the_inbox_is_not_read_for_ever() {
    let mut delivery = live_at(4);
    assert_eq!(delivery.announced(&announced(9)), Verdict::Read(Doubt::Missed));
    delivery.begin_read();
    delivery.accept(&empty_page(4));
    assert_eq!(delivery.finish(&empty_page(4)), Next::Live);
}

#[test]
fn what_is_heard_or_doubted_during_a_read_is_read_once_more() {
    let hear: fn(&mut Delivery) = |delivery| {
        delivery.announced(&announced(9));
    };
    for shake in [hear, Delivery::doubt] {
        let mut delivery = live_at(4);
        delivery.doubt();
        delivery.begin_read();
        shake(&mut delivery);
        delivery.accept(&empty_page(4));
        assert_eq!(delivery.finish(&empty_page(4)), Next::Read);
        delivery.begin_read();
        delivery.accept(&empty_page(4));
        assert_eq!(delivery.finish(&empty_page(4)), Next::Live);
    }
}

#[test]
fn a_gap_moves_the_session_to_what_is_kept() {
    let mut delivery = live_at(4);
    delivery.doubt();
    delivery.begin_read();
    let page = Page {
        epoch: Epoch(8),
        gap: Some(GapReason::Reset),
        start: Place { random: 0, ..place(2) },
        ..empty_page(3)
    };
    let gap = delivery.accept(&page).unwrap();
    assert_eq!(gap.reason, GapReason::Reset);
    assert_eq!(gap.after, Some(at(4)));
    assert_eq!(gap.floor, Cursor { epoch: Epoch(8), place: page.start });
    assert!(delivery.wants(place(3)) && !delivery.wants(place(2)));
}

fn tip(epoch: Epoch, nth: u64) -> Cursor {
    Cursor { epoch, ..at(nth) }
}

#[test]
fn an_audit_leaves_alone_who_is_at_the_tip_or_got_there_meanwhile() {
    let mut delivery = live_at(4);
    let was = delivery.settled().unwrap();
    assert!(!delivery.audited(was, at(4)));
    for nth in [5, 6] {
        assert_eq!(delivery.announced(&announced(nth)), Verdict::Emit);
        delivery.emitted(place(nth));
        assert!(!delivery.audited(was, at(5)), "at 5, then beyond it");
    }
    assert_eq!(delivery.settled(), Some(at(6)));
}

#[test]
fn an_audit_makes_those_read_who_are_behind_above_or_in_another_life() {
    let other_random = Cursor { place: Place { random: 1, ..place(4) }, ..at(4) };
    for found in [at(5), at(3), at(0), other_random, tip(Epoch(8), 4), tip(Epoch(8), 2)] {
        let mut delivery = live_at(4);
        assert!(delivery.audited(at(4), found), "{found}");
        assert_eq!(delivery.settled(), None);
        assert_eq!(delivery.begin_read(), Since::After(at(4)));
        assert!(!delivery.audited(at(4), found), "it is reading");
    }
}

#[test]
fn what_an_audit_saw_during_a_read_is_read_once_more() {
    let mut delivery = live_at(4);
    let was = delivery.settled().unwrap();
    delivery.doubt();
    delivery.begin_read();
    assert!(!delivery.audited(was, at(5)));
    delivery.accept(&empty_page(4));
    assert_eq!(delivery.finish(&empty_page(4)), Next::Read);
}
