//! Who is the master, as Sentinel tells it.
//!
//! One Sentinel at a time is asked every second, and at once when it announces
//! another master or a connection to the master was lost: nobody connects anew
//! before a Sentinel has said, after the loss, where the master is. While no
//! Sentinel answers, connections that work are left alone.

use std::{sync::Arc, time::Duration};

use redis::{Cmd, PushInfo, PushKind, aio::MultiplexedConnection};
use tokio::sync::{Notify, watch};

use super::{
    backoff::Backoff,
    lane::Target,
    node::{Node, Settings},
};
use crate::figures;

const ASK_EVERY: Duration = Duration::from_secs(1);

/// What a Sentinel publishes to when a master was replaced.
const SWITCHED: &str = "+switch-master";

/// Sentinels, and the master that they watch.
#[derive(Debug)]
pub(super) struct Sentinels {
    pub(super) nodes: Vec<Node>,
    pub(super) master: String,
    /// What the master is connected to with.
    pub(super) servers: Settings,
}

/// What follows from the Sentinels' answers.
#[derive(Debug)]
pub(super) struct Followed {
    /// Sent anew with every answer, the same or another one.
    pub(super) target: watch::Sender<Target>,
    /// Counts how often the master was another one than before.
    pub(super) moves: watch::Sender<u64>,
    /// Asks for an answer soon.
    pub(super) ask: Arc<Notify>,
}

impl Followed {
    pub(super) fn new(target: Target) -> Arc<Self> {
        let (target, moves) = (watch::Sender::new(target), watch::Sender::new(0));
        Arc::new(Self { target, moves, ask: Arc::new(Notify::new()) })
    }
}

impl Sentinels {
    /// Follows the master for ever.
    pub(super) async fn follow(self, followed: Arc<Followed>) {
        let mut backoff = Backoff::new();
        let mut known = None;
        loop {
            let mut failures = Vec::new();
            for node in &self.nodes {
                let mut answered = false;
                let asking = self.ask(node, &followed, &mut known, &mut answered);
                let Err(why) = asking.await;
                if answered {
                    tracing::warn!(sentinel = node.shown(), why, "sentinel lost");
                    backoff.reset();
                    failures.clear();
                }
                failures.push(format!("{}: {why}", node.shown()));
            }
            let why =
                format!("no Sentinel tells where `{}` is: {}", self.master, failures.join("; "));
            followed.target.send_modify(|target| *target = Err(why));
            backoff.wait().await;
        }
    }

    /// Asks one Sentinel again and again until it has no answer; says why.
    async fn ask(
        &self,
        node: &Node,
        followed: &Followed,
        known: &mut Option<Node>,
        answered: &mut bool,
    ) -> Result<std::convert::Infallible, String> {
        let ask = Arc::clone(&followed.ask);
        let receive = move |push: PushInfo| {
            if push.kind == PushKind::Message {
                ask.notify_one();
            }
        };
        let mut connection = node.listen(receive).await.map_err(|error| error.to_string())?;
        connection.subscribe(SWITCHED).await.map_err(|error| error.to_string())?;
        loop {
            let master = self.master(&mut connection).await?;
            *answered = true;
            if known.as_ref() != Some(&master) {
                tracing::info!(sentinel = node.shown(), master = master.shown(), "master found");
                if known.replace(master.clone()).is_some() {
                    metrics::counter!(figures::MOVES).increment(1);
                    followed.moves.send_modify(|moves| *moves += 1);
                }
            }
            followed.target.send_modify(|target| *target = Ok(master));
            tokio::select! {
                () = tokio::time::sleep(ASK_EVERY) => {}
                () = followed.ask.notified() => {}
            }
        }
    }

    async fn master(&self, connection: &mut MultiplexedConnection) -> Result<Node, String> {
        let mut ask = Cmd::new();
        ask.arg("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let address: Option<(String, u16)> =
            ask.query_async(connection).await.map_err(|error| error.to_string())?;
        let Some((host, port)) = address else {
            return Err(format!("it watches no master named `{}`", self.master));
        };
        self.servers.node(&host, port).map_err(|error| error.to_string())
    }
}
