//! Connections that a call has to itself while it lasts: for what is rare or long, and for what
//! waits for replicas. They are made when they are needed, to where the server is then, and
//! looked at each time that they are taken.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use deadpool_redis::{Connection, Hook, HookError, PoolError, Runtime};
use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::time::timeout_at;

use super::{lane::Shared, lanes::Failed, node::Node};

/// The connections to one server, wherever that is.
pub(super) struct Pool {
    size: usize,
    /// Those to the server's last place. Others are closed as soon as their calls are over.
    current: Mutex<Option<(Node, deadpool_redis::Pool)>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("size", &self.size).finish_non_exhaustive()
    }
}

impl Pool {
    /// At most `size` connections, and so calls at a time; further ones wait within their
    /// deadline.
    pub(super) fn new(size: usize) -> Self {
        Self { size, current: Mutex::new(None) }
    }

    /// Runs `call` on a connection of its own. One that failed, or may still be at work, is not
    /// used again.
    pub(super) async fn run<T>(
        &self,
        shared: &Arc<Shared>,
        until: Instant,
        call: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, Failed> {
        let pool = self.current(shared)?;
        let mut connection = match timeout_at(until.into(), pool.get()).await {
            Ok(connection) => connection.map_err(|error| self.away(shared, &error))?,
            Err(_) => return Err(Failed::Away(self.busy(shared))),
        };
        match timeout_at(until.into(), call(&mut connection)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                drop(Connection::take(connection));
                shared.look_into(&error);
                Err(Failed::Redis(error))
            }
            Err(_) => {
                drop(Connection::take(connection));
                let shown = shared.shown();
                Err(Failed::Late(format!("Redis at {shown} did not answer in time")))
            }
        }
    }

    /// The connections to where the server is now.
    fn current(&self, shared: &Arc<Shared>) -> Result<deadpool_redis::Pool, Failed> {
        let node = shared.node().map_err(Failed::Away)?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            Some((of, pool)) if *of == node => Ok(pool.clone()),
            _ => {
                let pool = self.open(shared, &node).map_err(Failed::Redis)?;
                if let Some((_, former)) = current.replace((node, pool.clone())) {
                    former.close();
                }
                Ok(pool)
            }
        }
    }

    fn open(&self, shared: &Arc<Shared>, node: &Node) -> RedisResult<deadpool_redis::Pool> {
        let deadline = Some(node.deadline());
        let verifier = Arc::clone(shared);
        let verify = Hook::async_fn(move |connection: &mut MultiplexedConnection, _| {
            let shared = Arc::clone(&verifier);
            Box::pin(async move { shared.verify(connection).await.map_err(HookError::message) })
        });
        let pool = deadpool_redis::Pool::builder(node.manager()?)
            .max_size(self.size)
            .wait_timeout(deadline)
            .create_timeout(deadline)
            .recycle_timeout(deadline)
            .post_create(verify)
            .runtime(Runtime::Tokio1)
            .build();
        Ok(pool.expect("a runtime is given, which is all that can be missing"))
    }

    fn away(&self, shared: &Shared, error: &PoolError) -> Failed {
        match error {
            PoolError::Timeout(deadpool_redis::TimeoutType::Wait) => {
                Failed::Away(self.busy(shared))
            }
            error => Failed::Away(format!("no connection to Redis at {}: {error}", shared.shown())),
        }
    }

    fn busy(&self, shared: &Shared) -> String {
        format!("{} calls to Redis at {} are under way already", self.size, shared.shown())
    }
}
