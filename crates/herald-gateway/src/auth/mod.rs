//! Who a client is.
//!
//! One seam: a token in, and out comes a user, or a documented [`AuthError`], or that it cannot be
//! said now. A client that is refused gets a `connect_error` whose message is `Authentication error:
//! <code>`; the stock clients do not try again after it, so only what will not mend itself may end
//! here. While it cannot be said, the client's transport is closed: it comes back.

mod fetch;
mod insecure;
mod jwks;
mod jwt;
mod keys;
#[cfg(test)]
pub(crate) mod test_keys;
mod webhook;

use std::time::Duration;

use herald_core::{NameError, UserId};
use herald_service::Condition;

pub use jwks::{JwksOptions, JwksSource};
pub use jwt::{JwtOptions, MIN_SECRET_BYTES, PublicKey};
pub use webhook::WebhookOptions;

pub(crate) use fetch::url;

use jwt::Jwt;
use webhook::Webhook;

/// How clients are authenticated.
#[derive(Debug, Clone)]
pub enum AuthOptions {
    /// JSON Web Tokens.
    Jwt(Box<JwtOptions>),
    /// The company's own endpoint says who a token is of.
    Webhook(WebhookOptions),
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
    /// Not a text, or not a JSON Web Token: parts, base64url or JSON are wrong, or its header asks
    /// for an extension (`crit`).
    #[error("the token is malformed")]
    Malformed,
    /// Signed with an algorithm that no key of ours is for, or not at all.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// The issuer does not publish a key of the name (`kid`) that the token gives.
    #[error("the token's key is not known")]
    Key,
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
    /// Its `iss` is missing, or none of `HERALD_JWT_ISSUER`.
    #[error("the token is of another issuer")]
    Issuer,
    /// Its `aud` is missing, or holds none of `HERALD_JWT_AUDIENCE`.
    #[error("the token is for another audience")]
    Audience,
    /// The claim with the user is not there or not a text.
    #[error("the token names no user")]
    NoUser,
    /// The user named is no valid user id.
    #[error("the token's user is not valid: it {0}")]
    User(NameError),
    /// The webhook says so.
    #[error("the webhook does not accept the token")]
    Refused,
    /// It was issued before the user's tokens were revoked, or does not say when it was (`iat`).
    #[error("the token was revoked")]
    Revoked,
}

impl AuthError {
    /// All codes, as clients see them.
    pub const CODES: [&str; 14] = [
        "token_missing",
        "token_too_large",
        "token_malformed",
        "token_algorithm",
        "token_key",
        "token_signature",
        "token_no_expiry",
        "token_expired",
        "token_not_yet_valid",
        "token_issuer",
        "token_audience",
        "token_user",
        "token_refused",
        "token_revoked",
    ];

    /// The code in the client's `connect_error`, also a metric label.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::TooLarge { .. } => "token_too_large",
            Self::Malformed => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Key => "token_key",
            Self::Signature => "token_signature",
            Self::NoExpiry => "token_no_expiry",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::Issuer => "token_issuer",
            Self::Audience => "token_audience",
            Self::NoUser | Self::User(_) => "token_user",
            Self::Refused => "token_refused",
            Self::Revoked => "token_revoked",
        }
    }
}

/// What a token says, once it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: UserId,
    /// When it is not to be believed any more, in milliseconds since 1970.
    pub(crate) ends_at_ms: Option<u64>,
    /// Since when it is known to be the user's, in milliseconds since 1970: when it was issued or,
    /// if somebody was asked, when that was.
    pub(crate) issued_at_ms: Option<u64>,
}

/// Why nobody is let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The token is not accepted, and will not be.
    Refused(AuthError),
    /// Who could say is away, by the reason given: trying again may help.
    Away(&'static str),
}

impl From<AuthError> for Denied {
    fn from(error: AuthError) -> Self {
        Self::Refused(error)
    }
}

