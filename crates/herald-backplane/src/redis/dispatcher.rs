//! Many notices in one call: a lone one goes at once, and those that come while others are under way
//! go together.
//!
//! A call has a price of its own, to Redis most of all: the script's beginning, a transaction in the
//! append-only file, a message on each gateway's channel. Under load it is shared. Nobody waits for
//! a call to fill up: as many are under way as keep Redis busy, and what comes meanwhile is the next.
//!
//! Only where one server has all keys and publishes by itself. On a cluster notices are in as many
//! slots as there are users; and what waits for replicas has a connection to itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use redis::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout_at,
};

use super::{
    dispatch::{Calls, Order, answers},
    lanes::{Attempt, Failed, Lanes, Traffic},
    millis,
};
use crate::figures::DispatchFigures;

/// Calls under way: while Redis works on one, the answer of another is read.
const UNDER_WAY: usize = 2;

/// Notices in one call, at most; a script must not keep others waiting for long.
const TOGETHER: usize = 64;

/// Bytes in one call, about, for the same reason.
const TOGETHER_BYTES: usize = 256 << 10;

/// Notices that may wait to be taken. Their callers wait beyond that, within their deadline.
const QUEUE: usize = 4_096;

/// What has less time left is not sent any more: the answer would come too late, and it is better told
/// that nothing happened than that nobody knows.
const LEAST: Duration = Duration::from_millis(10);

/// A way to the server on which notices travel together. Dropping it ends its task.
#[derive(Debug)]
pub(super) struct Dispatcher {
    queue: mpsc::Sender<Waiting>,
}

/// A notice that waits to be taken.
#[derive(Debug)]
struct Waiting {
    order: Arc<Order>,
    until: Instant,
    answer: oneshot::Sender<Result<Value, Failed>>,
}

impl Dispatcher {
    pub(super) fn open(lanes: Arc<Lanes>, calls: Arc<Calls>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(run(waiting, lanes, calls));
        Self { queue }
    }

    /// What the script gives of a notice, until then.
    pub(super) async fn accept(&self, order: Arc<Order>, until: Instant) -> Result<Value, Failed> {
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { order: Arc::clone(&order), until, answer };
        let answer = async {
            self.queue.send(waiting).await.ok()?;
            answered.await.ok()
        };
        if let Ok(Some(answer)) = timeout_at(until.into(), answer).await {
            return answer;
        }
        Err(if order.claim() {
            Failed::Away("the notice could not be sent to Redis in time".into())
        } else {
            // The call that it was in tells what is wrong with the server.
            Failed::Late("Redis did not answer in time".into())
        })
    }
}

async fn run(mut waiting: mpsc::Receiver<Waiting>, lanes: Arc<Lanes>, calls: Arc<Calls>) {
    let (mut under_way, figures) = (FuturesUnordered::new(), DispatchFigures::new());
    loop {
        tokio::select! {
            Some(()) = under_way.next() => {}
            first = waiting.recv(), if under_way.len() < UNDER_WAY => {
                let Some(first) = first else { break };
                // Who is about to hand something in comes along.
                tokio::task::yield_now().await;
                let batch = together(first, &mut waiting);
                if !batch.is_empty() {
                    figures.taken(batch.len(), waiting.len());
                    under_way.push(send(&lanes, &calls, batch));
                }
            }
        }
    }
    while under_way.next().await.is_some() {}
}

/// Those that wait now, as far as one call takes them, but for those that nobody waits for any more, or
/// will in a moment.
fn together(first: Waiting, waiting: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let (mut batch, mut bytes, mut next) = (Vec::new(), 0, Some(first));
    let in_time = Instant::now() + LEAST;
    while let Some(one) = next {
        if !one.answer.is_closed() && one.until > in_time && one.order.claim() {
            bytes += one.order.size();
            batch.push(one);
        }
        let more = batch.len() < TOGETHER && bytes < TOGETHER_BYTES;
        next = if more { waiting.try_recv().ok() } else { None };
    }
    batch
}

async fn send(lanes: &Lanes, calls: &Calls, batch: Vec<Waiting>) {
    let began = Instant::now();
    let until = batch.iter().map(|one| one.until).max().unwrap_or(began);
    // Of each its own deadline.
    let earlier = |one: &Waiting| {
        i64::try_from(millis(until.saturating_duration_since(one.until))).unwrap_or(i64::MAX)
    };
    let attempt =
        Attempt { traffic: Traffic::Hot, until, script: Some(&calls.script), asking: false };
    let call = lanes
        .call(attempt, |deadline| {
            calls.of(batch.iter().map(|one| (&*one.order, deadline.saturating_sub(earlier(one)))))
        })
        .await;
    let figures = &calls.script.figures;
    // What failed is counted of each notice.
    figures.ended(began, &Ok(()));
    let mut each = call.map(|value| answers(value).into_iter());
    for one in batch {
        let answer = match &mut each {
            Ok(each) => match each.next() {
                Some(answer) => answer.map_err(|error| {
                    lanes.look_into(&error);
                    Failed::Redis(error)
                }),
                None => Err(Failed::Late("the script did not answer for every notice".into())),
            },
            Err(failed) => Err(failed.clone()),
        };
        if let Err(failed) = &answer {
            figures.failed(&failed.clone().into());
        }
        // Who gave up meanwhile does not know what became of it, and has said so.
        let _ = one.answer.send(answer);
    }
}
