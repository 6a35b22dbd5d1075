//! The idempotency keys that were used for one user.

use std::collections::{HashMap, VecDeque};

use herald_core::Place;

use crate::Key;

/// What a key stands for.
#[derive(Debug, Clone)]
pub(super) struct Used {
    pub(super) place: Place,
    pub(super) digest: String,
    accepted_ms: u64,
}

/// The newest keys, in the order of their use.
#[derive(Debug, Default)]
pub(super) struct Keys {
    used: HashMap<Key, Used>,
    order: VecDeque<(Key, u64)>,
}

impl Keys {
    /// What the key stands for, unless it was never used or that is too long ago.
    pub(super) fn find(&self, key: &Key, now_ms: u64, age_ms: u64) -> Option<&Used> {
        self.used.get(key).filter(|used| !is_lapsed(used.accepted_ms, now_ms, age_ms))
    }

    /// Keeps a key that [`Keys::find`] does not know, among the newest `most`.
    pub(super) fn keep(
        &mut self,
        key: Key,
        (place, digest): (Place, String),
        (now_ms, age_ms): (u64, u64),
        most: usize,
    ) {
        while let Some((_, accepted_ms)) = self.order.front() {
            if self.order.len() < most && !is_lapsed(*accepted_ms, now_ms, age_ms) {
                break;
            }
            if let Some((oldest, accepted_ms)) = self.order.pop_front()
                // Used anew after it had lapsed, it stands further back as well.
                && self.used.get(&oldest).is_some_and(|used| used.accepted_ms == accepted_ms)
            {
                self.used.remove(&oldest);
            }
        }
        self.order.push_back((key.clone(), now_ms));
        self.used.insert(key, Used { place, digest, accepted_ms: now_ms });
    }
}

fn is_lapsed(accepted_ms: u64, now_ms: u64, age_ms: u64) -> bool {
    accepted_ms.saturating_add(age_ms) <= now_ms
}

#[cfg(test)]
mod tests {
    use herald_core::IdempotencyKey;

    use super::*;

    fn key(n: u64) -> Key {
        Key { caller: String::new(), key: IdempotencyKey::new(n.to_string()).unwrap() }
    }

    fn keep(keys: &mut Keys, n: u64, now_ms: u64) {
        keys.keep(key(n), (Place::ZERO, String::new()), (now_ms, 100), 3);
    }

    #[test]
    fn the_newest_are_kept_and_none_longer_than_its_time() {
        let mut keys = Keys::default();
        for n in 0..10 {
            keep(&mut keys, n, n);
            assert!(keys.used.len() <= 3 && keys.order.len() == keys.used.len());
        }
        assert!(keys.find(&key(6), 10, 100).is_none());
        assert!(keys.find(&key(7), 106, 100).is_some());
        assert!(keys.find(&key(7), 107, 100).is_none());
        keep(&mut keys, 20, 200);
        assert_eq!(keys.used.len(), 1, "the others have lapsed");
    }

    #[test]
    fn a_key_that_was_used_anew_stays_when_its_first_use_is_removed() {
        let mut keys = Keys::default();
        keep(&mut keys, 1, 1_000);
        // The clock was set back: the first use is further ahead and cannot be removed yet.
        keep(&mut keys, 2, 10);
        keep(&mut keys, 2, 110);
        keep(&mut keys, 3, 120);
        assert!(keys.find(&key(2), 120, 100).is_some());
    }
}
