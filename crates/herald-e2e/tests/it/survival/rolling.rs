//! All gateways restarted, one after the other.

use std::time::Instant;

use herald_e2e::Sandbox;
use herald_loadgen::Checker;

use super::{Crowd, Load, everywhere, handshakes::Handshakes};
use crate::support::{PATIENCE, all_arrives};

/// `handshakes` a second are let in by each gateway.
async fn nobody_loses_anything(clients: usize, rate: u32, handshakes: u32) {
    let allowed = handshakes.to_string();
    let builder = Sandbox::builder().env("HERALD_HANDSHAKE_RATE", &allowed);
    let mut sandbox = builder.gateways(3).notifier().notifier().start().await.unwrap();
    let watch = Handshakes::watch(&sandbox);
    let checker = Checker::new();
    let crowd = Crowd::gather(clients, everywhere(&sandbox), &checker).await;
    let load = Load::start(&sandbox.notifiers, &checker, clients, rate);
    let begin = Instant::now();
    for gateway in &mut sandbox.gateways {
        let drained = Instant::now();
        assert_eq!(gateway.terminate().await.unwrap().code(), Some(0));
        println!("{} had left after {:.1?}", gateway.name(), drained.elapsed());
        gateway.start().await.unwrap();
        crowd.all_there().await;
    }
    let took = begin.elapsed();
    let sent = load.stop().await;
    all_arrives(&checker, PATIENCE).await;
    let (fastest, all) = watch.stop(handshakes).await;
    println!(
        "three gateways restarted in {took:.1?} at {sent:.0} notices/s: {crowd}; {} were told \
         before; at most {fastest:.0} handshakes/s at a gateway ({handshakes} allowed, {all:.0} in \
         all)\n{}",
        crowd.turnout.warned(),
        checker.report()
    );
    crowd.assert_all_there();
    let returns = crowd.turnout.absences().len();
    assert!(returns >= clients, "only {returns} returns: whose gateway was restarted?");
    // Hardly anybody's transport closed without a word before.
    assert!(crowd.turnout.warned() * 10 >= returns * 9, "{}", crowd.turnout.warned());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_gateways_restarted_under_load_lose_nothing_and_nobody() {
    nobody_loses_anything(200, 100, 30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make survival"]
async fn full_three_gateways_with_five_thousand_clients_restarted_lose_nothing_and_nobody() {
    nobody_loses_anything(5_000, 500, 500).await;
}
