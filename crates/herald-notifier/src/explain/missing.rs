//! Why nothing is known of a notice: what its inbox makes of its id.

use herald_backplane::Found;
use herald_core::{InboxLimits, Place};

use super::words::{limits_of, span, time};

/// What may be the reason, and what to look at.
pub(super) fn why(place: Place, found: &Found, limits: &InboxLimits) -> String {
    let ended = if found.ended_at_ms >= place.position.ms {
        let at = time(found.ended_at_ms);
        format!(", and all sessions of the user were ended at about {at}, as PurgeUser does too")
    } else {
        String::new()
    };
    let check = "check that user and notice belong together";
    let Some(inbox) = found.inbox else {
        let memory = span(limits.memory);
        return format!(
            "the user has no inbox; either nothing was sent to it within {memory}, or it was \
             purged, or the backplane was emptied{ended}; {check}"
        );
    };
    if place.position > inbox.tip.position {
        format!(
            "its id is newer than everything in the user's inbox; either it was never accepted for \
             this user, or the inbox was purged, lost or set back since{ended}; {check}"
        )
    } else if place.position <= inbox.floor {
        format!(
            "its id is of a time of which the inbox keeps nothing any more; if it was accepted, a \
             limit has removed it ({}), and if its way was recorded, that is past its retention \
             of {}; otherwise {check}",
            limits_of(limits),
            span(limits.age)
        )
    } else {
        format!(
            "the inbox keeps everything of its time, and does not have it; either it was never \
             accepted for this user, or a failover of the backplane lost it{ended}; {check}"
        )
    }
}

#[cfg(test)]
mod tests {
    use herald_backplane::InboxState;
    use herald_core::{Epoch, Position};

    use super::*;

    fn place(ms: u64) -> Place {
        Place { position: Position { ms, seq: 0 }, random: 7 }
    }

    fn why_of(ms: u64, inbox: bool, ended_at_ms: u64) -> String {
        let inbox = inbox.then_some(InboxState {
            epoch: Epoch(1),
            tip: place(9),
            floor: Position { ms: 3, seq: 0 },
            notices: 2,
            bytes: 200,
        });
        let found = Found { at_ms: 20, inbox, notice: None, ended_at_ms };
        why(place(ms), &found, &InboxLimits::default())
    }

    #[test]
    fn each_place_has_its_reason() {
        assert!(why_of(5, false, 0).contains("has no inbox"));
        assert!(why_of(10, true, 0).contains("newer than everything"));
        assert!(why_of(5, true, 0).contains("does not have it"));
        for ms in [2, 3] {
            let why = why_of(ms, true, 0);
            assert!(why.contains("1,000 notices") && why.contains("retention of 24 h"), "{why}");
        }
        assert!(!why_of(5, false, 4).contains("PurgeUser"), "that was before");
        assert!(why_of(5, false, 6).contains("PurgeUser"));
    }
}
