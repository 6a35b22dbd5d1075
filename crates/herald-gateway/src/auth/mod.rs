//! Who a client is.
//!
//! One seam: a token in, a user or a documented [`AuthError`] out. A client that is refused gets
//! a `connect_error` whose message is `Authentication error: <code>`; the stock clients do not
//! try again after it, so only what will not mend itself may end here.

mod insecure;
mod jwt;

use herald_core::{NameError, UserId};

pub use jwt::{JwtOptions, MIN_SECRET_BYTES};

use jwt::Jwt;

/// How clients are authenticated.
#[derive(Debug, Clone)]
pub enum AuthOptions {
    /// JSON Web Tokens.
    Jwt(JwtOptions),
    /// The token *is* the user id: for development and tests only.
    Insecure,
}

/// Why a client was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Neither `auth.token` nor `?token=` was given, or two different places of the query.
    #[error("no token was given")]
    Missing,
    /// Longer than `HERALD_TOKEN_BYTES`.
    #[error("the token has {actual} bytes, more than {limit}")]
    TooLarge {
        /// The limit in force.
        limit: usize,
        /// The token's length.
        actual: usize,
    },
    /// Not a text, or not a JSON Web Token: parts, base64url or JSON are wrong.
    #[error("the token is malformed")]
    Malformed,
    /// Signed with an algorithm other than the one configured, or not at all.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// The signature is not of our key.
    #[error("the token's signature is wrong")]
    Signature,
    /// Without an `exp` that can be read: a token must end some time.
    #[error("the token has no readable expiry (`exp`)")]
    NoExpiry,
    /// Its `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// Its `nbf` has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// The claim with the user is not there or not a text.
    #[error("the token names no user")]
    NoUser,
    /// The user named is no valid user id.
    #[error("the token's user is not valid: it {0}")]
    User(NameError),
}

impl AuthError {
    /// All codes, as clients see them.
    pub const CODES: [&str; 9] = [
        "token_missing",
        "token_too_large",
        "token_malformed",
        "token_algorithm",
        "token_signature",
        "token_no_expiry",
        "token_expired",
        "token_not_yet_valid",
        "token_user",
    ];

    /// The code in the client's `connect_error`, also a metric label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::TooLarge { .. } => "token_too_large",
            Self::Malformed => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Signature => "token_signature",
            Self::NoExpiry => "token_no_expiry",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::NoUser | Self::User(_) => "token_user",
        }
    }
}

/// Authenticates clients as configured.
#[derive(Debug)]
pub(crate) struct Authenticator {
    method: Method,
    token_bytes: usize,
}

#[derive(Debug)]
enum Method {
    Jwt(Box<Jwt>),
    Insecure,
}

impl Authenticator {
    pub(crate) fn new(options: &AuthOptions, token_bytes: usize) -> Self {
        let method = match options {
            AuthOptions::Jwt(options) => Method::Jwt(Box::new(Jwt::new(options))),
            AuthOptions::Insecure => Method::Insecure,
        };
        Self { method, token_bytes }
    }

    /// Who the bearer of `token` is.
    pub(crate) fn authenticate(&self, token: Option<&str>) -> Result<UserId, AuthError> {
        let token = token.filter(|token| !token.is_empty()).ok_or(AuthError::Missing)?;
        if token.len() > self.token_bytes {
            return Err(AuthError::TooLarge { limit: self.token_bytes, actual: token.len() });
        }
        match &self.method {
            Method::Jwt(jwt) => jwt.authenticate(token),
            Method::Insecure => insecure::authenticate(token),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_needed_and_bounded_whatever_the_method() {
        let insecure = Authenticator::new(&AuthOptions::Insecure, 10);
        assert_eq!(insecure.authenticate(None), Err(AuthError::Missing));
        assert_eq!(insecure.authenticate(Some("")), Err(AuthError::Missing));
        let error = insecure.authenticate(Some("01234567890")).unwrap_err();
        assert_eq!(error.code(), "token_too_large");
        assert_eq!(insecure.authenticate(Some("alice")).unwrap().as_str(), "alice");
    }

    #[test]
    fn every_code_is_listed() {
        for error in [
            AuthError::Missing,
            AuthError::TooLarge { limit: 1, actual: 2 },
            AuthError::Malformed,
            AuthError::Algorithm,
            AuthError::Signature,
            AuthError::NoExpiry,
            AuthError::Expired,
            AuthError::NotYetValid,
            AuthError::NoUser,
            AuthError::User(NameError::Empty),
        ] {
            assert!(AuthError::CODES.contains(&error.code()), "{error}");
        }
    }
}
