use herald_core::{EventName, Notice, Payload, UserId};
use proptest::prelude::*;

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
        previous: Position { ms: nth - 1, seq: 0 },
        notice: Some(notice()),
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

/// What may happen to a session, in any order.
#[derive(Debug, Clone)]
enum Step {
    /// A notice is appended, and announced unless the announcement is lost.
    Append { lost: bool },
    /// Some announcement under way arrives; `again` leaves a copy of it under way.
    Arrive { which: usize, again: bool },
    /// The channel was interrupted.
    Doubt,
    /// The inbox drops its oldest notices.
    Trim { keep: usize },
    /// A read begins, is answered or was answered and is emitted: the next of these.
    Read,
    /// The socket takes so many notices, then refuses one.
    Room { packets: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|lost| Step::Append { lost }),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(which, again)| Step::Arrive { which, again }),
        1 => Just(Step::Doubt),
        1 => (0usize..6).prop_map(|keep| Step::Trim { keep }),
        5 => Just(Step::Read),
        1 => (0usize..4).prop_map(|packets| Step::Room { packets }),
    ];
    prop::collection::vec(step, 0..120)
}

/// The simplest thing that does what is promised: an inbox, and one session beside it.
#[derive(Default)]
struct Model {
    tip: u64,
    floor: u64,
    page_size: usize,
    under_way: Vec<Announced>,
    room: Option<usize>,
    read: Option<Since>,
    page: Option<Page>,
    emitted: Vec<u64>,
    gaps: Vec<(u64, u64)>,
}

impl Model {
    fn answer(&self, since: Since) -> Page {
        let from = match since {
            Since::Start => 0,
            Since::After(cursor) => cursor.place.position.ms,
        };
        let start = from.max(self.floor);
        let last = self.tip.min(start + self.page_size as u64);
        let notices = (start + 1..=last).map(|nth| herald_backplane::InboxNotice {
            place: place(nth),
            notice: notice(),
            expires_at_ms: 0,
        });
        Page {
            epoch: EPOCH,
            start: if start == from {
                at(start).place
            } else {
                Place { random: 0, ..at(start).place }
            },
            gap: (start != from).then_some(GapReason::Expired),
            notices: notices.collect(),
            reached: at(last).place,
            tip: at(self.tip).place,
            floor: Position { ms: self.floor, seq: 0 },
        }
    }

    /// Whether the socket takes `nth`.
    fn emit(&mut self, nth: u64) -> bool {
        match &mut self.room {
            Some(0) => {
                self.room = None;
                return false;
            }
            Some(room) => *room -= 1,
            None => {}
        }
        self.emitted.push(nth);
        true
    }

    fn arrive(&mut self, delivery: &mut Delivery, announced: &Announced) {
        if delivery.announced(announced) == Verdict::Emit {
            if self.emit(announced.place.position.ms) {
                delivery.emitted(announced.place);
            } else {
                delivery.refused();
            }
        }
    }

    /// One step of the read under way; begins one if the session wants it.
    fn step_read(&mut self, delivery: &mut Delivery) {
        if let Some(page) = self.page.take() {
            if let Some(gap) = delivery.accept(&page) {
                let after = gap.after.map_or(0, |after| after.place.position.ms);
                self.gaps.push((after, gap.floor.place.position.ms));
            }
            for place in page.notices.iter().map(|notice| notice.place) {
                if delivery.wants(place) {
                    if !self.emit(place.position.ms) {
                        delivery.refused();
                        return;
                    }
                    delivery.emitted(place);
                }
            }
            delivery.finish(&page);
        } else if let Some(since) = self.read.take() {
            self.page = Some(self.answer(since));
        } else if delivery.mode != Mode::Live {
            self.read = Some(delivery.begin_read());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn each_notice_is_given_once_in_order_or_a_gap_is_told(
        steps in steps(),
        page_size in 1usize..5,
        before in 0u64..5,
        from_start: bool,
    ) {
        let mut model = Model { tip: before, page_size, ..Model::default() };
        let since = if from_start { Since::Start } else { Since::After(at(before)) };
        let begin = if from_start { 0 } else { before };
        let mut delivery = Delivery::new(since);
        let mut last_was_lost = false;
        for step in steps {
            match step {
                Step::Append { lost } => {
                    model.tip += 1;
                    last_was_lost = lost;
                    if !lost {
                        model.under_way.push(announced(model.tip));
                    }
                }
                Step::Arrive { which, again } if !model.under_way.is_empty() => {
                    let which = which % model.under_way.len();
                    let announced = if again {
                        model.under_way[which].clone()
                    } else {
                        model.under_way.swap_remove(which)
                    };
                    model.arrive(&mut delivery, &announced);
                }
                Step::Arrive { .. } => {}
                Step::Doubt => delivery.doubt(),
                Step::Trim { keep } => {
                    model.floor = model.floor.max(model.tip.saturating_sub(keep as u64));
                }
                Step::Read => model.step_read(&mut delivery),
                Step::Room { packets } => model.room = Some(packets),
            }
        }
        // Everything arrives that was not lost, and the reads come to an end. If the last notice
        // was lost, nobody can know before another one comes.
        model.room = None;
        if last_was_lost {
            model.tip += 1;
            model.under_way.push(announced(model.tip));
        }
        for announced in std::mem::take(&mut model.under_way) {
            model.arrive(&mut delivery, &announced);
        }
        for _ in 0..3 * (model.tip + 3) {
            model.step_read(&mut delivery);
        }
        prop_assert_eq!(delivery.mode, Mode::Live, "reads do not go on for ever");

        prop_assert!(model.emitted.is_sorted_by(|a, b| a < b), "{:?}", model.emitted);
        for nth in begin + 1..=model.tip {
            let told = model.gaps.iter().any(|&(after, floor)| after < nth && nth <= floor);
            // Who asks for all that is kept is told of nothing that was removed before.
            let never_asked = from_start && model.emitted.first().is_none_or(|&first| nth < first);
            prop_assert!(
                model.emitted.contains(&nth) || told || never_asked,
                "{nth} is missing: {:?}, gaps {:?}", model.emitted, model.gaps
            );
        }
        prop_assert!(model.emitted.first().is_none_or(|&first| first > begin));
        prop_assert_eq!(delivery.cursor().place.position.ms, model.tip);
    }
}
