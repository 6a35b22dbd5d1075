//! What became of one notice, for a person who looks for it.
//!
//! Put together from what is there already: the inbox, what was recorded of the notice's way, the
//! registry, and the answers of the gateways that hold a session of the user. Reading it changes
//! nothing, and sending pays for nothing of it.

mod missing;
mod now;
mod timeline;
mod way;
mod words;

use std::collections::HashMap;

use herald_backplane::{Found, Kept};
use herald_core::{InboxLimits, NoticeId, Place, SessionId, UserId};
use herald_proto::{
    api::{self, FindingSource, InboxStanding},
    time::{duration_from_std, timestamp_from_unix_ms},
};

use self::{now::Now, way::Way};
use crate::{
    call::{Call, Context},
    error::{Error, Work},
    field::Path,
    validate,
};

/// Sessions told of, and entries of the time line.
const LISTED: usize = 1_000;

/// Everything that is known.
#[derive(Debug)]
struct Facts {
    user: UserId,
    place: Place,
    limits: InboxLimits,
    found: Found,
    kept: Kept,
    /// Of the sessions that are registered.
    now: HashMap<SessionId, Now>,
}

/// Serves ExplainNotice.
pub(crate) async fn explain_notice(
    context: &Context,
    call: &Call,
    request: api::ExplainNoticeRequest,
) -> Result<api::ExplainNoticeResponse, Error> {
    let (user, place) = validate::explanation(&request, &Path::root(call.names()))?;
    call.caller().may_reach(&user)?;
    let port = &context.port;
    let look = async { tokio::try_join!(port.find(&user, place), port.kept(&user, place)) };
    let (found, kept) = call.backplane(Work::Read, look).await?;
    let limits = context.limits.inbox;
    if found.notice.is_none() && !is_recorded(&kept) {
        return Err(Error::NoNotice(missing::why(place, &found, &limits)));
    }
    let now = call.backplane(Work::Read, now::look(context, &user, call.end_of_waits())).await?;
    Ok(Facts { user, place, limits, found, kept, now }.tell())
}

/// Whether anything at all was.
fn is_recorded(kept: &Kept) -> bool {
    kept.targets.is_some() || !kept.retries.is_empty() || !kept.reports.is_empty()
}

impl Facts {
    /// Where the notice stands. What was never there was not even asked for the rest.
    fn standing(&self) -> InboxStanding {
        let below_floor = |floor| self.place.position <= floor;
        match (&self.found.notice, &self.found.inbox) {
            (Some(found), _) => match found.notice.expires_at_ms {
                expires if expires != 0 && expires <= self.found.at_ms => InboxStanding::Expired,
                _ => InboxStanding::Kept,
            },
            (None, Some(inbox)) if below_floor(inbox.floor) => InboxStanding::Removed,
            (None, _) => InboxStanding::Lost,
        }
    }

    fn tell(&self) -> api::ExplainNoticeResponse {
        let mut ways = way::all(self);
        let (mut timeline, gateways) = (timeline::all(self, &ways), self.gateways(&ways));
        let truncated = ways.len() > LISTED || timeline.len() > LISTED;
        let summary = words::summary(self, &ways, gateways.len());
        ways.truncate(LISTED);
        timeline.truncate(LISTED);
        let notice = self.found.notice.as_ref();
        let expires = notice.map(|found| found.notice.expires_at_ms).filter(|expires| *expires > 0);
        api::ExplainNoticeResponse {
            notice_id: NoticeId(self.place).to_string(),
            read_time: Some(timestamp_from_unix_ms(self.found.at_ms)),
            create_time: Some(timestamp_from_unix_ms(self.place.position.ms)),
            standing: self.standing().into(),
            summary,
            event: notice.map(|found| found.notice.notice.event.to_string()),
            stored_bytes: notice.map(|found| u32::try_from(found.size).unwrap_or(u32::MAX)),
            expire_time: expires.map(timestamp_from_unix_ms),
            recorded: self.kept.targets.is_some(),
            retention: Some(duration_from_std(self.limits.age)),
            retries: u32::try_from(self.kept.retries.len()).unwrap_or(u32::MAX),
            gateways,
            sessions: ways.iter().map(|way| self.session(way)).collect(),
            timeline,
            truncated,
        }
    }

    /// Those that were told when the notice was accepted.
    fn gateways(&self, ways: &[Way]) -> Vec<api::GatewayTrace> {
        let mut gateways: Vec<api::GatewayTrace> = Vec::new();
        for way in ways.iter().filter(|way| way.target.is_some()) {
            let gateway = way.gateway_name.to_string();
            if gateways.iter().any(|known| known.gateway == gateway) {
                continue;
            }
            let hearing = way.hearing();
            let of_it = |name: &str| name == gateway;
            let reported =
                self.kept.reports.iter().any(|kept| of_it(kept.report.gateway_name.as_str()));
            let text = words::gateway(&gateway, hearing, reported);
            gateways.push(api::GatewayTrace { gateway, hearing: hearing.into(), reported, text });
        }
        gateways.sort_by(|one, other| one.gateway.cmp(&other.gateway));
        gateways
    }

    fn session(&self, way: &Way) -> api::SessionTrace {
        let (text, source): (String, FindingSource) = words::session(self, way);
        let (state, state_at_ms) = way.state();
        api::SessionTrace {
            session_id: way.session.to_string(),
            gateway: way.gateway_name.to_string(),
            namespace: way.namespace.to_string(),
            device: way.device.as_ref().map(ToString::to_string),
            connect_time: Some(timestamp_from_unix_ms(way.connected_at_ms)),
            target: way.target.is_some(),
            state: state.into(),
            state_time: state_at_ms.map(timestamp_from_unix_ms),
            emit_time: way.emitted.map(|emitted| timestamp_from_unix_ms(emitted.at_ms)),
            replayed: way.emitted.is_some_and(|emitted| emitted.replayed),
            gone_reason: way.gone_reason().into(),
            place: way.place(self).into(),
            source: source.into(),
            text,
        }
    }
}
