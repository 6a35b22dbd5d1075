//! The sessions of a run.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use herald_loadgen::{
    Checker, Event, Session, SessionOptions, TokenIn, Transport,
    checker::{Reader, Start},
};
use rand::RngExt as _;
use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{args::Args, load::show, summary::Latency};

/// All sessions of a run, each read by a task.
#[derive(Debug)]
pub(crate) struct Population {
    /// Each ends with whether its session outlived the run.
    readers: JoinSet<bool>,
    opened: usize,
    over: CancellationToken,
}

impl Population {
    pub(crate) fn len(&self) -> usize {
        self.opened
    }

    /// How many sessions have ended by themselves.
    pub(crate) fn ended_early(&mut self) -> usize {
        let mut ended = 0;
        while self.readers.try_join_next().is_some() {
            ended += 1;
        }
        ended
    }

    /// Closes what is open.
    pub(crate) async fn close(&mut self) {
        self.over.cancel();
        while self.readers.join_next().await.is_some() {}
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
    let over = CancellationToken::new();
    let mut population = Population { readers: JoinSet::new(), opened: 0, over: over.clone() };
    let room = Arc::new(Semaphore::new(args.connecting as usize));
    let mut connecting = JoinSet::new();
    let mut total = 0;
    for number in 0..args.users {
        let user = user(args, number);
        let count = rand::rng().random_range(args.sessions.0.clone());
        for device in 0..count {
            let options = options(args, &user, total);
            total += 1;
            let room = Arc::clone(&room);
            let reader = checker.reader(&user, format!("session {device}"), Start::Now);
            connecting.spawn(async move {
                let _permit = room.acquire_owned().await;
                let session = Session::connect(options).await;
                session.map(|session| (session, reader))
            });
        }
    }
    while let Some(connected) = connecting.join_next().await {
        let (session, reader) =
            connected.context("connecting failed")?.context("cannot open a session")?;
        population.opened += 1;
        if population.opened % 1000 == 0 {
            show(&format!("{} of {total} sessions open", population.opened));
        }
        population.readers.spawn(read(session, reader, latency.clone(), over.clone()));
    }
    if population.opened == 0 {
        bail!("no sessions");
    }
    Ok(population)
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

/// Reads until the session or the run is over; false if the session was first.
async fn read(
    mut session: Session,
    reader: Reader,
    latency: Latency,
    over: CancellationToken,
) -> bool {
    loop {
        tokio::select! {
            event = session.next() => match event {
                Some(Event::Notice(notice)) => {
                    latency.arrived(&notice);
                    reader.received(&notice);
                }
                Some(Event::Gap(gap)) => reader.gap(gap),
                Some(Event::Ready(ready)) => reader.begin(ready.session),
                Some(Event::Other { .. }) => {}
                Some(Event::Closed(reason)) => {
                    eprintln!("a session ended: {reason}");
                    return false;
                }
                None => return false,
            },
            () = over.cancelled() => {
                session.close().await;
                return true;
            }
        }
    }
}
