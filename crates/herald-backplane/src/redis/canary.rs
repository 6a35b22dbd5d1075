//! Whether a channel carries what is published to it.
//!
//! Connections that are up and answer prove nothing: the subscription may be gone from the server,
//! or be with one that nobody publishes to any more. So whoever listens sends itself a message
//! every now and then, in the way of all others, and wants to hear it.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::Histogram;

use crate::figures;

/// Begins every canary, and nothing else: no message of ours has this for a field.
const PREFIX: &[u8] = b"herald-canary ";

/// Time between two looks whether anything was heard. Silence is counted in looks, so that a
/// process that was paused does not take its own for the channel's.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// One canary is sent every so many looks.
pub(super) const LOOKS_EACH: u32 = 4;

/// What one channel's subscriber hears of itself.
pub(super) struct Canary {
    /// Whose channel it is: a label of its figures.
    of: &'static str,
    lag: Histogram,
    /// Messages of any kind so far.
    heard: AtomicU64,
    sent: Mutex<Sent>,
}

struct Sent {
    /// Starts at random: what an earlier process of ours sent is not taken for this one's.
    number: u64,
    at: Instant,
}

impl Canary {
    pub(super) fn new(of: &'static str) -> Self {
        let sent = Sent { number: rand::random::<u32>().into(), at: Instant::now() };
        let lag = metrics::histogram!(figures::CHANNEL_LAG, "channel" => of);
        Self { of, lag, heard: AtomicU64::new(0), sent: Mutex::new(sent) }
    }

    /// The label of the channel's figures.
    pub(super) fn of(&self) -> &'static str {
        self.of
    }

    /// The next one, sent now.
    pub(super) fn next(&self) -> Vec<u8> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        *sent = Sent { number: sent.number + 1, at: Instant::now() };
        [PREFIX, sent.number.to_string().as_bytes()].concat()
    }

    /// A message has come in; true if it is a canary, and nobody else's concern.
    pub(super) fn hears(&self, message: &[u8]) -> bool {
        self.heard.fetch_add(1, Ordering::AcqRel);
        let Some(number) = message.strip_prefix(PREFIX) else { return false };
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if number == sent.number.to_string().as_bytes() {
            self.lag.record(sent.at.elapsed());
        }
        true
    }

    fn heard(&self) -> u64 {
        self.heard.load(Ordering::Acquire)
    }
}

/// Counts how long a channel was silent that should not be.
pub(super) struct Ear<'a> {
    canary: &'a Canary,
    /// Looks after which it counts as lost.
    most: u32,
    silent: u32,
    heard: u64,
    /// The server has taken the last canary.
    expects: bool,
}

impl<'a> Ear<'a> {
    pub(super) fn new(canary: &'a Canary, silence: Duration) -> Self {
        let most = u32::try_from(silence.as_millis() / LOOK.as_millis()).unwrap_or(u32::MAX);
        Self { canary, most: most.max(1), silent: 0, heard: canary.heard(), expects: false }
    }

    /// Whether the server took the canary; if it did not, silence means nothing.
    pub(super) fn published(&mut self, taken: bool) {
        self.expects = taken;
    }

    /// Looks whether anything was heard since the last look.
    pub(super) fn look(&mut self) -> Look {
        let heard = self.canary.heard();
        if heard != self.heard {
            (self.heard, self.silent) = (heard, 0);
            return Look::Heard;
        }
        self.silent += u32::from(self.expects);
        if self.silent >= self.most { Look::Lost } else { Look::Silent }
    }
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Something came in.
    Heard,
    /// Nothing did, for not too long or because nothing had to.
    Silent,
    /// Nothing did for too long.
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_are_told_from_messages() {
        let canary = Canary::new("test");
        let first = canary.next();
        assert!(canary.hears(&first));
        assert!(canary.hears(&canary.next()));
        assert!(canary.hears(&first), "a late one is none for others either");
        // An announcement begins with the tag of its first field.
        assert!(!canary.hears(&[10, 3, b'1', b'-', b'0']));
        assert_eq!(canary.heard(), 4);
    }

    #[test]
    fn silence_counts_while_the_server_takes_canaries_and_nothing_at_all_comes() {
        let canary = Canary::new("test");
        let mut ear = Ear::new(&canary, LOOK * 3);
        for _ in 0..10 {
            assert_eq!(ear.look(), Look::Silent, "nothing was published");
        }
        ear.published(true);
        assert_eq!([ear.look(), ear.look()], [Look::Silent; 2]);
        canary.hears(b"anything");
        assert_eq!(ear.look(), Look::Heard);
        assert_eq!([ear.look(), ear.look(), ear.look()], [Look::Silent, Look::Silent, Look::Lost]);

        let mut ear = Ear::new(&canary, LOOK * 3);
        ear.published(true);
        assert_eq!([ear.look(), ear.look()], [Look::Silent; 2]);
        ear.published(false);
        for _ in 0..10 {
            assert_eq!(ear.look(), Look::Silent, "the server was away");
        }
    }
}
