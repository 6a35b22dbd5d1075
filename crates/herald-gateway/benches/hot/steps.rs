//! What a session decides, without anything around it.

use herald_backplane::{Announced, InboxNotice, Page, Since};
use herald_core::{Epoch, Place, Position};
use herald_gateway::hot::Steps;

use crate::{notice, user};

/// Live notices of a session.
const LIVE: u32 = 64;

/// After so many of them one hint is lost, and one comes twice.
const LOST: u32 = 32;

/// A session connects and is replayed eight notices, hears of many, misses one, reads for it, and is
/// live again.
pub(crate) fn session() -> impl FnMut() -> usize {
    let replay = page(place(0), 1..=8);
    let live: Vec<Announced> = (9..9 + LIVE).map(announced).collect();
    let (before, after) = live.split_at(LOST as usize);
    let (before, after) = (before.to_vec(), after.to_vec());
    let missed = page(place(8 + LOST), 9 + LOST..=8 + LOST + 2);
    move || {
        let mut steps = Steps::new(Since::Start);
        let mut emitted = steps.read(&replay);
        let hear = |steps: &mut Steps, hints: &[Announced]| {
            hints.iter().filter(|announced| steps.hear(announced)).count()
        };
        emitted += hear(&mut steps, &before);
        emitted += hear(&mut steps, &before[before.len() - 1..]);
        // The first one is lost; the second says so, and is in what is read for it.
        emitted += hear(&mut steps, &after[1..2]);
        emitted += steps.read(&missed);
        emitted += hear(&mut steps, &after[2..]);
        assert_eq!(emitted, 8 + LIVE as usize, "each of them once");
        emitted
    }
}

fn place(number: u32) -> Place {
    let position = Position { ms: 1_764_000_000_000, seq: number };
    Place { position, random: number }
}

fn announced(number: u32) -> Announced {
    let previous = place(number - 1);
    Announced {
        user: user(),
        place: place(number),
        previous: previous.position,
        previous_random: Some(previous.random),
        notice: Some(notice()),
        receipts: None,
    }
}

fn page(start: Place, numbers: std::ops::RangeInclusive<u32>) -> Page {
    let reached = place(*numbers.end());
    let kept = |number| InboxNotice {
        place: place(number),
        notice: notice(),
        expires_at_ms: 0,
        receipts: None,
    };
    Page {
        epoch: Epoch(7),
        start,
        gap: None,
        notices: numbers.map(kept).collect(),
        reached,
        tip: reached,
        floor: Position::ZERO,
    }
}
