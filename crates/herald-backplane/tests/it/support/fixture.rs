//! One backplane's storage and any number of processes that share it.

use std::{sync::OnceLock, time::Duration};

use herald_backplane::{
    Announced, Backplane, BackplaneOptions, GatewayEvent, GatewayEvents, GatewayPort, Health,
    LeaseError, NotifierPort,
};
use herald_core::{GatewayName, InboxLimits, SessionId};
use herald_e2e::{Cluster, Sentinel};

use super::{
    PATIENCE,
    redis_server::{RedisServer, shared_cluster, shared_sentinel},
};

/// The storage under test: empty at first and nobody else's.
pub(crate) struct Fixture {
    pub(crate) options: BackplaneOptions,
    memory: Option<OnceLock<Backplane>>,
    /// Of a Redis with replicas, those to wait for.
    wait_replicas: u32,
    /// Where its Redis servers are, for who knows nothing of the backplane.
    servers: Vec<String>,
}

impl Fixture {
    pub(crate) fn memory() -> Self {
        let (memory, servers) = (Some(OnceLock::new()), Vec::new());
        Self { options: options("memory:".into(), 0), memory, wait_replicas: 0, servers }
    }

    pub(crate) fn redis() -> Self {
        Self::on(RedisServer::shared())
    }

    pub(crate) fn sentinel() -> Self {
        Self::watched_by(shared_sentinel())
    }

    /// Accepted is what a replica has as well.
    pub(crate) fn confirmed(self) -> Self {
        Self { wait_replicas: 1, ..self }.with(|_| ())
    }

    /// On Redis servers of the caller's own.
    pub(crate) fn watched_by(sentinel: &Sentinel) -> Self {
        Self::at(sentinel.url(), sentinel.servers.iter().map(|server| server.url()).collect())
    }

    pub(crate) fn cluster() -> Self {
        Self::spread_over(shared_cluster())
    }

    /// On a cluster of the caller's own.
    pub(crate) fn spread_over(cluster: &Cluster) -> Self {
        Self::at(cluster.url(), cluster.servers.iter().map(|server| server.url()).collect())
    }

    /// On a Redis of the caller's own.
    pub(crate) fn on(server: &RedisServer) -> Self {
        Self::at(server.url.clone(), vec![server.url.clone()])
    }

    fn at(url: String, servers: Vec<String>) -> Self {
        Self { options: options(url, 0), memory: None, wait_replicas: 0, servers }
    }

    /// Another empty one of the same kind, with other options.
    pub(crate) fn with(&self, change: impl FnOnce(&mut BackplaneOptions)) -> Self {
        let mut options = options(self.options.url.clone(), self.wait_replicas);
        change(&mut options);
        let memory = self.memory.is_some().then(OnceLock::new);
        let (wait_replicas, servers) = (self.wait_replicas, self.servers.clone());
        Self { options, memory, wait_replicas, servers }
    }

    /// The same with other limits of inboxes.
    pub(crate) fn with_inbox(&self, change: impl FnOnce(&mut InboxLimits)) -> Self {
        self.with(|options| change(&mut options.inbox))
    }

    /// One more process. In memory there is only one, and clones of it.
    pub(crate) async fn open(&self) -> Backplane {
        if let Some(memory) = &self.memory {
            return memory.get_or_init(|| Backplane::open(&self.options).unwrap()).clone();
        }
        let backplane = Backplane::open(&self.options).unwrap();
        let mut health = backplane.health();
        let ready = health.wait_for(|health| *health == Health::Ready);
        tokio::time::timeout(PATIENCE, ready).await.expect("Redis is there").unwrap();
        backplane
    }

    /// Whether [`Fixture::open`] gives processes with a life of their own.
    pub(crate) fn opens_processes(&self) -> bool {
        self.memory.is_none()
    }

    /// The sending half of one more process.
    pub(crate) async fn notifier(&self) -> NotifierPort {
        self.open().await.notifier()
    }

    /// A gateway of that name in one more process.
    pub(crate) async fn gateway(&self, name: &str) -> Gateway {
        self.try_gateway(name).await.unwrap()
    }

    /// The same where it may be refused.
    pub(crate) async fn try_gateway(&self, name: &str) -> Result<Gateway, LeaseError> {
        let name = GatewayName::new(name).unwrap();
        let (port, events) = self.open().await.gateway(&name).await?;
        Ok(Gateway { port, events: Events(events) })
    }

    /// Takes the lease from a gateway that is alive and listens. On Redis this is
    /// done as an operator would who empties it: everything else goes too.
    pub(crate) async fn fence(&self, gateway: &GatewayPort) {
        if let Backplane::Memory(memory) = self.open().await {
            assert!(memory.fence(gateway.id()));
            return;
        }
        let pattern = format!("{}:*", self.options.key_prefix);
        let mut removed = 0;
        for url in &self.servers {
            let client = ::redis::Client::open(url.as_str()).unwrap();
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            let keys: Vec<String> =
                ::redis::cmd("KEYS").arg(&pattern).query_async(&mut connection).await.unwrap();
            for key in keys {
                // A replica refuses: its master does it.
                let done = ::redis::cmd("DEL").arg(key).exec_async(&mut connection).await;
                removed += u32::from(done.is_ok());
            }
        }
        assert!(removed > 0, "a lease is somewhere among the keys");
    }
}

fn options(url: String, wait_replicas: u32) -> BackplaneOptions {
    BackplaneOptions {
        url,
        wait_replicas,
        key_prefix: format!("test-{}", SessionId::random()),
        lease: Duration::from_secs(1),
        renew_every: Duration::from_millis(200),
        ..BackplaneOptions::default()
    }
}

/// A gateway as its process sees it. Dropping it is its crash.
pub(crate) struct Gateway {
    pub(crate) port: GatewayPort,
    pub(crate) events: Events,
}

/// What a gateway hears, each within [`PATIENCE`].
pub(crate) struct Events(GatewayEvents);

impl Events {
    pub(crate) async fn next(&mut self) -> Option<GatewayEvent> {
        tokio::time::timeout(PATIENCE, self.0.next()).await.expect("an event, or the end of them")
    }

    /// The next one, which is to be a notice.
    pub(crate) async fn notice(&mut self) -> Announced {
        match self.next().await {
            Some(GatewayEvent::Notice(announced)) => announced,
            other => panic!("expected a notice, heard {other:?}"),
        }
    }

    pub(crate) async fn notices(&mut self, count: usize) -> Vec<Announced> {
        let mut heard = Vec::with_capacity(count);
        while heard.len() < count {
            heard.push(self.notice().await);
        }
        heard
    }
}
