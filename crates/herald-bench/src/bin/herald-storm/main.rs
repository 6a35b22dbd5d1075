//! `herald-storm`: simulates clients that lost their gateway and come back, with the pauses of
//! `socket.io-client`, to gateways that let in only so many a second. No connection is made: it
//! answers how long that takes, and how hard the doors are knocked at, for numbers of clients
//! that no test machine holds.
//!
//! What is not in it: the time of a handshake itself, and what Redis can take; docs/scaling.md has
//! that.

mod client;
mod door;
mod report;
mod simulation;

use clap::Parser as _;

use crate::{
    client::Habit,
    report::Figures,
    simulation::{Balance, Cause, Storm},
};

/// Simulates a storm of returning clients.
#[derive(Debug, clap::Parser)]
#[command(version)]
struct Args {
    /// What sends the clients away; everything that docs/scaling.md shows, as its table, if left
    /// out
    #[arg(value_enum)]
    cause: Option<Cause>,

    #[command(flatten)]
    storm: Storm,
}

fn main() {
    let Args { cause, storm } = Args::parse();
    let Some(cause) = cause else {
        table(storm);
        return;
    };
    let outcome = simulation::play(storm, cause);
    println!("{}", report::course(&storm, &outcome));
    println!("{}", Figures::of(&outcome));
    println!("refused    {} offers to gateways", outcome.refusals);
    println!("fullest    a gateway with {} clients", outcome.fullest);
}

/// Storms of one kind side by side: only what is named differs from what was asked for.
fn table(storm: Storm) {
    let retry_after = Storm { habit: Habit::RetryAfter, ..storm };
    let patient = Storm { longest_pause: 4 * storm.longest_pause, ..storm };
    let proxied = Storm { tries: storm.gateways, ..storm };
    let doubled = Storm { handshake_rate: 2 * storm.handshake_rate, ..storm };
    let halved = Storm { clients: storm.clients / 2, ..storm };
    let least = Storm { balance: Balance::Least, ..storm };
    let next = Storm { tries: storm.gateways, ..least };
    let hurried = Storm { drain_rate: 4 * storm.drain_rate, ..storm };
    let rows = [
        ("outage", Cause::Outage, storm),
        ("outage, Retry-After heeded", Cause::Outage, retry_after),
        ("outage, four times the longest pause", Cause::Outage, patient),
        ("outage, the proxy tries all gateways", Cause::Outage, proxied),
        ("outage, twice the handshake rate", Cause::Outage, doubled),
        ("outage, half the clients", Cause::Outage, halved),
        ("crash of one gateway", Cause::Crash, storm),
        ("deploy", Cause::Deploy, storm),
        ("deploy, four times the drain rate", Cause::Deploy, hurried),
        ("deploy, balanced by connections", Cause::Deploy, least),
        ("the same, the proxy tries all gateways", Cause::Deploy, next),
    ];
    println!(
        "| | half back | 99 % back | all back | away p50 | away p99 | attempts each | attempts in the worst second | moves each | fullest gateway |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (name, cause, storm) in rows {
        let outcome = simulation::play(storm, cause);
        let Figures { back, away, attempts, busiest, moves } = Figures::of(&outcome);
        println!(
            "| {name} | {:.0} s | {:.0} s | {:.0} s | {:.1} s | {:.1} s | {attempts:.1} | {busiest} | {moves:.2} | {} |",
            back[0], back[1], back[2], away[0], away[1], outcome.fullest
        );
    }
}
