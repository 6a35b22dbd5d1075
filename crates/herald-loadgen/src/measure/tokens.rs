//! What clients show to be let in.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;

/// How long a token that is signed here is good for.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What clients show to be let in.
#[derive(Clone, Default)]
pub enum Tokens {
    /// The user's id, for gateways that take it at its word.
    #[default]
    UserId,
    /// A text of one's own, with `{user}` for the user's id.
    Pattern(String),
    /// A JWT signed with HS256, good for a day.
    Signed(Signer),
}

/// Signs JWTs of users. Shows nobody its secret.
#[derive(Clone)]
pub struct Signer {
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
}

impl Signer {
    /// Signs with this secret; issuer and audience go into the token where the gateway wants them.
    pub fn new(secret: &[u8], issuer: Option<String>, audience: Option<String>) -> Self {
        Self { key: EncodingKey::from_secret(secret), issuer, audience }
    }

    fn sign(&self, user: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Claims {
            sub: user,
            iat: now.as_secs(),
            exp: (now + LIFETIME).as_secs(),
            iss: self.issuer.as_deref(),
            aud: self.audience.as_deref(),
        };
        jsonwebtoken::encode(&Header::default(), &claims, &self.key)
            .expect("a secret of any length signs with HS256")
    }
}

impl Tokens {
    /// A user's token.
    pub(super) fn of(&self, user: &str) -> String {
        match self {
            Self::UserId => user.to_owned(),
            Self::Pattern(pattern) => pattern.replace("{user}", user),
            Self::Signed(signer) => signer.sign(user),
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserId => "UserId",
            Self::Pattern(_) => "Pattern",
            Self::Signed(_) => "Signed",
        })
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};

    use super::*;

    #[test]
    fn a_signed_token_names_its_user_and_no_text_shows_the_secret() {
        let secret = b"a-secret-of-thirty-two-bytes-abc";
        let tokens =
            Tokens::Signed(Signer::new(secret, Some("issuer".into()), Some("audience".into())));
        let mut validation = Validation::default();
        validation.set_issuer(&["issuer"]);
        validation.set_audience(&["audience"]);
        let key = DecodingKey::from_secret(secret);
        let claims =
            jsonwebtoken::decode::<serde_json::Value>(tokens.of("alice"), &key, &validation);
        assert_eq!(claims.unwrap().claims["sub"], "alice");
        assert_eq!(format!("{tokens:?}"), "Signed");
    }

    #[test]
    fn a_pattern_is_filled_in() {
        assert_eq!(Tokens::Pattern("t-{user}".into()).of("7"), "t-7");
        assert_eq!(Tokens::UserId.of("7"), "7");
    }
}
