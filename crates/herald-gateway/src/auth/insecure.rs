//! The token is the user id.

use herald_core::UserId;

use super::AuthError;

pub(super) fn authenticate(token: &str) -> Result<UserId, AuthError> {
    UserId::new(token).map_err(AuthError::User)
}
