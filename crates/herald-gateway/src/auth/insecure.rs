//! The token is the user id.

use herald_core::UserId;

use super::{AuthError, Identity};

pub(super) fn authenticate(token: &str) -> Result<Identity, AuthError> {
    let user = UserId::new(token).map_err(AuthError::User)?;
    Ok(Identity { user, ends_at_ms: None, issued_at_ms: Some(u64::MAX) })
}
