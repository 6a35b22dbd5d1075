//! What is done for each notice on its way to and from Redis, without Redis: for the benches, and
//! nothing to build on.

use bytes::Bytes;
use herald_core::{Notice, UserId};

use super::{
    Scripts,
    accepted::Accepted,
    dispatch::{Calls, Order, answers},
    error::classify,
    keys::Keys,
};
use crate::{BackplaneError, BackplaneOptions, Dispatched, OpenError, Terms, wire};

/// A notifier's end of Redis.
#[derive(Debug)]
pub struct Desk {
    keys: Keys,
    calls: Calls,
    inline_bytes: usize,
}

impl Desk {
    /// One that writes calls for one server.
    ///
    /// # Errors
    /// [`OpenError`] for a key prefix that is none.
    pub fn new(options: &BackplaneOptions) -> Result<Self, OpenError> {
        let keys = Keys::new(&options.key_prefix)?;
        let calls = Calls::new(Scripts::new(true).dispatch, &keys, options);
        Ok(Self { keys, calls, inline_bytes: options.inline_bytes })
    }

    /// The call for these notices, as it is written to Redis.
    #[must_use]
    pub fn call<'a>(&self, notices: impl Iterator<Item = (&'a UserId, &'a Notice)>) -> Vec<u8> {
        const DEADLINE: i64 = 1_764_000_005_000;
        let terms = Terms::default();
        let order =
            |(user, notice)| Order::new(&self.keys, self.inline_bytes, user, notice, &terms);
        let orders: Vec<Order> = notices.map(order).collect();
        self.calls.of(orders.iter().map(|order| (order, DEADLINE))).get_packed_command()
    }

    /// What became of each notice of a call, as Redis answers.
    ///
    /// # Errors
    /// [`BackplaneError`] if Redis would not answer like that.
    pub fn answered(&self, answer: &[u8]) -> Result<Vec<Dispatched>, BackplaneError> {
        let answer = redis::parse_redis_value(answer).map_err(classify)?;
        let each = answers(answer).into_iter().map(|answer| {
            let mut accepted = Accepted::read(answer.map_err(classify)?)?;
            let (_, listeners) = accepted.take_told();
            accepted.dispatched(listeners)
        });
        each.collect()
    }
}

/// How many events a gateway makes of what came on its channel.
///
/// # Errors
/// [`BackplaneError`] if one of them is not readable.
pub fn heard(message: Bytes) -> Result<usize, BackplaneError> {
    let mut all = Ok(0);
    wire::decode_messages(message, |queued| {
        all = match (&all, queued) {
            (Ok(heard), Ok(_)) => Ok(heard + 1),
            (_, Err(error)) => Err(error),
            (Err(_), _) => return,
        };
    });
    all
}
