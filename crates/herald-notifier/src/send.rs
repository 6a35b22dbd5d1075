//! One notice: into the inbox and to the gateways that own a session of its user. A volatile one
//! only to the gateways.

use herald_backplane::{Dispatched, Sent, Target};
use herald_core::{EventName, Notice, NoticeId, Payload, Place};
use herald_proto::{
    api::{self, Outcome, SessionState},
    time::timestamp_from_unix_ms,
};
use herald_service::telemetry::current_traceparent;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::{
    call::{Call, Context},
    error::{Error, Work},
    field::Path,
    metrics::{Dispatch, Metrics},
    receipts::{Known, Open, Waiting},
    trace::{self, Operation},
    validate::{self, Sendable, Way},
};

/// Serves SendNotice.
pub(crate) async fn send_notice(
    context: &Context,
    call: &Call,
    request: api::SendNoticeRequest,
) -> Result<api::SendNoticeResponse, Error> {
    let checked = validate::notice(request, &Path::root(call.names()), &context.limits)
        .and_then(|sendable| sendable.by(call.caller()));
    let result = match checked {
        Ok(sendable) => send(context, call, sendable).await,
        Err(error) => Err(error),
    };
    tally(&context.metrics, &result);
    result
}

/// Sends what was checked, and waits for what is asked. Success means accepted, or sent.
async fn send(
    context: &Context,
    call: &Call,
    sendable: Sendable,
) -> Result<api::SendNoticeResponse, Error> {
    Ok(begin(context, call, sendable, Operation::Send).await?.answer(call).await)
}

/// A notice that is accepted, or sent.
#[derive(Debug)]
pub(crate) enum Begun {
    /// There is nothing to wait for.
    Answered(api::SendNoticeResponse),
    /// Its receipts are awaited.
    Open(Open),
}

impl Begun {
    /// The answer, once it is known or its time is over.
    pub(crate) async fn answer(self, call: &Call) -> api::SendNoticeResponse {
        match self {
            Self::Answered(response) => response,
            Self::Open(mut open) => {
                let (place, duplicate) = (open.place(), open.is_duplicate());
                // On the heap, since most notices wait for nothing and are to be small.
                let known = Box::pin(open.until_known(call.end_of_waits())).await;
                awaited(place, duplicate, &known)
            }
        }
    }
}

/// Hands over what was checked. Success means accepted, or sent; what is to be waited for is there
/// to be waited for, at the same time as others.
pub(crate) async fn begin(
    context: &Context,
    call: &Call,
    sendable: Sendable,
    operation: Operation,
) -> Result<Begun, Error> {
    if call.is_late() {
        return Err(Error::NotTried);
    }
    let span = trace::notice(operation, sendable.payload.bytes().len());
    let begun = hand_over(context, call, sendable).instrument(span.clone()).await?;
    match &begun {
        Begun::Answered(response) => trace::accepted(&span, response),
        Begun::Open(open) => trace::awaited(&span, open.place(), open.is_duplicate()),
    }
    Ok(begun)
}

async fn hand_over(
    context: &Context,
    call: &Call,
    Sendable { user, event, payload, way }: Sendable,
) -> Result<Begun, Error> {
    let notice = Notice { event, payload, traceparent: current_traceparent() };
    let begun = match way {
        Way::Durable(mut terms, wait) => {
            let waiting = match wait {
                Some(wait) => Some(context.hub.begin(wait).await?),
                None => None,
            };
            terms.receipts = waiting.as_ref().map(Waiting::wanted);
            let started = Instant::now();
            let dispatch = context.port.dispatch_with(&user, &notice, &terms);
            let dispatched = call.backplane(Work::Send, dispatch).await?;
            let kind = if dispatched.duplicate { Dispatch::Duplicate } else { Dispatch::Appended };
            context.metrics.dispatched(kind, started.elapsed());
            match waiting {
                Some(waiting) => Begun::Open(waiting.dispatched(user, terms.ttl, dispatched)),
                None => Begun::Answered(accepted(dispatched)),
            }
        }
        Way::Volatile => {
            let started = Instant::now();
            let send = context.port.send_volatile(&user, &notice);
            let answer = sent(call.backplane(Work::Send, send).await?);
            context.metrics.dispatched(Dispatch::Volatile, started.elapsed());
            Begun::Answered(answer)
        }
    };
    Ok(begun)
}

