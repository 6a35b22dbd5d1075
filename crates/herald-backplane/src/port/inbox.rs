//! What is read of an inbox, and from where.

use herald_core::{Cursor, Epoch, GapReason, Notice, Place, Position};

use crate::ReceiptsWanted;

/// From where an inbox is read.
///
/// A cursor is continued exactly where it stands if it is of the inbox's epoch and names
/// a notice that is (or, at the floor or the tip, was) there. Otherwise there is a gap,
/// and all that is kept follows:
///
/// | the cursor | |
/// |---|---|
/// | epoch 0 at zero: of a user who had no inbox yet | as if of this epoch |
/// | of another epoch, or above the tip | [`GapReason::Reset`] |
/// | at the tip, with another random part (0 will do if the tip is the floor) | [`GapReason::Reset`] |
/// | below the floor | [`GapReason::Expired`] |
/// | at the floor | continued |
/// | between, naming no notice that stands there | [`GapReason::Reset`] |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Everything that is kept, and no gap reported.
    Start,
    /// After this place.
    After(Cursor),
}

/// A stretch of one inbox, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The life of the inbox.
    pub epoch: Epoch,
    /// Where the stretch really starts: the place asked for or, after a gap, the floor
    /// with a random part of 0.
    pub start: Place,
    /// Why it could not start at the place asked for.
    pub gap: Option<GapReason>,
    /// What is kept after `start`. Expired notices are left out.
    pub notices: Vec<InboxNotice>,
    /// The place that this page reaches, left-out notices included: go on from
    /// here. Equal to `tip` once everything was read.
    pub reached: Place,
    /// The last place of the inbox.
    pub tip: Place,
    /// The highest position removed by any limit.
    pub floor: Position,
}

impl Page {
    /// The cursor to read the next page from.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, place: self.reached }
    }

    /// Whether there is more to read now.
    #[must_use]
    pub fn more(&self) -> bool {
        self.reached != self.tip
    }

    /// The page of a user who has no inbox.
    pub(crate) fn of_nobody(since: Since) -> Self {
        let gap = match since {
            Since::After(cursor) if cursor.place.position != Position::ZERO => {
                Some(GapReason::Reset)
            }
            _ => None,
        };
        Self {
            epoch: Epoch(0),
            start: Place::ZERO,
            gap,
            notices: Vec::new(),
            reached: Place::ZERO,
            tip: Place::ZERO,
            floor: Position::ZERO,
        }
    }
}

/// A notice with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxNotice {
    /// Where it stands.
    pub place: Place,
    /// The notice.
    pub notice: Notice,
    /// When it stops being delivered, in milliseconds since 1970; 0 for never.
    pub expires_at_ms: u64,
    /// Who wanted to hear of it when it was accepted.
    pub receipts: Option<ReceiptsWanted>,
}
