//! What a notice costs on its way through a gateway.

mod client;
mod deliver;
mod emit;
mod steps;

use std::sync::OnceLock;

use bytes::Bytes;
use herald_core::{EventName, Notice, Payload, UserId};
use herald_measure::{Case, run};
use herald_service::Process;

fn main() {
    run(vec![
        Case::new("steps_of_a_session", steps::session),
        Case::new("emit", emit::one),
        // A whole gateway, which renews its lease and listens to itself meanwhile.
        Case::new("deliver", || deliver::to(1)).only_timed(),
        Case::new("deliver_to_8", || deliver::to(8)).only_timed(),
    ]);
}

/// Of a service of its own; the recorder of figures is one for the process.
fn process() -> Process {
    static FIRST: OnceLock<Process> = OnceLock::new();
    FIRST.get_or_init(|| Process::detached().unwrap()).another()
}

fn user() -> UserId {
    UserId::new("user-0001").unwrap()
}

/// 200 bytes of JSON.
fn notice() -> Notice {
    let json = format!(r#"{{"order":4711,"state":"{}"}}"#, "x".repeat(175));
    let payload = Payload::from_trusted(Bytes::from(json));
    Notice { event: EventName::notice(), payload, traceparent: None }
}
