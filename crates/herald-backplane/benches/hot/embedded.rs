//! The backplane inside one process.

use std::iter;

use herald_backplane::{Backplane, BackplaneOptions, GatewayEvent, Since};
use herald_core::GatewayName;
use herald_measure::Case;
use tokio::runtime;

use crate::samples::{notice, session, user};

pub(crate) fn cases() -> impl Iterator<Item = Case> {
    iter::once(Case::new("embedded_dispatch", dispatch))
}

/// A notice into a full inbox, and to the gateway that has the user's one session.
fn dispatch() -> impl FnMut() {
    let options = BackplaneOptions::default();
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let backplane = Backplane::open(&options).unwrap();
    let (user, notice) = (user(1), notice());
    let name = GatewayName::new("gateway-1:8013").unwrap();
    let (gateway, mut events) = runtime.block_on(backplane.gateway(&name)).unwrap();
    let session = session(gateway.id());
    runtime.block_on(gateway.connect(&user, &session, Since::Start)).unwrap();
    let notifier = backplane.notifier();
    let mut dispatch = move || {
        runtime.block_on(async {
            let dispatched = notifier.dispatch(&user, &notice).await.unwrap();
            assert!(dispatched.targets[0].heard, "the gateway is there");
            let event = events.next().await;
            assert!(matches!(event, Some(GatewayEvent::Notice(_))), "{event:?}");
            // The lease is good for as long as somebody holds it.
            let _ = &gateway;
        });
    };
    for _ in 0..options.inbox.notices {
        dispatch();
    }
    dispatch
}
