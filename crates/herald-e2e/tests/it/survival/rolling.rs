//! All gateways restarted, one after the other.

use std::time::Instant;

use herald_e2e::Sandbox;
use herald_loadgen::Checker;

use super::{Crowd, Load, everywhere};
use crate::support::{PATIENCE, all_arrives};

async fn nobody_loses_anything(clients: usize, rate: u32) {
    let mut sandbox = Sandbox::builder().gateways(3).notifier().notifier().start().await.unwrap();
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
    println!(
        "three gateways restarted in {took:.1?} at {sent:.0} notices/s: {crowd}; {} were told \
         before\n{}",
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
    nobody_loses_anything(200, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: make survival"]
async fn full_three_gateways_with_five_thousand_clients_restarted_lose_nothing_and_nobody() {
    nobody_loses_anything(5_000, 500).await;
}
