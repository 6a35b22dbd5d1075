//! What sends.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::sender::{HttpSender, Outgoing, SendError, Sender, http_error};

/// Sends notices, to Herald or to something else. Cheap to clone, and all clones share their
/// connections.
#[derive(Debug, Clone)]
pub enum Producer {
    /// Herald's API.
    Herald(Sender),
    /// One HTTP POST a notice, its body the payload.
    Post(Post),
}

/// Publishers over HTTP that take turns.
#[derive(Debug, Clone)]
pub struct Post {
    servers: Arc<Vec<HttpSender>>,
    target: Arc<str>,
    turn: Arc<AtomicUsize>,
}

impl Producer {
    /// A producer that posts each payload to `target`, path and query with `{user}` for the user,
    /// of these servers in turn; each call ends within `deadline`.
    ///
    /// # Panics
    ///
    /// Without a server.
    pub fn post(servers: &[SocketAddr], target: &str, deadline: Duration) -> Self {
        assert!(!servers.is_empty(), "a producer needs somebody to post to");
        let servers = servers.iter().map(|address| HttpSender::new(*address, deadline)).collect();
        Self::Post(Post { servers: Arc::new(servers), target: target.into(), turn: Arc::default() })
    }

    /// Sends notices, several of them as one batch where there is such a thing: how many were
    /// accepted.
    pub(super) async fn send(&self, notices: &[Outgoing]) -> Result<u64, SendError> {
        match (self, notices) {
            (Self::Herald(sender), [notice]) => sender.send(notice).await.map(|_| 1),
            (Self::Herald(sender), notices) => {
                let results = sender.send_batch(notices).await?;
                Ok(results.iter().filter(|result| result.is_ok()).count() as u64)
            }
            (Self::Post(post), notices) => {
                let mut accepted = 0;
                for notice in notices {
                    post.send(notice).await?;
                    accepted += 1;
                }
                Ok(accepted)
            }
        }
    }
}

impl Post {
    async fn send(&self, notice: &Outgoing) -> Result<(), SendError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let server = &self.servers[turn % self.servers.len()];
        let target = self.target.replace("{user}", &notice.user);
        let answer = server.post(&target, notice.payload.clone()).await?;
        if answer.status().is_success() { Ok(()) } else { Err(http_error(&answer)) }
    }
}
