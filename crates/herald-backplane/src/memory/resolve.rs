//! Where in an inbox a reader goes on.

use herald_core::{Epoch, GapReason, Place, Position};

use crate::Since;

/// What an inbox says of itself to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Which life of the inbox this is.
    pub(super) epoch: Epoch,
    /// The last place given out.
    pub(super) tip: Place,
    /// The highest position removed by any limit.
    pub(super) floor: Position,
}

/// Decides where reading starts and whether anything is missing before that;
/// the Redis scripts follow the same table, in the same order.
///
/// | the cursor | reading starts | gap |
/// |---|---|---|
/// | none ([`Since::Start`]) | at the floor | none |
/// | is of another epoch, unless it is where nobody's inbox begins (epoch 0, position 0) | at the floor | reset |
/// | lies above the tip | at the floor | reset |
/// | is the tip | there | none |
/// | is at the tip's position, of another notice | at the floor | reset |
/// | lies below the floor | at the floor | expired |
/// | is at the floor | there | none |
/// | is a notice that is kept | there | none |
/// | is anything else | at the floor | reset |
///
/// The floor keeps no random part: the notice that stood there is gone, and
/// whichever it was, nothing after it is missing. So a start at the floor is
/// given out with a random part of 0, and that is good as a cursor even where
/// the floor has reached the tip.
///
/// `random_at` tells the random part of the notice kept at a position.
pub(super) fn resolve(
    since: Since,
    bounds: &Bounds,
    random_at: impl FnOnce(Position) -> Option<u32>,
) -> (Place, Option<GapReason>) {
    let Bounds { epoch, tip, floor } = *bounds;
    let at_floor = Place { position: floor, random: 0 };
    let Since::After(cursor) = since else { return (at_floor, None) };
    let Place { position, random } = cursor.place;
    let of_nobody = cursor.epoch == Epoch(0) && position == Position::ZERO;
    let reset = (at_floor, Some(GapReason::Reset));
    let complete = (cursor.place, None);
    if (cursor.epoch != epoch && !of_nobody) || position > tip.position {
        reset
    } else if position == tip.position {
        if random == tip.random || cursor.place == at_floor { complete } else { reset }
    } else if position < floor {
        (at_floor, Some(GapReason::Expired))
    } else if position == floor || random_at(position) == Some(random) {
        complete
    } else {
        reset
    }
}

#[cfg(test)]
mod tests {
    use herald_core::Cursor;

    use super::*;

    const EPOCH: Epoch = Epoch(7);

    fn at(ms: u64) -> Position {
        Position { ms, seq: 0 }
    }

    /// An inbox with notices at 30, 40 and 50, their random parts the same
    /// numbers, and a floor at 20.
    fn decide(epoch: Epoch, position: Position, random: u32) -> (Place, Option<GapReason>) {
        let bounds =
            Bounds { epoch: EPOCH, tip: Place { position: at(50), random: 50 }, floor: at(20) };
        let cursor = Cursor { epoch, place: Place { position, random } };
        resolve(Since::After(cursor), &bounds, |position| match position.ms {
            ms @ (30 | 40 | 50) if position.seq == 0 => u32::try_from(ms).ok(),
            _ => None,
        })
    }

    #[test]
    fn a_cursor_that_names_what_is_kept_goes_on_from_there() {
        for (ms, random) in [(50, 50), (40, 40), (30, 30), (20, 20), (20, 99)] {
            let place = Place { position: at(ms), random };
            assert_eq!(decide(EPOCH, at(ms), random), (place, None), "{ms}/{random}");
        }
    }

    #[test]
    fn any_other_cursor_starts_at_the_floor_and_says_why() {
        let floor = Place { position: at(20), random: 0 };
        let reset = [
            (Epoch(8), at(40), 40),
            (Epoch(8), at(10), 10),
            (EPOCH, at(51), 50),
            (EPOCH, at(50), 51),
            (EPOCH, at(40), 41),
            (EPOCH, at(45), 40),
            (EPOCH, Position { ms: 20, seq: 1 }, 20),
        ];
        for (epoch, position, random) in reset {
            let found = decide(epoch, position, random);
            assert_eq!(found, (floor, Some(GapReason::Reset)), "{epoch} {position} {random}");
        }
        for (epoch, position) in
            [(EPOCH, at(10)), (EPOCH, Position::ZERO), (Epoch(0), Position::ZERO)]
        {
            assert_eq!(
                decide(epoch, position, 0),
                (floor, Some(GapReason::Expired)),
                "{epoch} {position}"
            );
        }
    }

    #[test]
    fn an_empty_inbox_is_complete_from_its_beginning_only() {
        let bounds = Bounds { epoch: EPOCH, tip: Place::ZERO, floor: Position::ZERO };
        let cursor = |place| Since::After(Cursor { epoch: EPOCH, place });
        assert_eq!(resolve(Since::Start, &bounds, |_| None), (Place::ZERO, None));
        assert_eq!(resolve(cursor(Place::ZERO), &bounds, |_| None), (Place::ZERO, None));
        let above = Place { position: at(1), random: 0 };
        assert_eq!(
            resolve(cursor(above), &bounds, |_| None),
            (Place::ZERO, Some(GapReason::Reset))
        );
        let nobody = Since::After(Cursor { epoch: Epoch(0), place: Place::ZERO });
        assert_eq!(resolve(nobody, &bounds, |_| None), (Place::ZERO, None));
    }

    #[test]
    fn once_all_is_removed_only_the_tip_is_complete() {
        let tip = Place { position: at(50), random: 50 };
        let bounds = Bounds { epoch: EPOCH, tip, floor: at(50) };
        let after =
            |place| resolve(Since::After(Cursor { epoch: EPOCH, place }), &bounds, |_| None);
        assert_eq!(after(tip), (tip, None));
        assert_eq!(after(Place { random: 0, ..tip }), (Place { random: 0, ..tip }, None));
        assert_eq!(after(Place { random: 51, ..tip }).1, Some(GapReason::Reset));
        assert_eq!(after(Place { position: at(49), random: 49 }).1, Some(GapReason::Expired));
    }
}
