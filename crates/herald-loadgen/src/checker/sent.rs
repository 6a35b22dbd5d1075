//! What was sent to one user, and what became of it.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use super::{Finding, position};

/// What was sent to one user.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// In the order of the inbox, as far as it is known.
    pub(super) accepted: Vec<Accepted>,
    pub(super) unknown: Vec<Unknown>,
    /// Payloads of what must not come.
    pub(super) refused: HashSet<Box<str>>,
    /// Payloads of what is in no inbox.
    pub(super) volatile: HashSet<Box<str>>,
}

#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) id: Box<str>,
    pub(super) payload: Box<str>,
    /// When it has surely expired; never if `None`.
    pub(super) expires: Option<Instant>,
}

/// What may have been accepted.
#[derive(Debug)]
pub(super) struct Unknown {
    pub(super) payload: Box<str>,
    pub(super) expires: Option<Instant>,
}

impl Accepted {
    pub(super) fn has_expired(&self) -> bool {
        self.expires.is_some_and(|expires| expires <= Instant::now())
    }
}

impl Sent {
    /// How many of the accepted ones stand at this position or before.
    pub(super) fn up_to(&self, position: position::Position) -> usize {
        let before = |accepted: &Accepted| position::of_id(&accepted.id) <= Some(position);
        self.accepted.partition_point(before)
    }

    /// Compares with what the inbox keeps in the end, oldest first, and settles what was unknown.
    /// Where each of the accepted ones of before stands now, and what is wrong.
    pub(super) fn settle(
        &mut self,
        user: &str,
        kept: &[(String, String)],
        floor: Option<position::Position>,
        may_be_lost: bool,
    ) -> (Vec<usize>, Vec<Finding>) {
        let mut findings = Vec::new();
        let listed: HashSet<_> = kept.iter().map(|(id, _)| id.as_str()).collect();
        // A floor that cannot be read excuses nothing.
        let floor = floor.unwrap_or(position::ZERO);
        for accepted in &self.accepted {
            let removed = position::of_id(&accepted.id).is_some_and(|position| position <= floor);
            if !removed && !accepted.has_expired() && !listed.contains(&*accepted.id) {
                findings.push(Finding::NotKept {
                    user: user.to_owned(),
                    id: accepted.id.to_string(),
                    payload: accepted.payload.to_string(),
                });
            }
        }
        let known: HashSet<_> = self.accepted.iter().map(|accepted| accepted.id.clone()).collect();
        let before = self.accepted.len();
        for (id, payload) in kept.iter().filter(|(id, _)| !known.contains(id.as_str())) {
            match self.unknown.iter().position(|unknown| *unknown.payload == **payload) {
                Some(found) => {
                    let Unknown { payload, expires } = self.unknown.swap_remove(found);
                    self.accepted.push(Accepted { id: id.as_str().into(), payload, expires });
                }
                None => findings.push(self.unexpected(format!("the inbox of {user}"), id, payload)),
            }
        }
        if floor == position::ZERO && !may_be_lost {
            // It is not there, so it was not accepted, unless it was and has expired.
            let gone = self.unknown.extract_if(.., |unknown| unknown.expires.is_none());
            self.refused.extend(gone.map(|unknown| unknown.payload));
        }
        (self.sort(before), findings)
    }

    /// What is wrong with a notice that is none of those that are to come.
    pub(super) fn unexpected(&self, reader: String, id: &str, payload: &str) -> Finding {
        let (id, payload) = (id.to_owned(), payload.to_owned());
        if self.refused.contains(payload.as_str()) {
            Finding::Refused { reader, id, payload }
        } else if let Some(twin) = self.accepted.iter().find(|sent| *sent.payload == *payload) {
            Finding::Twice { reader, id, accepted: twin.id.to_string() }
        } else {
            Finding::NeverSent { reader, id, payload }
        }
    }

    /// Whether a notice with this payload may have come before its inbox lost it: an earlier try of
    /// one that was accepted later, or one that is unknown.
    pub(super) fn may_be_lost(&self, payload: &str) -> bool {
        self.accepted.iter().any(|sent| *sent.payload == *payload)
            || self.unknown.iter().any(|sent| *sent.payload == *payload)
    }

    /// Puts all that is accepted into the order of the inbox; where the first `before` stand now.
    fn sort(&mut self, before: usize) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.accepted.len()).collect();
        // Stable, and ids without a position come first.
        order.sort_by_key(|place| position::of_id(&self.accepted[*place].id));
        let now: HashMap<_, _> = order.iter().enumerate().map(|(now, was)| (*was, now)).collect();
        self.accepted.sort_by_key(|accepted| position::of_id(&accepted.id));
        (0..before).map(|was| now[&was]).collect()
    }
}
