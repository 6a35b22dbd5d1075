//! What gateways report: heard by notifiers, and kept beside the inbox.

use std::collections::HashMap;

use bytes::Bytes;
use herald_core::{GatewayId, InboxLimits, NoticeId, NotifierId, Place, SessionId, UserId};
use redis::{Cmd, Value};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Redis,
    dispatch::Listeners,
    error::{answer, unexpected},
    subscription::{Listener, Subscription},
};
use crate::{
    BackplaneError, Kept, KeptReport, KeptTarget, KeptTargets, Outgoing, ReceiptEvent,
    ReceiptEvents, Report, Reported, figures, wire,
};

/// Of one notice its targets, a roll call of one or two gateways and an acknowledgement or two.
const RECORDS_A_NOTICE: u64 = 4;

/// Records read at a time.
const PAGE: usize = 500;

/// How many records are kept of a user's notices, about: Redis removes whole blocks of a stream.
pub(super) fn most_kept(limits: &InboxLimits) -> u64 {
    u64::from(limits.notices).saturating_mul(RECORDS_A_NOTICE)
}

/// Puts reports into the notifier's queue, or drops and counts them.
struct Reports {
    events: mpsc::Sender<ReceiptEvent>,
    listening: watch::Sender<bool>,
}

impl Listener for Reports {
    fn hear(&self, message: Bytes) -> bool {
        let events = match wire::decode_reports(message) {
            Ok(events) => events,
            Err(error) => {
                tracing::warn!(%error, "reports dropped");
                figures::dropped("unreadable_reports");
                return false;
            }
        };
        let mut all = true;
        for event in events {
            if self.events.try_send(event).is_err() {
                figures::dropped("full_reports");
                all = false;
            }
        }
        all
    }

    async fn doubt(&self) -> bool {
        self.events.send(ReceiptEvent::Doubt).await.is_ok()
    }

    async fn closed(&self) {
        self.events.closed().await;
    }

    fn listens(&self, listens: bool) {
        self.listening.send_replace(listens);
    }
}

impl Redis {
    pub(crate) fn receipts(&self, id: NotifierId) -> ReceiptEvents {
        let (events, queue) = mpsc::channel(self.inner.options.channel_capacity);
        let (listening, follow) = watch::channel(false);
        let channel = self.inner.keys.notifier_channel(id);
        let reports = Reports { events, listening };
        let subscription = Subscription::new(self.clone(), "notifier", channel, reports);
        let health = subscription.health();
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(subscription.keep(None)));
        ReceiptEvents::new(id, queue, follow, health, stop.drop_guard())
    }

    /// On no connection of the hot path: notices come first.
    pub(crate) async fn report(&self, reports: &[Outgoing]) -> Result<Reported, BackplaneError> {
        let mut commands = self.keep(reports);
        let kept = commands.len();
        let (tell, counts): (Vec<_>, Vec<_>) = self.publish(reports).into_iter().unzip();
        commands.extend(tell);
        if commands.is_empty() {
            return Ok(Reported::default());
        }
        let mut answers = self.inner.servers.bulk(commands).await?.into_iter();
        // What cannot be kept of one user is no reason to tell nobody anything.
        for failed in answers.by_ref().take(kept).filter_map(Result::err) {
            tracing::warn!(error = %failed, "a receipt is not kept");
        }
        let mut reported = Reported::default();
        for (count, receivers) in counts.into_iter().zip(answers) {
            match answer::<u64>("a report", receivers)? {
                0 => reported.unheard += count,
                _ => reported.heard += count,
            }
        }
        Ok(reported)
    }

    /// What keeps the reports.
    fn keep(&self, reports: &[Outgoing]) -> Vec<(String, Cmd)> {
        let limits = &self.inner.options.inbox;
        let mut commands = Vec::new();
        for Outgoing { user, place, report, .. } in reports.iter().filter(|report| report.keep) {
            let key = self.inner.keys.receipts(user);
            let add = record(&key, limits, *place, "r", &wire::encode_report(report));
            commands.push((key, add));
        }
        commands
    }

    /// One message for each notifier, with the number of reports in it.
    fn publish(&self, reports: &[Outgoing]) -> Vec<((String, Cmd), usize)> {
        let mut of: HashMap<NotifierId, Vec<(u64, &Report)>> = HashMap::new();
        for Outgoing { to, report, .. } in reports {
            for wanted in to {
                of.entry(wanted.notifier).or_default().push((wanted.token, report));
            }
        }
        let message = |(notifier, reports): (NotifierId, Vec<_>)| {
            let (channel, count) = (self.inner.keys.notifier_channel(notifier), reports.len());
            let message = wire::encode_reports(reports.into_iter());
            let publish = self.inner.servers.publication(&channel, &message);
            ((channel, publish), count)
        };
        of.into_iter().map(message).collect()
    }

    /// Where the notifier publishes, the script cannot say who listened: what is said then is that
    /// somebody did not, which is rare. Whether this can be kept or not, the notice is accepted.
    pub(super) async fn keep_unheard(
        &self,
        user: &UserId,
        place: Place,
        at_ms: u64,
        listeners: &Listeners,
    ) {
        let deaf = listeners.iter().filter(|(_, listening)| *listening == 0);
        let deaf: String = deaf.map(|(gateway, _)| gateway.as_str()).collect();
        if deaf.is_empty() {
            return;
        }
        let key = self.inner.keys.receipts(user);
        let value = format!("{at_ms} {deaf}");
        let add = record(&key, &self.inner.options.inbox, place, "u", value.as_bytes());
        if let Err(error) = self.inner.servers.rare_command::<Value>(&key, add).await {
            tracing::warn!(%error, "who did not listen is not kept");
        }
    }

    /// From the newest record back to the notice's first, which tells its targets.
    pub(crate) async fn kept(&self, user: &UserId, place: Place) -> Result<Kept, BackplaneError> {
        let key = self.inner.keys.receipts(user);
        let notice = NoticeId(place).to_string();
        let (mut kept, mut before) = (Kept::default(), "+".to_owned());
        let mut deaf = Vec::new();
        'reading: loop {
            type Record = (String, Vec<(String, Vec<u8>)>);
            let mut ask = Cmd::new();
            ask.arg("XREVRANGE").arg(&key).arg(&before).arg("-").arg("COUNT").arg(PAGE);
            let page: Vec<Record> = self.inner.servers.rare_command(&key, ask).await?;
            let more = page.len() == PAGE;
            for (id, fields) in page {
                before = format!("({id}");
                let [(_, of), (kind, value)] = &fields[..] else { continue };
                if of != notice.as_bytes() {
                    continue;
                }
                match kind.as_str() {
                    "t" => {
                        kept.targets = Some(targets(value)?);
                        break 'reading;
                    }
                    "d" => kept.retries.push(targets(value)?),
                    "u" => deaf.push(unheard(value)?),
                    "r" => kept.reports.push(KeptReport {
                        at_ms: time_of(&id)?,
                        report: wire::decode_report(value.clone().into())?,
                    }),
                    // Of a newer version.
                    _ => {}
                }
            }
            if !more {
                break;
            }
        }
        kept.reports.reverse();
        kept.retries.reverse();
        for of in kept.targets.iter_mut().chain(&mut kept.retries) {
            let of_them = deaf.iter().filter(|(at_ms, _)| *at_ms == of.at_ms);
            let deaf: Vec<_> = of_them.flat_map(|(_, deaf)| deaf).collect();
            for target in &mut of.sessions {
                if deaf.contains(&&target.session.gateway) {
                    target.heard = Some(false);
                }
            }
        }
        Ok(kept)
    }
}

