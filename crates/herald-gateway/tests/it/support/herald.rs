//! A whole gateway on an embedded backplane, and what a notifier would do with it.

use std::{net::SocketAddr, sync::OnceLock, time::Duration};

use herald_backplane::{Backplane, Dispatched};
use herald_core::{EventName, GatewayId, Notice, Payload, SessionRecord, UserId};
use herald_gateway::{Gateway, GatewayError, GatewayOptions};
use herald_service::{
    Process,
    config::{Reader, Source},
};
use tokio::task::JoinHandle;

use super::{eventually, polling::Http, soon};

/// A gateway that runs.
pub(crate) struct Herald {
    pub(crate) backplane: Backplane,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) process: Process,
    running: JoinHandle<Result<(), GatewayError>>,
}

/// The options of a gateway on loopback, with `changes` to the environment.
pub(crate) fn options(changes: &[(&str, &str)]) -> GatewayOptions {
    let mut environment = vec![
        ("HERALD_BACKPLANE", "memory:"),
        ("HERALD_CLIENT_AUTH", "insecure"),
        ("HERALD_GATEWAY_LISTEN", "127.0.0.1:0"),
        ("HERALD_GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
        // Tests come faster than clients do.
        ("HERALD_HANDSHAKE_RATE", "100000"),
        // Many tests are about many sessions of one user.
        ("HERALD_SESSIONS_PER_USER", "100000"),
    ];
    environment.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    environment.extend(changes);
    let mut reader = Reader::new(Source::new([""; 0], environment));
    let options = GatewayOptions::read(&mut reader);
    reader.finish().unwrap();
    options
}

impl Herald {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A gateway with `changes` to its environment and a backplane of its own.
    pub(crate) async fn with(changes: &[(&str, &str)]) -> Self {
        let options = options(changes);
        let backplane = Backplane::open(&options.backplane).unwrap();
        Self::on(backplane, options).await
    }

    /// Another gateway beside this one.
    pub(crate) async fn beside(&self) -> Self {
        Self::on(self.backplane.clone(), options(&[])).await
    }

    pub(crate) async fn on(backplane: Backplane, options: GatewayOptions) -> Self {
        Self::launch(backplane, options).await.ready().await
    }

    /// A gateway whose clients have to speak TLS.
    pub(crate) async fn secured(changes: &[(&str, &str)]) -> Self {
        let options = options(changes);
        let backplane = Backplane::open(&options.backplane).unwrap();
        let this = Self::launch(backplane, options).await;
        soon("ready", this.process.readiness.until_ready()).await;
        this
    }

    /// A gateway that has so long for ending.
    pub(crate) async fn with_grace(changes: &[(&str, &str)], grace: Duration) -> Self {
        let options = options(changes);
        let backplane = Backplane::open(&options.backplane).unwrap();
        let process = Process { grace, ..process() };
        Self::launch_in(process, backplane, options).await.ready().await
    }

    async fn ready(self) -> Self {
        soon("ready", self.process.readiness.until_ready()).await;
        // Whoever is told that it is ready finds the door open.
        let mut probe = Http::connect(self.address).await;
        assert_eq!(probe.get("/notice/?EIO=4&transport=polling").await.status, 200);
        self
    }

    /// The same without waiting for anything.
    pub(crate) async fn launch(backplane: Backplane, options: GatewayOptions) -> Self {
        Self::launch_in(process(), backplane, options).await
    }

    async fn launch_in(process: Process, backplane: Backplane, options: GatewayOptions) -> Self {
        let gateway = Gateway::bind(options, backplane.clone(), process.clone()).await.unwrap();
        let address = gateway.address();
        let admin = gateway.admin_address().unwrap();
        Self { backplane, address, admin, process, running: tokio::spawn(gateway.run()) }
    }

    /// Ends the gateway as SIGTERM does.
    pub(crate) async fn stop(self) -> Result<(), GatewayError> {
        self.process.shutdown.request();
        self.ended().await
    }

    pub(crate) async fn ended(self) -> Result<(), GatewayError> {
        soon("the end of the gateway", self.running).await.unwrap()
    }

    /// Sends a notice whose payload is this JSON.
    pub(crate) async fn send(&self, user: &str, json: &str) -> Dispatched {
        send(&self.backplane, user, json).await
    }

    /// The sessions that the registry has of a user.
    pub(crate) async fn presence(&self, user: &str) -> Vec<SessionRecord> {
        let users = [UserId::new(user).unwrap()];
        let mut presence = self.backplane.notifier().presence(&users).await.unwrap();
        presence.remove(0).sessions
    }

    /// Waits until the registry has so many sessions of a user.
    pub(crate) async fn sessions(&self, user: &str, count: usize) -> Vec<SessionRecord> {
        let users = [UserId::new(user).unwrap()];
        let Backplane::Memory(memory) = &self.backplane else {
            panic!("only of the embedded backplane");
        };
        let look = || memory.presence(&users).remove(0).sessions;
        eventually("so many sessions", || look().len() == count).await;
        look()
    }

    /// Takes a gateway's lease away from it.
    pub(crate) fn fence(&self, gateway: GatewayId) {
        let Backplane::Memory(memory) = &self.backplane else {
            panic!("only of the embedded backplane");
        };
        assert!(memory.fence(gateway));
    }
}

/// Sends a notice whose payload is this JSON.
pub(crate) async fn send(backplane: &Backplane, user: &str, json: &str) -> Dispatched {
    let notice = Notice {
        event: EventName::notice(),
        payload: Payload::new(json.to_owned(), 1 << 20).unwrap(),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    };
    let user = UserId::new(user).unwrap();
    backplane.notifier().dispatch(&user, &notice).await.unwrap()
}

fn process() -> Process {
    // The recorder is one for the process, whatever number of gateways there is.
    static FIRST: OnceLock<Process> = OnceLock::new();
    let first = FIRST.get_or_init(|| Process::detached().unwrap());
    first.another()
}
