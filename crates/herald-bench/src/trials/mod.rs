//! One system in one round: started anew, measured, stopped.

mod churn;
mod crowd;
mod idle;
mod inboxes;
mod loads;

use std::time::Duration;

use herald_loadgen::measure::{Population, Swarm};

use crate::{
    plan::{Sizes, Stage},
    record::{Load, Record, What},
    systems::Running,
};

/// How long memory may take to come to rest.
const REST: Duration = Duration::from_millis(1500);

/// What is measured of a system.
#[derive(Debug, Clone)]
pub(crate) enum Trial {
    /// Sending, one load after the other.
    Loads(Vec<Load>),
    /// Numbers of connections that only wait, growing.
    Idle(Vec<u32>),
    /// Clients that come, come back all at once, and leave, so many times.
    Churn { clients: u32, times: u32 },
    /// Sending to so many users with empty, then with full inboxes.
    Inboxes { users: u32 },
    /// Sending to so many sessions, of which one process cannot hold all.
    Crowd { sessions: u32 },
}

/// Runs one stage; what was measured before something went wrong is kept.
pub(crate) async fn run(
    stage: &Stage,
    sizes: &Sizes,
    files: u64,
    round: u32,
) -> (Vec<Record>, anyhow::Result<()>) {
    let mut out = Out { stage, sizes, files, round, records: Vec::new() };
    let done = match &stage.trial {
        Trial::Loads(wanted) => loads::run(&mut out, wanted).await,
        Trial::Idle(numbers) => idle::run(&mut out, numbers).await,
        Trial::Churn { clients, times } => churn::run(&mut out, *clients, *times).await,
        Trial::Inboxes { users } => inboxes::run(&mut out, *users).await,
        Trial::Crowd { sessions } => crowd::run(&mut out, *sessions).await,
    };
    (out.records, done)
}

/// What a trial works with and leaves behind.
struct Out<'a> {
    stage: &'a Stage,
    sizes: &'a Sizes,
    /// How many files a process may open.
    files: u64,
    round: u32,
    records: Vec<Record>,
}

impl Out<'_> {
    fn push(&mut self, what: What) {
        self.records.push(Record { round: self.round, system: self.stage.system, what });
    }

    /// That one process may hold so many connections.
    fn room(&self, connections: u32) -> anyhow::Result<()> {
        /// Files that a process needs besides.
        const SPARE: u64 = 200;
        anyhow::ensure!(
            u64::from(connections) + SPARE <= self.files,
            "{connections} connections need a higher limit of open files (ulimit -n)"
        );
        Ok(())
    }
}

fn swarm(running: &Running, connecting: u32) -> Swarm {
    let mut population = Population::new(running.gateways.clone(), running.dialect.clone());
    population.sources = 16;
    population.connecting = connecting;
    population.tokens = running.tokens.clone();
    Swarm::new(population)
}
