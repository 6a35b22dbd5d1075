//! Accepting notices: one script, one round trip.

use std::{
    iter,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::join_all};
use herald_core::{Epoch, GatewayId, Notice, UserId};
use redis::{Cmd, RedisResult, Value};
use tracing::Instrument as _;

use super::{
    Inner, Redis,
    accepted::Accepted,
    error::{classify, unexpected},
    eval,
    keys::Keys,
    lives::Lives,
    millis, receipts,
    script::Script,
};
use crate::{
    BackplaneError, BackplaneOptions, Dispatched, Key, Target, Terms, figures, trace, wire,
};

/// Sessions as the registry has them, when a script gives them in a list: ids and entries.
pub(super) type Sessions = Vec<(Vec<u8>, Vec<u8>)>;

/// What a script that publishes gives of it: nothing and the listeners or, where it may not publish
/// itself, the message and who is to be told.
pub(super) type Told = (Vec<u8>, Listeners);

/// Gateways, and how many listened to the channel of each.
pub(super) type Listeners = Vec<(String, u64)>;

/// One notice, as the script takes it.
#[derive(Debug)]
pub(super) struct Order {
    /// Of its user; the one of receipts too, if they are to be kept.
    keys: Vec<String>,
    epoch: String,
    random: String,
    stored: Vec<u8>,
    ttl_ms: u64,
    announcement: Vec<u8>,
    /// What stands before the stored notice in the announcement; nothing if it is too large for it.
    tag: Bytes,
    key: String,
    digest: String,
    keeps_receipts: bool,
    claimed: AtomicBool,
}

impl Order {
    pub(super) fn new(
        all: &Keys,
        inline_bytes: usize,
        user: &UserId,
        notice: &Notice,
        terms: &Terms,
    ) -> Self {
        let stored = wire::encode_notice(notice, terms.receipts);
        let size = stored.len() + terms.ttl.map_or(0, |_| wire::EXPIRY_BYTES);
        let inline = size <= inline_bytes;
        let mut keys = all.inbox(user).to_vec();
        let keeps_receipts = terms.receipts.is_some_and(|receipts| receipts.acks);
        if keeps_receipts {
            keys.push(all.receipts(user));
        }
        let (key, digest) = match &terms.key {
            None => Default::default(),
            // A separator that stands in neither.
            Some(Key { caller, key }) => {
                (format!("{caller}\0{key}"), wire::digest(notice, terms.ttl))
            }
        };
        Self {
            keys,
            epoch: Epoch::random().to_string(),
            random: format!("{:08x}", rand::random::<u32>()),
            stored,
            ttl_ms: terms.ttl.map_or(0, millis),
            announcement: wire::encode_announcement(user, terms.receipts),
            tag: if inline { wire::encode_notice_tag(size) } else { Bytes::new() },
            key,
            digest,
            keeps_receipts,
            claimed: AtomicBool::new(false),
        }
    }

    /// Whether the caller is the first to claim it: who is about to send it, or who gives it up and
    /// thereby knows that it never will be.
    pub(super) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Bytes that it makes a call larger by, about.
    pub(super) fn size(&self) -> usize {
        self.stored.len() + self.announcement.len()
    }
}

/// The script, with what it is told in every call.
#[derive(Debug)]
pub(super) struct Calls {
    pub(super) script: Script,
    common: Vec<String>,
}

impl Calls {
    pub(super) fn new(script: Script, keys: &Keys, options: &BackplaneOptions) -> Self {
        let limits = &options.inbox;
        let lives = Lives::of(limits);
        let figures = [
            u64::from(limits.notices),
            limits.bytes,
            millis(limits.age),
            lives.state,
            lives.inbox,
            lives.long_enough,
            millis(options.key_age),
            receipts::most_kept(limits),
        ];
        let figures = figures.iter().map(ToString::to_string);
        Self { script, common: iter::once(keys.gateway_channels()).chain(figures).collect() }
    }

    /// The call for notices, each with its deadline in ms of Redis' clock.
    pub(super) fn of<'a>(&self, orders: impl Iterator<Item = (&'a Order, i64)> + Clone) -> Cmd {
        let keys: Vec<&String> = orders.clone().flat_map(|(order, _)| &order.keys).collect();
        let mut call = eval(&self.script, &keys);
        call.arg(&self.common);
        for (order, deadline) in orders {
            call.arg(deadline)
                .arg(&order.epoch)
                .arg(&order.random)
                .arg(&order.stored[..])
                .arg(order.ttl_ms)
                .arg(&order.announcement[..])
                .arg(&order.tag[..])
                .arg(&order.key)
                .arg(&order.digest)
                .arg(u8::from(order.keeps_receipts));
        }
        call
    }
}

