//! How long the keys of a user live.

use std::time::Duration;

use herald_core::InboxLimits;

use super::millis;

/// Keys live a part longer than they have to, so that not every append has to prolong them.
const PART: u32 = 16;

/// Lives in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lives {
    /// Of the state record, whenever it is set.
    pub(super) state: u64,
    /// Of the inbox.
    pub(super) inbox: u64,
    /// How long after they were set both are still long enough.
    pub(super) long_enough: u64,
}

impl Lives {
    pub(super) fn of(limits: &InboxLimits) -> Self {
        let longer = |life: Duration| millis(life.saturating_add(life / PART));
        Self {
            state: longer(limits.memory),
            inbox: longer(limits.age),
            long_enough: millis(limits.age.min(limits.memory) / PART),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_prolonged_lives_long_enough() {
        let (day, month) = (Duration::from_hours(24), Duration::from_hours(24 * 30));
        for (age, memory) in [(day, month), (month, day), (Duration::from_secs(1), day)] {
            let limits = InboxLimits { age, memory, ..InboxLimits::default() };
            let lives = Lives::of(&limits);
            assert!(lives.state - lives.long_enough >= millis(memory), "{lives:?}");
            assert!(lives.inbox - lives.long_enough >= millis(age), "{lives:?}");
            assert!(lives.long_enough > 0);
        }
    }
}
