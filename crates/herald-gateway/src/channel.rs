//! What the gateway hears: notices for its sessions, and that it may have missed some.

use std::sync::Arc;

use herald_backplane::{Announced, GatewayEvent, GatewayEvents};
use herald_service::telemetry::TraceContext;
use tracing::{Level, info_span};

use crate::{catch_up, context::Context, delivery::Doubt, emit::Packet};

/// Events handled before other tasks get their turn, at the latest.
const BURST: usize = 64;

/// Handles events until the lease they belong to is lost, or the stream ends.
pub(crate) async fn consume(context: &Arc<Context>, events: &mut GatewayEvents) {
    let mut handled = 0;
    while let Some(event) = events.next().await {
        match event {
            GatewayEvent::Notice(announced) => deliver(context, &announced).await,
            GatewayEvent::Doubt => context.doubt_all(Doubt::Channel).await,
            GatewayEvent::LeaseLost => return,
        }
        handled += 1;
        if handled % BURST == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Gives a notice to every session of its user, as part of its sender's trace if it has one.
async fn deliver(context: &Arc<Context>, announced: &Announced) {
    let notice = announced.notice.as_ref();
    match notice.and_then(|notice| notice.traceparent.as_deref()) {
        Some(traceparent) if tracing::enabled!(Level::INFO) => {
            let span = info_span!("deliver", messaging.message.id = %herald_core::NoticeId(announced.place));
            TraceContext::extract(Some(traceparent))
                .in_span(span, async {
                    tracing::debug!(traceparent, "delivering");
                    to_sessions(context, announced);
                })
                .await;
        }
        _ => to_sessions(context, announced),
    }
}

fn to_sessions(context: &Arc<Context>, announced: &Announced) {
    context.figures.announced.increment(1);
    let Some(sessions) = context.sessions.of(&announced.user) else {
        context.figures.strays.increment(1);
        return;
    };
    let notice = announced.notice.as_ref();
    let packet = notice.map(|notice| Packet::new(notice, announced.place));
    for session in sessions.iter() {
        if let Some(doubt) = session.announce(announced, packet.as_ref(), &context.figures) {
            catch_up::start(context, Arc::clone(session), Some(doubt));
        }
    }
}
