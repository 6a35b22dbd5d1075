//! What gateways report: heard by notifiers, and kept beside the inbox.

use std::collections::HashMap;

use bytes::Bytes;
use herald_core::{GatewayId, InboxLimits, NoticeId, NotifierId, Place, SessionId, UserId};
use redis::Cmd;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Redis,
    error::{answer, unexpected},
    millis,
    subscription::{Listener, Subscription},
};
use crate::{
    BackplaneError, Kept, Outgoing, ReceiptEvent, ReceiptEvents, Report, Reported,
    events::count_dropped, wire,
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
        let reports = match wire::decode_reports(message) {
            Ok(reports) => reports,
            Err(error) => {
                tracing::warn!(%error, "reports dropped");
                count_dropped("unreadable_reports");
                return false;
            }
        };
        let mut all = true;
        for (token, report) in reports {
            if self.events.try_send(ReceiptEvent::Report { token, report }).is_err() {
                count_dropped("full_reports");
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
            let (mut add, mut prolong) = (Cmd::new(), Cmd::new());
            add.arg("XADD")
                .arg(&key)
                .arg(&["MAXLEN", "~"])
                .arg(most_kept(limits))
                .arg("*")
                .arg("n")
                .arg(NoticeId(*place).to_string())
                .arg("r")
                .arg(wire::encode_report(report));
            prolong.arg("PEXPIRE").arg(&key).arg(millis(limits.age));
            commands.extend([(key.clone(), add), (key, prolong)]);
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

    /// From the newest record back to the notice's first, which tells its targets.
    pub(crate) async fn kept(&self, user: &UserId, place: Place) -> Result<Kept, BackplaneError> {
        let key = self.inner.keys.receipts(user);
        let notice = NoticeId(place).to_string();
        let (mut kept, mut before) = (Kept::default(), "+".to_owned());
        'reading: loop {
            type Record = (String, Vec<(String, Vec<u8>)>);
            let mut ask = Cmd::new();
            ask.arg("XREVRANGE").arg(&key).arg(&before).arg("-").arg("COUNT").arg(PAGE);
            let page: Vec<Record> = self.inner.servers.rare_command(&key, ask).await?;
            let more = page.len() == PAGE;
            for (id, fields) in page {
                before = format!("({id}");
                match &fields[..] {
                    [(_, of), (kind, value)] if of == notice.as_bytes() => match kind.as_str() {
                        "t" => {
                            kept.targets = Some(targets(value)?);
                            break 'reading;
                        }
                        _ => kept.reports.push(wire::decode_report(value.clone().into())?),
                    },
                    _ => {}
                }
            }
            if !more {
                break;
            }
        }
        kept.reports.reverse();
        Ok(kept)
    }
}

/// The targets as `receipts.lua` writes them.
fn targets(kept: &[u8]) -> Result<Vec<(SessionId, GatewayId)>, BackplaneError> {
    let wrong = |why: &dyn std::fmt::Display| unexpected("kept receipts", why);
    let text = std::str::from_utf8(kept).map_err(|error| wrong(&error))?;
    let (targets, rest) = text.as_bytes().as_chunks::<{ SessionId::DIGITS + GatewayId::DIGITS }>();
    if !rest.is_empty() {
        return Err(wrong(&"targets of another length"));
    }
    targets
        .iter()
        .map(|target| {
            let (session, gateway) = target.split_at(SessionId::DIGITS);
            let text = |digits| std::str::from_utf8(digits).map_err(|error| wrong(&error));
            Ok((
                text(session)?.parse().map_err(|error| wrong(&error))?,
                text(gateway)?.parse().map_err(|error| wrong(&error))?,
            ))
        })
        .collect()
}
