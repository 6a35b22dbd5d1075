//! Many clients.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{
    client::{Client, Dialect},
    meter::Meter,
    tokens::Tokens,
};
use crate::{error::ConnectError, options::SessionOptions};

/// How long a server may turn a new client away.
const TURNED_AWAY: Duration = Duration::from_secs(60);

/// Who connects where.
#[derive(Debug, Clone)]
pub struct Population {
    /// The servers; clients take turns.
    pub gateways: Vec<SocketAddr>,
    /// The `Host` header; the server's address when `None`.
    pub host: Option<String>,
    /// What they speak.
    pub dialect: Dialect,
    /// What they show to be let in.
    pub tokens: Tokens,
    /// Begins every user's name; each client is a user of its own.
    pub prefix: String,
    /// The first user's number.
    pub first: u32,
    /// How many connections are opened at the same time.
    pub connecting: u32,
    /// How many source addresses, from 127.1.0.1 on, to spread the connections over; with 0 the
    /// system chooses, and has some 28,000 ports for each server.
    pub sources: u32,
    /// The longest that one connection may take.
    pub timeout: Duration,
}

impl Population {
    /// 100 connections at a time with 20 s each, from the system's choice of address.
    pub fn new(gateways: Vec<SocketAddr>, dialect: Dialect) -> Self {
        Self {
            gateways,
            host: None,
            dialect,
            tokens: Tokens::default(),
            prefix: "load-".to_owned(),
            first: 0,
            connecting: 100,
            sources: 0,
            timeout: Duration::from_secs(20),
        }
    }

    /// The name of a client's user.
    pub(super) fn user(&self, number: u32) -> String {
        format!("{}{}", self.prefix, self.first + number)
    }

    fn source(&self, number: u32) -> Option<IpAddr> {
        let nth = number.checked_rem(self.sources)?;
        let base = u32::from(Ipv4Addr::new(127, 1, 0, 1));
        Some(IpAddr::from(Ipv4Addr::from(base + nth)))
    }

    fn options(&self, number: u32) -> SessionOptions {
        let gateway = self.gateways[number as usize % self.gateways.len()];
        let mut options = SessionOptions::new(gateway, self.tokens.of(&self.user(number)));
        options.host.clone_from(&self.host);
        options.source_ip = self.source(number);
        options
    }
}

/// How opening connections went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Opened {
    /// How many were opened.
    pub connections: u32,
    /// In how many seconds.
    pub seconds: f64,
}

impl Opened {
    /// Connections a second.
    pub fn per_second(&self) -> f64 {
        f64::from(self.connections) / self.seconds.max(f64::EPSILON)
    }
}

/// Open connections, each read by a task. Dropped, all of them break.
#[derive(Debug)]
pub struct Swarm {
    pub(super) population: Arc<Population>,
    pub(super) meter: Arc<Meter>,
    clients: Vec<AbortOnDropHandle<()>>,
    opened: Arc<AtomicU32>,
}

impl Swarm {
    /// Nobody yet.
    pub fn new(population: Population) -> Self {
        Self {
            population: Arc::new(population),
            meter: Arc::new(Meter::new()),
            clients: Vec::new(),
            opened: Arc::default(),
        }
    }

    /// How many connections were opened, and not [`cut`](Self::cut).
    pub fn len(&self) -> u32 {
        u32::try_from(self.clients.len()).unwrap_or(u32::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// How many of them have ended.
    pub fn ended(&self) -> u64 {
        self.meter.ends()
    }

    /// How many connections [`grow`](Self::grow) has opened so far, for who watches it.
    pub fn opened(&self) -> Arc<AtomicU32> {
        Arc::clone(&self.opened)
    }

    /// Breaks all connections at once, without taking leave.
    pub fn cut(&mut self) {
        self.clients.clear();
    }

    /// Opens connections until there are `total`.
    ///
    /// # Errors
    ///
    /// The first connection's that did not come about; the others stay.
    pub async fn grow(&mut self, total: u32) -> Result<Opened, ConnectError> {
        let before = self.len();
        let next = Arc::new(AtomicU32::new(before));
        let begin = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..self.population.connecting.min(total.saturating_sub(before)) {
            let (population, next) = (Arc::clone(&self.population), Arc::clone(&next));
            let (meter, all) = (Arc::clone(&self.meter), Arc::clone(&self.opened));
            workers.spawn(async move {
                let mut opened = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= total {
                        return (opened, None);
                    }
                    match open(&population, number).await {
                        Ok(client) => {
                            all.fetch_add(1, Ordering::Relaxed);
                            opened.push(follow(client, Arc::clone(&meter)));
                        }
                        Err(error) => return (opened, Some(error)),
                    }
                }
            });
        }
        let mut failure = None;
        while let Some(worker) = workers.join_next().await {
            match worker {
                Ok((opened, error)) => {
                    self.clients.extend(opened);
                    failure = failure.or(error);
                }
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(Opened {
                connections: self.len() - before,
                seconds: begin.elapsed().as_secs_f64(),
            }),
        }
    }
}

/// Opens a connection; a server that turns it away for now is asked again.
async fn open(population: &Population, number: u32) -> Result<Client, ConnectError> {
    let deadline = Instant::now() + TURNED_AWAY;
    loop {
        let open = Client::open(&population.dialect, population.options(number));
        let opened = timeout(population.timeout, open)
            .await
            .unwrap_or(Err(ConnectError::TimedOut(population.timeout)));
        match opened.as_ref().err().and_then(ConnectError::turned_away) {
            Some(pause) if Instant::now() + pause < deadline => tokio::time::sleep(pause).await,
            _ => return opened,
        }
    }
}

fn follow(client: Client, meter: Arc<Meter>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        client.run(&meter).await;
        meter.ended();
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_take_turns_with_servers_and_source_addresses() {
        let gateways = vec![([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
        let mut population = Population::new(gateways.clone(), Dialect::default());
        assert_eq!(population.options(1).source_ip, None);
        population.sources = 300;
        population.first = 1000;
        let options = population.options(301);
        assert_eq!(options.address, gateways[1]);
        assert_eq!(options.source_ip, Some([127, 1, 0, 2].into()));
        assert_eq!(options.token.as_deref(), Some("load-1301"));
        assert_eq!(population.options(299).source_ip, Some([127, 1, 1, 44].into()));
    }
}
