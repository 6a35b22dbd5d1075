//! The sessions of a run.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use herald_loadgen::{
    Checker, CloseReason, Follower, Session, SessionOptions, TokenIn, Transport, checker::Start,
};
use rand::RngExt as _;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{args::Args, load::show, summary::Latency};

/// How long a gateway may turn new clients away.
const PATIENCE: Duration = Duration::from_secs(60);

/// All sessions of a run.
#[derive(Debug)]
pub(crate) struct Population(Vec<Follower>);

impl Population {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many sessions have ended by themselves.
    pub(crate) fn ended_early(&self) -> usize {
        self.0.iter().filter(|follower| follower.has_ended()).count()
    }

    /// Closes what is open; says why the others ended.
    pub(crate) async fn close(self) {
        let mut leaving = JoinSet::new();
        for follower in self.0 {
            leaving.spawn(follower.close());
        }
        while let Some(left) = leaving.join_next().await {
            if let Ok(reason) = left
                && reason != CloseReason::Local
            {
                eprintln!("a session ended early: {reason}");
            }
        }
    }
}

/// The name, and so the token, of a user.
pub(crate) fn user(args: &Args, number: u32) -> String {
    format!("{}{number}", args.user_prefix)
}

/// Opens all sessions; one that cannot be opened fails the run.
pub(crate) async fn open(
    args: &Args,
    checker: &Checker,
    latency: &Latency,
) -> anyhow::Result<Population> {
    let room = Arc::new(Semaphore::new(args.connecting as usize));
    let mut connecting = JoinSet::new();
    let mut total = 0;
    for number in 0..args.users {
        let user = user(args, number);
        let count = rand::rng().random_range(args.sessions.0.clone());
        for device in 0..count {
            let options = options(args, &user, total);
            total += 1;
            let (room, latency) = (Arc::clone(&room), latency.clone());
            let reader = Arc::new(checker.reader(&user, format!("session {device}"), Start::Now));
            connecting.spawn(async move {
                let _permit = room.acquire_owned().await;
                let session = Session::connect_patiently(options, PATIENCE).await;
                let session = session.context("cannot open a session")?;
                Follower::start(session, reader, move |notice| latency.arrived(notice))
                    .await
                    .context("a session did not become ready")
            });
        }
    }
    let mut followers = Vec::with_capacity(total);
    while let Some(connected) = connecting.join_next().await {
        followers.push(connected.context("connecting failed")??);
        if followers.len().is_multiple_of(1000) {
            show(&format!("{} of {total} sessions open", followers.len()));
        }
    }
    Ok(Population(followers))
}

fn options(args: &Args, user: &str, number: usize) -> SessionOptions {
    let address = args.gateway[number % args.gateway.len()];
    let dice = rand::rng().random_range(0..100);
    let transport = if dice < args.polling {
        Transport::Polling
    } else if dice < args.polling + args.upgrade {
        Transport::Upgrade
    } else {
        Transport::WebSocket
    };
    SessionOptions {
        path: args.path.clone(),
        namespace: args.namespace.clone(),
        token_in: if args.token_in_query { TokenIn::AuthAndQuery } else { TokenIn::Auth },
        source_ip: (!args.source.is_empty()).then(|| args.source[number % args.source.len()]),
        transport,
        ..SessionOptions::new(address, user)
    }
}
