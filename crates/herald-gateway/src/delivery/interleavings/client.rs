//! A client as the documentation asks for: it keeps its cursor, and remembers what it was told.

use std::collections::HashSet;

use herald_core::{Cursor, GapReason, Place, Position};

use super::inbox::{Inbox, Life, Removed};
use crate::delivery::Gap;

/// What a session emits, and when what it says was read from the inbox.
#[derive(Debug, Clone, Copy)]
pub(super) enum Packet {
    Ready(Cursor),
    Gap(Gap, u64),
    Notice(Cursor),
}

/// Checks what one session emits, as it does.
#[derive(Debug, Default)]
pub(super) struct Order {
    last: Option<Place>,
    emitted: HashSet<u32>,
}

impl Order {
    /// Once, and in order; what is kept follows anew after a reset alone.
    pub(super) fn emits(&mut self, packet: &Packet) -> Result<(), String> {
        match packet {
            Packet::Ready(_) => Ok(()),
            Packet::Gap(gap, _) if gap.reason == GapReason::Expired => Ok(()),
            Packet::Gap(..) => {
                *self = Self::default();
                Ok(())
            }
            Packet::Notice(Cursor { place, .. }) => {
                if !self.emitted.insert(place.random) {
                    return Err(format!("notice {} emitted twice", place.random));
                }
                let last = self.last.replace(*place);
                if last.is_some_and(|last| last.position >= place.position) {
                    return Err(format!("{place:?} emitted after {last:?}"));
                }
                Ok(())
            }
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Client {
    /// Where it goes on when it comes back.
    pub(super) cursor: Option<Cursor>,
    /// Where it began: what comes after is promised.
    begun: Option<Cursor>,
    seen: HashSet<u32>,
    gaps: Vec<(Gap, u64)>,
}

impl Client {
    pub(super) fn receives(&mut self, packet: Packet, inbox: &Inbox) -> Result<(), String> {
        match packet {
            Packet::Ready(cursor) => {
                // Who has a cursor keeps it: a gap may follow that it never hears of.
                self.cursor.get_or_insert(cursor);
                self.begun.get_or_insert(cursor);
            }
            Packet::Gap(gap, read_at) => {
                if gap.reason == GapReason::Expired {
                    self.is_true(&gap, inbox)?;
                }
                self.cursor = Some(gap.floor);
                self.gaps.push((gap, read_at));
            }
            Packet::Notice(cursor) => {
                let before = self.cursor.ok_or("a notice before herald:ready")?;
                if cursor.epoch != before.epoch {
                    return Err(format!("from {before} to {cursor} without a word"));
                }
                self.seen.insert(cursor.place.random);
                self.cursor = Some(cursor);
            }
        }
        Ok(())
    }

    /// Nobody is told of a gap for nothing: a limit did remove something after the place.
    fn is_true(&self, gap: &Gap, inbox: &Inbox) -> Result<(), String> {
        let removed = inbox.lives.iter().any(|life| {
            covers(gap, life.epoch.0, life.place.position)
                && matches!(life.removed, Some(Removed::Limit(_) | Removed::Lost))
        });
        if removed { Ok(()) } else { Err(format!("nothing is missing in {gap:?}")) }
    }

    /// Whatever was accepted after the client began is seen, or it was told.
    pub(super) fn has_all(&self, inbox: &Inbox) -> Result<(), String> {
        let begun = self.begun.ok_or("never connected")?;
        let promised = inbox.lives.iter().filter(|life| {
            life.epoch.0 > begun.epoch.0
                || (life.epoch == begun.epoch && life.place.position > begun.place.position)
        });
        for life in promised {
            let told = match life.removed {
                None => false,
                Some(Removed::Limit(at)) => {
                    self.gaps.iter().any(|(gap, read_at)| {
                        covers(gap, life.epoch.0, life.place.position)
                            || (gap.reason == GapReason::Reset && *read_at >= at)
                    }) || self.has_one_lost_there(life, inbox)
                }
                // Lost before anybody was told of it: there is nobody who could tell.
                Some(Removed::Lost) => true,
            };
            if !told && !self.seen.contains(&life.place.random) {
                return Err(format!("missing without a word: {life:?}"));
            }
        }
        Ok(())
    }

    /// Of a floor the position is kept and no random part: who was given a notice that was lost,
    /// and whose position another one got, cannot learn that the other was there once it is removed.
    fn has_one_lost_there(&self, life: &Life, inbox: &Inbox) -> bool {
        inbox.lives.iter().any(|lost| {
            lost.removed == Some(Removed::Lost)
                && (lost.epoch, lost.place.position) == (life.epoch, life.place.position)
                && self.seen.contains(&lost.place.random)
        })
    }
}

fn covers(gap: &Gap, epoch: u64, position: Position) -> bool {
    let after = gap.after.map_or(Position::ZERO, |after| after.place.position);
    gap.reason == GapReason::Expired
        && gap.floor.epoch.0 == epoch
        && after < position
        && position <= gap.floor.place.position
}