/// What the script gave of each notice.
pub(super) fn answers(value: Value) -> Vec<RedisResult<Value>> {
    let Value::Array(answers) = value else { return Vec::new() };
    let each = answers.into_iter().map(|answer| match answer {
        Value::Array(refusal) if refusal.len() == 1 => refused(&refusal[0]),
        accepted => Ok(accepted),
    });
    each.collect()
}

/// A refusal, as the server says it where it is the only answer.
fn refused(why: &Value) -> RedisResult<Value> {
    let why: String = redis::from_redis_value_ref(why)?;
    redis::parse_redis_value(format!("-{}\r\n", why.replace(['\r', '\n'], " ")).as_bytes())?
        .extract_error()
}

impl Inner {
    /// What the script gives of a notice.
    async fn accept(&self, order: Arc<Order>) -> Result<Value, BackplaneError> {
        if let Some(dispatcher) = &self.dispatcher {
            return Ok(dispatcher.accept(order, self.servers.until()).await?);
        }
        let call = |deadline: i64| self.calls.of(iter::once((&*order, deadline)));
        // On the heap, since most notices do not go this way and their futures are to be small.
        let answer = self.servers.lasting_script(&order.keys[0], &self.calls.script, call).boxed();
        match answers(answer.await?).pop() {
            Some(answer) => answer.map_err(classify),
            None => Err(unexpected("dispatch", "no answer")),
        }
    }
}

impl Redis {
    pub(crate) async fn dispatch(
        &self,
        user: &UserId,
        notice: &Notice,
        terms: &Terms,
    ) -> Result<Dispatched, BackplaneError> {
        let Inner { keys, options, .. } = &*self.inner;
        // On the heap, since it is handed on several times, and stands in each future on its way.
        let order = Arc::new(Order::new(keys, options.inline_bytes, user, notice, terms));
        let keeps_receipts = order.keeps_receipts;
        let answer = self.inner.accept(order).instrument(trace::script("dispatch")).await?;
        let mut accepted = Accepted::read(answer)?;
        let told = accepted.take_told();
        let publishes = !told.0.is_empty();
        let listeners = self.tell(told).await;
        if keeps_receipts && publishes {
            self.keep_unheard(user, accepted.place, accepted.at_ms, &listeners).await;
        }
        accepted.dispatched(listeners)
    }
}

impl Redis {
    /// Tells the gateways that a script gave, where it did not do so itself. What is published here
    /// stands already: who cannot be told was not heard of, and the gateway finds it by itself.
    pub(super) async fn tell(&self, (message, gateways): Told) -> Listeners {
        if message.is_empty() {
            return gateways;
        }
        let channels = self.inner.keys.gateway_channels();
        let telling = gateways.into_iter().map(async |(gateway, _)| {
            let channel = format!("{channels}{gateway}");
            let heard = self.inner.servers.publish(&channel, &message).await;
            let listening = heard.unwrap_or_else(|error| {
                tracing::debug!(channel, %error, "not published");
                metrics::counter!(figures::UNPUBLISHED).increment(1);
                0
            });
            (gateway, listening)
        });
        join_all(telling).await
    }
}

/// The sessions that were looked up, each with whether its gateway was listening.
pub(super) fn targets(
    sessions: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)],
    listeners: Listeners,
) -> Result<Vec<Target>, BackplaneError> {
    let listeners: Vec<(GatewayId, u64)> = listeners
        .into_iter()
        .map(|(gateway, count)| Ok((gateway.parse()?, count)))
        .collect::<Result<_, herald_core::IdError>>()
        .map_err(|error| unexpected("dispatch", error))?;
    sessions
        .iter()
        .map(|(id, value)| {
            let session = wire::decode_session(id.as_ref(), value.as_ref())?;
            // A user's gateways are few.
            let listens = |(id, count): &(GatewayId, u64)| *id == session.gateway && *count > 0;
            let heard = listeners.iter().any(listens);
            Ok(Target { session, heard })
        })
        .collect()
}
