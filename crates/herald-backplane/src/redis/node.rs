//! One Redis server, and how every connection of ours to it is made.

use std::{fmt, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo,
    RedisConnectionInfo, RedisResult,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2},
};

/// What all servers of a backplane are connected to with.
#[derive(Clone)]
pub(super) struct Settings {
    tls: bool,
    redis: RedisConnectionInfo,
    tcp: TcpSettings,
    /// How long connecting, and any one call, may take.
    pub(super) deadline: Duration,
}

impl Settings {
    /// `login` has user, password and database.
    pub(super) fn new(tls: bool, login: RedisConnectionInfo, deadline: Duration) -> Self {
        let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(15));
        Self {
            tls,
            // Pushes need RESP3; with it one connection carries messages and the calls that probe it.
            redis: login
                .set_protocol(ProtocolVersion::RESP3)
                .set_lib_name("herald", env!("CARGO_PKG_VERSION")),
            // A peer that vanished without a word is noticed after one call's deadline of silence.
            tcp: TcpSettings::default()
                .set_nodelay(true)
                .set_keepalive(keepalive)
                .set_user_timeout(deadline * 2),
            deadline,
        }
    }

    /// The server at that address.
    pub(super) fn node(&self, host: &str, port: u16) -> RedisResult<Node> {
        let host = host.to_owned();
        let address = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let shown = format!("{address}/{}", self.redis.db()).into();
        let info = address
            .into_connection_info()?
            .set_redis_settings(self.redis.clone())
            .set_tcp_settings(self.tcp.clone());
        Ok(Node { client: Client::open(info)?, shown, deadline: self.deadline })
    }
}

/// Never shows the password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("tls", &self.tls).finish_non_exhaustive()
    }
}

/// One server.
#[derive(Clone)]
pub(super) struct Node {
    client: Client,
    shown: Arc<str>,
    deadline: Duration,
}

impl Node {
    /// `host:port/db`, without user and password: for logs and errors.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// How long connecting, and any one call, may take.
    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// A connection for calls.
    pub(super) async fn connect(
        &self,
        change: impl FnOnce(AsyncConnectionConfig) -> AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let config = change(self.config());
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Makes the connections of a pool.
    pub(super) fn manager(&self) -> RedisResult<deadpool_redis::Manager> {
        let info = self.client.get_connection_info().clone();
        deadpool_redis::Manager::new_with_config(info, self.config())
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.deadline))
            .set_response_timeout(Some(self.deadline))
    }

    /// A connection that is also told of what Redis pushes; `receive` must not wait.
    pub(super) async fn listen(
        &self,
        receive: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<MultiplexedConnection> {
        self.connect(|config| {
            config.set_push_sender(move |push: PushInfo| {
                receive(push);
                Ok::<(), ()>(())
            })
        })
        .await
    }
}

/// Two are the same if they are reached in the same way.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.shown == other.shown
    }
}

impl Eq for Node {}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.shown).finish()
    }
}