/// What adds a record of a notice to what is kept. That lives as long as the last notice of which its
/// targets were kept; where it has ended, or the user was purged, nothing is begun anew.
fn record(key: &str, limits: &InboxLimits, place: Place, kind: &str, value: &[u8]) -> Cmd {
    let mut add = Cmd::new();
    add.arg("XADD")
        .arg(key)
        .arg(&["NOMKSTREAM", "MAXLEN", "~"])
        .arg(most_kept(limits))
        .arg("*")
        .arg("n")
        .arg(NoticeId(place).to_string())
        .arg(kind)
        .arg(value);
    add
}

fn wrong(why: &dyn std::fmt::Display) -> BackplaneError {
    unexpected("kept receipts", why)
}

/// The time in a record's id.
fn time_of(id: &str) -> Result<u64, BackplaneError> {
    let (ms, _) = id.split_once('-').ok_or_else(|| wrong(&"an id without a time"))?;
    ms.parse().map_err(|error| wrong(&error))
}

/// The time that a record begins with, and what follows it.
fn timed(kept: &[u8]) -> Result<(u64, &[u8]), BackplaneError> {
    let at = kept.iter().position(|byte| *byte == b' ').ok_or_else(|| wrong(&"no time"))?;
    let at_ms = text(&kept[..at])?.parse().map_err(|error| wrong(&error))?;
    Ok((at_ms, &kept[at + 1..]))
}

fn text(bytes: &[u8]) -> Result<&str, BackplaneError> {
    std::str::from_utf8(bytes).map_err(|error| wrong(&error))
}

/// Gateways that turned out not to listen.
fn unheard(kept: &[u8]) -> Result<(u64, Vec<GatewayId>), BackplaneError> {
    let (at_ms, ids) = timed(kept)?;
    let ids = ids.chunks(GatewayId::DIGITS);
    let ids = ids.map(|id| text(id)?.parse().map_err(|error| wrong(&error)));
    Ok((at_ms, ids.collect::<Result<_, _>>()?))
}

/// The targets as `receipts.lua` writes them.
fn targets(kept: &[u8]) -> Result<KeptTargets, BackplaneError> {
    let (at_ms, mut rest) = timed(kept)?;
    let mut sessions = Vec::new();
    while !rest.is_empty() {
        let mut take = |count: usize| {
            let (taken, left) =
                rest.split_at_checked(count).ok_or_else(|| wrong(&"targets cut short"))?;
            rest = left;
            Ok::<_, BackplaneError>(taken)
        };
        let id = take(SessionId::DIGITS)?;
        let heard = match take(1)? {
            b"1" => Some(true),
            b"0" => Some(false),
            _ => None,
        };
        let size = usize::from_str_radix(text(take(4)?)?, 16).map_err(|error| wrong(&error))?;
        let session = wire::decode_session(id, take(size)?)?;
        sessions.push(KeptTarget::of(&session, heard));
    }
    Ok(KeptTargets { at_ms, sessions })
}
