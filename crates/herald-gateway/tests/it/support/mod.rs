//! What the tests share: a gateway's edge with handlers that tell, and raw clients.

pub(crate) mod client;
pub(crate) mod gateway;
pub(crate) mod herald;
pub(crate) mod issuer;
#[path = "../../../src/auth/test_keys.rs"]
pub(crate) mod keys;
pub(crate) mod polling;
pub(crate) mod redis_server;
pub(crate) mod websocket;

use std::time::Duration;

/// The longest a test waits for what must happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// Waits until `condition` holds; panics with `what` if it does not in time.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + SOON;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Awaits what must happen soon; panics with `what` if it does not.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("never: {what}"),
    }
}
