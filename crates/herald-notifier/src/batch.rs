//! Many notices in one call, each with an outcome of its own.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream, stream::FuturesUnordered};
use herald_core::UserId;
use herald_proto::api;
use tracing::Instrument as _;

use crate::{
    call::{Call, Context},
    error::Error,
    field::Path,
    send::{self, Begun},
    trace::{self, Operation},
    validate::{self, Sendable},
};

/// Users whose notices are dispatched side by side for one call.
const USERS_IN_FLIGHT: usize = 64;

/// An item as it came.
#[derive(Debug)]
pub(crate) struct Item {
    /// The caller's name for it.
    pub(crate) reference: String,
    /// The notice, if there is one and it could be read.
    pub(crate) notice: Result<Option<api::SendNoticeRequest>, Error>,
}

/// What became of an item.
#[derive(Debug)]
pub(crate) struct Done {
    /// The caller's name for it.
    pub(crate) reference: String,
    /// Its answer.
    pub(crate) result: Result<api::SendNoticeResponse, Error>,
}

/// Serves BatchSendNotices; `bytes` is the size of the request as it came. The results stand in
/// the items' order. Notices of one user are dispatched one after the other, in that order; what is
/// waited for is waited for side by side.
pub(crate) async fn send(
    context: &Context,
    call: &Call,
    items: Vec<Item>,
    bytes: usize,
) -> Result<Vec<Done>, Error> {
    let root = Path::root(call.names());
    validate::batch(items.len(), bytes, &root, &context.limits)?;
    let span = trace::batch(items.len());
    Ok(send_all(context, call, items, &root).instrument(span).await)
}

async fn send_all(context: &Context, call: &Call, items: Vec<Item>, root: &Path<'_>) -> Vec<Done> {
    let at = root.field("items");
    let mut users = Users::default();
    let mut done: Vec<(String, Option<Result<_, Error>>)> = Vec::with_capacity(items.len());
    for (index, Item { reference, notice }) in items.into_iter().enumerate() {
        let checked = notice.and_then(|notice| {
            validate::item(&reference, notice, &at.item(index), &context.limits)?.by(call.caller())
        });
        let refused = match checked {
            Ok(sendable) => {
                users.add(index, sendable);
                None
            }
            Err(error) => Some(Err(error)),
        };
        done.push((reference, refused));
    }

    let mut sending = stream::iter(users.queues)
        .map(|queue| send_in_order(context, call, queue))
        .buffer_unordered(USERS_IN_FLIGHT);
    let mut waiting = FuturesUnordered::new();
    while let Some(results) = sending.next().await {
        for (index, result) in results {
            match result {
                Ok(Begun::Answered(response)) => done[index].1 = Some(Ok(response)),
                Ok(begun) => waiting.push(async move { (index, begun.answer(call).await) }),
                Err(error) => done[index].1 = Some(Err(error)),
            }
        }
    }
    // Side by side: each has its own end, counted from its acceptance.
    while let Some((index, response)) = waiting.next().await {
        done[index].1 = Some(Ok(response));
    }
    done.into_iter()
        .map(|(reference, result)| {
            // Every item was refused above or is in a queue.
            let result = result.unwrap_or(Err(Error::Internal));
            send::tally(&context.metrics, &result);
            Done { reference, result }
        })
        .collect()
}

type Queue = Vec<(usize, Sendable)>;

/// The notices of each user, users in the order of their first.
#[derive(Default)]
struct Users {
    queues: Vec<Queue>,
    of: HashMap<UserId, usize>,
}

impl Users {
    fn add(&mut self, index: usize, sendable: Sendable) {
        let queue = *self.of.entry(sendable.user.clone()).or_insert_with(|| {
            self.queues.push(Queue::new());
            self.queues.len() - 1
        });
        self.queues[queue].push((index, sendable));
    }
}

/// Hands over one user's notices. One that fails, or is waited for, does not hold up those behind
/// it.
async fn send_in_order(
    context: &Context,
    call: &Call,
    queue: Queue,
) -> Vec<(usize, Result<Begun, Error>)> {
    let mut results = Vec::with_capacity(queue.len());
    for (index, sendable) in queue {
        results.push((index, send::begin(context, call, sendable, Operation::Create).await));
    }
    results
}