/// Authenticates clients as configured.
#[derive(Debug)]
pub(crate) struct Authenticator {
    method: Method,
    token_bytes: usize,
    expiry_notice: Duration,
}

#[derive(Debug)]
enum Method {
    Jwt(Box<Jwt>),
    Webhook(Box<Webhook>),
    Insecure,
}

impl Authenticator {
    /// Accepts tokens of at most `token_bytes`; clients are to be told `expiry_notice` before theirs
    /// ends.
    pub(crate) fn new(options: &AuthOptions, token_bytes: usize, expiry_notice: Duration) -> Self {
        let method = match options {
            AuthOptions::Jwt(options) => Method::Jwt(Box::new(Jwt::new(options))),
            AuthOptions::Webhook(options) => Method::Webhook(Box::new(Webhook::new(options))),
            AuthOptions::Insecure => Method::Insecure,
        };
        Self { method, token_bytes, expiry_notice }
    }

    /// How long before its end a client is to be told.
    pub(crate) fn expiry_notice(&self) -> Duration {
        self.expiry_notice
    }

    /// Who the bearer of `token` is.
    pub(crate) async fn authenticate(&self, token: Option<&str>) -> Result<Identity, Denied> {
        self.ask(token, true).await
    }

    /// The same for a session that brings a new token: nothing that was said before will do.
    pub(crate) async fn renew(&self, token: Option<&str>) -> Result<Identity, Denied> {
        self.ask(token, false).await
    }

    async fn ask(&self, token: Option<&str>, remembered: bool) -> Result<Identity, Denied> {
        let token = token.filter(|token| !token.is_empty()).ok_or(AuthError::Missing)?;
        if token.len() > self.token_bytes {
            return Err(AuthError::TooLarge { limit: self.token_bytes, actual: token.len() }.into());
        }
        match &self.method {
            Method::Jwt(jwt) => jwt.authenticate(token).await,
            Method::Webhook(webhook) => webhook.authenticate(token, remembered).await,
            Method::Insecure => Ok(insecure::authenticate(token)?),
        }
    }

    /// Keeps the issuer's keys fresh, for ever, if there is an issuer to ask. `condition` is met
    /// once there are keys.
    pub(crate) async fn keep_fresh(&self, condition: &Condition) {
        let jwks = match &self.method {
            Method::Jwt(jwt) => jwt.jwks.as_ref(),
            Method::Webhook(_) | Method::Insecure => None,
        };
        match jwks {
            Some(jwks) => jwks.keep_fresh(condition).await,
            None => condition.set_ready(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_is_needed_and_bounded_whatever_the_method() {
        let insecure = Authenticator::new(&AuthOptions::Insecure, 10, Duration::ZERO);
        let missing = Err(Denied::Refused(AuthError::Missing));
        assert_eq!(insecure.authenticate(None).await, missing);
        assert_eq!(insecure.authenticate(Some("")).await, missing);
        let too_large = AuthError::TooLarge { limit: 10, actual: 11 };
        assert_eq!(too_large.code(), "token_too_large");
        assert_eq!(insecure.authenticate(Some("01234567890")).await, Err(too_large.into()));
        assert_eq!(insecure.authenticate(Some("alice")).await.unwrap().user.as_str(), "alice");
    }

    #[test]
    fn every_code_is_listed() {
        let errors = [
            AuthError::Missing,
            AuthError::TooLarge { limit: 1, actual: 2 },
            AuthError::Malformed,
            AuthError::Algorithm,
            AuthError::Key,
            AuthError::Signature,
            AuthError::NoExpiry,
            AuthError::Expired,
            AuthError::NotYetValid,
            AuthError::Issuer,
            AuthError::Audience,
            AuthError::NoUser,
            AuthError::User(NameError::Empty),
            AuthError::Refused,
            AuthError::Revoked,
        ];
        let codes: std::collections::HashSet<_> = errors.iter().map(AuthError::code).collect();
        assert_eq!(codes, AuthError::CODES.into());
    }
}
