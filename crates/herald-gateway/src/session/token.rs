//! The token that a session stands on: when it ends, and another one in its place.

use std::{
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use super::{Session, Stage};
use crate::{
    auth::Identity,
    emit::{self, Outcome},
    expiry::now_ms,
};

/// What is known of the token that the session stands on.
#[derive(Debug)]
pub(super) struct Token {
    /// When it ends, in milliseconds since 1970.
    ends_at_ms: Option<u64>,
    /// The client was told that it will.
    told: bool,
    /// Another one is being looked at.
    renewing: bool,
}

impl Token {
    pub(super) fn of(identity: &Identity) -> Self {
        Self { ends_at_ms: identity.ends_at_ms, told: false, renewing: false }
    }
}

impl Session {
    /// How long the session's token is good for; `None` if it does not end.
    pub(crate) fn token_left(&self) -> Option<Duration> {
        let ends = self.token().ends_at_ms?;
        Some(Duration::from_millis(ends.saturating_sub(now_ms())))
    }

    /// Tells the client, once for a token, that it ends. `Full`: not yet, for another reason too.
    pub(crate) fn tell_expiring(&self, left: Duration) -> Outcome {
        if self.token().told {
            return Outcome::Taken;
        }
        let flow = self.lock();
        if matches!(flow.stage, Stage::New { .. }) || !flow.waiting.is_empty() {
            return Outcome::Full;
        }
        let outcome = emit::token_expiring(&self.socket, left);
        self.token().told |= outcome == Outcome::Taken;
        outcome
    }

    /// Whether a new token may be looked at now: one at a time. It ends with
    /// [`renewed`](Self::renewed).
    pub(crate) fn begin_renewal(&self) -> bool {
        !std::mem::replace(&mut self.token().renewing, true)
    }

    /// A token was looked at; if it is the user's, the session stands on it from now on.
    pub(crate) fn renewed(&self, identity: Option<&Identity>) {
        let mut token = self.token();
        token.renewing = false;
        if let Some(identity) = identity {
            token.ends_at_ms = identity.ends_at_ms;
            token.told = false;
        }
    }

    fn token(&self) -> MutexGuard<'_, Token> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