/// Serves Broadcast.
pub(crate) async fn broadcast(
    context: &Context,
    call: &Call,
    request: api::BroadcastRequest,
) -> Result<api::BroadcastResponse, Error> {
    let (event, payload): (EventName, Payload) =
        validate::broadcast(request, &Path::root(call.names()), &context.limits)?;
    call.caller().may_reach_everybody()?;
    call.caller().may_send(&event)?;
    let notice = Notice { event, payload, traceparent: current_traceparent() };
    let told = call.backplane(Work::Send, context.port.broadcast(&notice)).await?;
    Ok(api::BroadcastResponse { gateways_told: u32::try_from(told).unwrap_or(u32::MAX) })
}

/// Counts what became of a notice.
pub(crate) fn tally(metrics: &Metrics, result: &Result<api::SendNoticeResponse, Error>) {
    match result {
        Ok(response) => {
            metrics.notice(response.outcome(), &response.counts.unwrap_or_default());
        }
        Err(error) => metrics.notice_failed(error.code()),
    }
}

fn accepted(dispatched: Dispatched) -> api::SendNoticeResponse {
    let Dispatched { place, duplicate, at_ms, targets, .. } = dispatched;
    let outcome = if targets.is_empty() { Outcome::Offline } else { Outcome::Accepted };
    response(NoticeId(place).to_string(), duplicate, outcome, at_ms, targets)
}

fn sent(Sent { id, at_ms, targets }: Sent) -> api::SendNoticeResponse {
    let outcome = if targets.is_empty() { Outcome::NoSession } else { Outcome::Sent };
    response(id.to_string(), false, outcome, at_ms, targets)
}

fn response(
    notice_id: String,
    duplicate: bool,
    outcome: Outcome,
    at_ms: u64,
    mut targets: Vec<Target>,
) -> api::SendNoticeResponse {
    targets.sort_by_key(|target| target.session.connected_at_ms);
    let (heard, unheard): (Vec<_>, Vec<_>) = targets.iter().partition(|target| target.heard);
    let counts = api::SessionCounts {
        accepted: count_of(&heard),
        unheard: count_of(&unheard),
        ..Default::default()
    };
    api::SendNoticeResponse {
        notice_id,
        duplicate,
        outcome: outcome.into(),
        // Nothing beyond it was asked for.
        wait_satisfied: true,
        counts: Some(counts),
        sessions: targets.into_iter().map(|target| session(target, at_ms)).collect(),
    }
}

/// What is known of a notice whose receipts were awaited.
fn awaited(place: Place, duplicate: bool, known: &Known<'_>) -> api::SendNoticeResponse {
    let Known { progress, at_the_end } = known;
    let mut counts = api::SessionCounts::default();
    let sessions = progress.sessions().into_iter().map(|seen| {
        let state = seen.state(*at_the_end);
        *count(&mut counts, state) += 1;
        api::SessionOutcome {
            session_id: seen.session.to_string(),
            gateway: seen.gateway_name.to_string(),
            namespace: seen.namespace.to_string(),
            device: seen.device.as_ref().map(ToString::to_string),
            state: state.into(),
            time: Some(timestamp_from_unix_ms(seen.at_ms)),
        }
    });
    api::SendNoticeResponse {
        notice_id: NoticeId(place).to_string(),
        duplicate,
        outcome: progress.outcome().into(),
        wait_satisfied: progress.is_satisfied(),
        sessions: sessions.collect(),
        counts: Some(counts),
    }
}

fn count(counts: &mut api::SessionCounts, state: SessionState) -> &mut u32 {
    match state {
        SessionState::Accepted => &mut counts.accepted,
        SessionState::Emitted => &mut counts.emitted,
        SessionState::Acked => &mut counts.acked,
        SessionState::Lagging => &mut counts.lagging,
        SessionState::Gone => &mut counts.gone,
        SessionState::Unheard => &mut counts.unheard,
        SessionState::Unknown | SessionState::Unspecified => &mut counts.unknown,
    }
}

