//! What can go wrong between a service and the backplane.

use std::time::Duration;

use herald_core::{GatewayId, GatewayName};

/// A call to the backplane that did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BackplaneError {
    /// Nothing was sent, or it was refused before anything was written: nothing
    /// happened, and a retry helps once the backplane is back.
    #[error("backplane unavailable: {0}")]
    Unavailable(String),
    /// The call was under way when the connection broke or its deadline passed:
    /// it may or may not have happened. A retry helps where repeating is harmless.
    #[error("backplane did not answer, the outcome is unknown: {0}")]
    Unknown(String),
    /// The lease that the call was made under is no longer ours. The holder
    /// takes a new one and registers its sessions anew.
    #[error("lease {0} is no longer held")]
    LeaseLost(GatewayId),
    /// The idempotency key was used for another notice; nothing was appended. A
    /// retry does not help.
    #[error("the idempotency key was used for another notice")]
    KeyUsed,
    /// The session was ended for good, or all of its user's were after it was let in:
    /// it is not registered, and never will be.
    #[error("the session was ended")]
    SessionEnded,
    /// What the backplane holds or answers is not what Herald wrote there, or
    /// it may not do what Herald needs. A retry does not help.
    #[error("backplane is unusable: {0}")]
    Unusable(String),
}

impl BackplaneError {
    /// Whether the same call can succeed later without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unknown(_))
    }
}

/// Why a gateway got no lease.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LeaseError {
    /// Another gateway of this name is alive and listening. Waiting helps only
    /// if that one leaves.
    #[error(
        "a gateway named `{name}` is already running (gateway id {holder}, lease good for another \
         {remaining:?}): stop it or give this one another HERALD_GATEWAY_NAME"
    )]
    NameTaken {
        /// The name asked for.
        name: GatewayName,
        /// Who has it.
        holder: GatewayId,
        /// What is left of its lease, unless renewed.
        remaining: Duration,
    },
    /// The backplane itself.
    #[error(transparent)]
    Backplane(#[from] BackplaneError),
}

/// A backplane address or option that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(pub String);
