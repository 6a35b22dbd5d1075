//! What the gateway hears: notices for its sessions, and that it may have missed some.

use std::sync::Arc;

use herald_backplane::{Announced, GatewayEvent, GatewayEvents, VolatileNotice};
use herald_core::{GatewayId, NoticeId, UserId};

use crate::{
    catch_up,
    context::Context,
    emit::{Packet, VolatilePacket},
    ending, figures, places,
    session::ledger::Due,
    trace,
};

/// Events handled before other tasks get their turn, at the latest.
const BURST: usize = 64;

/// Handles events until the `lease` they belong to is lost, or the stream ends.
pub(crate) async fn consume(context: &Arc<Context>, lease: GatewayId, events: &mut GatewayEvents) {
    let mut handled = 0;
    while let Some(event) = events.next().await {
        match event {
            GatewayEvent::Notice(announced) => {
                let notice = announced.notice.as_ref();
                let traceparent = notice.and_then(|notice| notice.traceparent.as_deref());
                let id = NoticeId(announced.place);
                trace::deliver(traceparent, id)
                    .in_scope(|| to_sessions(context, lease, &announced));
            }
            GatewayEvent::Volatile(user, notice) => {
                let traceparent = notice.notice.traceparent.as_deref();
                trace::deliver(traceparent, notice.id)
                    .in_scope(|| now_or_never(context, &user, &notice));
            }
            GatewayEvent::Broadcast(notice) => context.broadcasts.offer(notice),
            GatewayEvent::End(order) => ending::obey(context, &order),
            GatewayEvent::AskPlaces(user, to) => places::tell(context, lease, &user, to),
            GatewayEvent::Doubt => context.audits.channel_doubted(),
            GatewayEvent::LeaseLost => return,
        }
        handled += 1;
        if handled % BURST == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// A notice that is in no inbox, for the sessions that the user has right now.
fn now_or_never(context: &Context, user: &UserId, notice: &VolatileNotice) {
    let Some(sessions) = context.sessions.of(user) else {
        context.figures.strays.increment(1);
        return;
    };
    let packet = VolatilePacket::new(notice);
    let given = sessions.iter().filter(|session| session.emit_volatile(&packet, &context.figures));
    let given = given.count();
    if let Some(age) = figures::age(notice.sent_at_ms, context.clock.now_ms()) {
        context.figures.volatile_seconds.record_many(age, given);
    }
}

fn to_sessions(context: &Arc<Context>, lease: GatewayId, announced: &Announced) {
    context.figures.announced.increment(1);
    let sessions = context.sessions.of(&announced.user).unwrap_or_else(|| {
        context.figures.strays.increment(1);
        Arc::new([])
    });
    let (mut receipts, mut given) = (Vec::new(), 0);
    let notice = announced.notice.as_ref();
    let packet = notice.map(|notice| Packet::new(notice, announced.place));
    for session in sessions.iter() {
        let heard = session.announce(announced, packet.as_ref(), &context.figures);
        if let Some(doubt) = heard.doubt {
            catch_up::start(context, Arc::clone(session), Some(doubt));
        }
        given += usize::from(heard.given);
        receipts.extend(heard.receipt);
    }
    if let Some(age) = figures::age(announced.place.position.ms, context.clock.now_ms()) {
        context.figures.live_seconds.record_many(age, given);
    }
    if let Some(wanted) = announced.receipts {
        let due = Due { to: vec![wanted], keep: wanted.acks };
        context.receipts.report(&announced.user, announced.place, due, Some(lease), receipts);
    }
}