fn count_of(targets: &[&Target]) -> u32 {
    u32::try_from(targets.len()).unwrap_or(u32::MAX)
}

/// What is known of one session, as of when the sessions were looked up.
fn session(Target { session, heard }: Target, at_ms: u64) -> api::SessionOutcome {
    let state = if heard { SessionState::Accepted } else { SessionState::Unheard };
    api::SessionOutcome {
        session_id: session.id.to_string(),
        gateway: session.gateway_name.to_string(),
        namespace: session.namespace.to_string(),
        device: session.device.map(|device| device.to_string()),
        state: state.into(),
        time: Some(timestamp_from_unix_ms(at_ms)),
    }
}

#[cfg(test)]
mod tests {
    use herald_core::{
        Device, Epoch, GatewayId, GatewayName, Namespace, Position, SessionId, SessionRecord,
        Transport, VolatileId,
    };

    use super::*;

    fn target(connected_at_ms: u64, heard: bool) -> Target {
        let session = SessionRecord {
            id: SessionId(connected_at_ms.into()),
            gateway: GatewayId(1),
            gateway_name: GatewayName::new("gateway-1:8013").unwrap(),
            namespace: Namespace::new("/notice").unwrap(),
            socket_id: "s".into(),
            connected_at_ms,
            transport: Transport::WebSocket,
            user_agent: None,
            device: (connected_at_ms == 1).then(|| Device::new("laptop").unwrap()),
        };
        Target { session, heard }
    }

    fn answer(targets: Vec<Target>) -> api::SendNoticeResponse {
        let position = Position { ms: 1_000, seq: 2 };
        let place = Place { position, random: 0xab };
        accepted(Dispatched { place, epoch: Epoch(1), duplicate: false, at_ms: 1_000, targets })
    }

    #[test]
    fn nobody_there_is_offline_and_still_accepted() {
        let answer = answer(vec![]);
        assert_eq!(answer.outcome(), Outcome::Offline);
        assert_eq!(answer.notice_id, "1000-2-000000ab");
        assert!(answer.wait_satisfied && !answer.duplicate && answer.sessions.is_empty());
    }

    #[test]
    fn sessions_are_told_one_by_one_in_the_order_they_connected() {
        let answer = answer(vec![target(3, true), target(1, true), target(2, false)]);
        assert_eq!(answer.outcome(), Outcome::Accepted);
        let states: Vec<SessionState> = answer.sessions.iter().map(|s| s.state()).collect();
        assert_eq!(states, [SessionState::Accepted, SessionState::Unheard, SessionState::Accepted]);
        let counts = answer.counts.unwrap();
        assert_eq!((counts.accepted, counts.unheard), (2, 1));
        let first = &answer.sessions[0];
        assert_eq!(
            (first.gateway.as_str(), first.namespace.as_str()),
            ("gateway-1:8013", "/notice")
        );
        assert_eq!(first.device.as_deref(), Some("laptop"));
        assert_eq!(answer.sessions[1].device, None);
        assert_eq!(first.time, Some(timestamp_from_unix_ms(1_000)));
    }

    #[test]
    fn a_volatile_notice_is_sent_or_nobody_is_there() {
        let sent = |targets| sent(Sent { id: VolatileId(0xab), at_ms: 1_000, targets });
        let nobody = sent(vec![]);
        assert_eq!(nobody.outcome(), Outcome::NoSession);
        assert_eq!(nobody.notice_id, "000000000000000000000000000000ab");
        let somebody = sent(vec![target(1, true), target(2, false)]);
        assert_eq!(somebody.outcome(), Outcome::Sent);
        let counts = somebody.counts.unwrap();
        assert_eq!((counts.accepted, counts.unheard), (1, 1));
    }

    #[test]
    fn a_notice_that_nobody_heard_is_accepted_all_the_same() {
        assert_eq!(answer(vec![target(1, false)]).outcome(), Outcome::Accepted);
    }
}
