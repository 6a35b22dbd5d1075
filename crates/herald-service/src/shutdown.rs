//! Asking a process, or a part of it, to end.

use std::{future::Future, time::Duration};

use tokio_util::sync::CancellationToken;

/// A request to end, shared by everything that has to heed it; a cheap handle. There is no global
/// one: two gateways in one process have one each.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

/// A wait that took longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not done within {0:?}")]
pub struct DeadlineExceeded(
    /// The time that was allowed.
    pub Duration,
);

impl Shutdown {
    /// A request that has not been made.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle that is requested with this one, and can also be requested alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { token: self.token.child_token() }
    }

    /// Asks everybody who holds this handle, or a child of it, to end. Idempotent.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Whether ending has been asked for.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until ending is asked for; immediate if it was. Cancel-safe.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// [`requested`](Self::requested) as a future without a lifetime, for
    /// `with_graceful_shutdown`.
    pub fn requested_owned(&self) -> impl Future<Output = ()> + Send + 'static {
        self.token.clone().cancelled_owned()
    }

    /// Runs `future` until it is done (`Some`) or ending is asked for (`None`).
    pub async fn or<F: Future>(&self, future: F) -> Option<F::Output> {
        self.token.run_until_cancelled(future).await
    }

    /// Runs `future`, but no longer than `allowed` after ending is asked for.
    pub async fn grace<F: Future>(
        &self,
        allowed: Duration,
        future: F,
    ) -> Result<F::Output, DeadlineExceeded> {
        let overdue = async {
            self.requested().await;
            tokio::time::sleep(allowed).await;
        };
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = overdue => Err(DeadlineExceeded(allowed)),
        }
    }

    /// The token itself, for libraries that take one.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }
}

/// Runs `future` for at most `allowed`.
pub async fn within<F: Future>(
    allowed: Duration,
    future: F,
) -> Result<F::Output, DeadlineExceeded> {
    tokio::time::timeout(allowed, future).await.map_err(|_| DeadlineExceeded(allowed))
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn a_child_ends_with_its_parent_and_not_the_other_way() {
        let parent = Shutdown::new();
        let (first, second) = (parent.child(), parent.child());
        first.request();
        assert!(first.is_requested() && !parent.is_requested() && !second.is_requested());
        parent.request();
        second.requested().await;
        assert_eq!(second.or(pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn grace_counts_from_the_request() {
        let shutdown = Shutdown::new();
        let allowed = Duration::from_millis(1);
        // Longer than the grace, but nobody has asked for the end.
        let unhurried = tokio::time::sleep(Duration::from_millis(20));
        assert_eq!(shutdown.grace(allowed, unhurried).await, Ok(()));
        shutdown.request();
        let stuck = shutdown.grace(allowed, pending::<()>()).await;
        assert_eq!(stuck, Err(DeadlineExceeded(allowed)));
        assert_eq!(shutdown.grace(allowed, async { 7 }).await, Ok(7));
    }

    #[tokio::test]
    async fn within_gives_up() {
        let allowed = Duration::from_millis(1);
        assert_eq!(within(allowed, pending::<()>()).await, Err(DeadlineExceeded(allowed)));
    }
}
