//! JSON Web Tokens.

use std::{str::FromStr as _, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use herald_core::UserId;
use herald_service::config::Secret;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde::Deserialize;
use serde_json::Value;

use super::{
    AuthError, Denied, Identity,
    jwks::{Found, Jwks, JwksOptions},
    keys::{ALGORITHMS, Key, KeySet},
};
use crate::expiry::now_ms;

/// A shorter secret can be found by trying (RFC 7518, 3.2: at least the size of the hash).
pub const MIN_SECRET_BYTES: usize = 32;

/// A public key that clients' tokens are verified with.
#[derive(Debug, Clone)]
pub struct PublicKey(Key);

impl PublicKey {
    /// Reads a key in PEM: RSA of 2048 to 8192 bits (for RS256), P-256 (ES256) or Ed25519 (EdDSA).
    ///
    /// # Errors
    /// What is wrong with it; the text itself is not in the error.
    pub fn from_pem(pem: &str) -> Result<Self, &'static str> {
        Key::pem(pem).map(Self)
    }
}

/// How JSON Web Tokens are verified. At least one of the keys has to be there; with several, a
/// token of any of them is accepted.
///
/// `exp` is required, `nbf` is heeded when there.
#[derive(Debug, Clone)]
pub struct JwtOptions {
    /// A shared secret, at least [`MIN_SECRET_BYTES`] long: for HS256, from 48 bytes on for HS384
    /// too, from 64 bytes on for HS512.
    pub secret: Option<Secret>,
    /// The issuer's public key.
    pub public_key: Option<PublicKey>,
    /// Where the issuer publishes its keys.
    pub jwks: Option<JwksOptions>,
    /// Accepted `iss`; if empty, `iss` is not looked at.
    pub issuers: Vec<String>,
    /// Accepted `aud`, one of which a token has to have; if empty, `aud` is not looked at, so the
    /// keys must be ones that only tokens for Herald are signed with.
    pub audiences: Vec<String>,
    /// The claim that holds the user id, a text.
    pub user_claim: String,
    /// How far the clocks of issuer and gateway may be apart.
    pub leeway: Duration,
}

/// Verifies tokens.
#[derive(Debug)]
pub(super) struct Jwt {
    own: KeySet,
    pub(super) jwks: Option<Jwks>,
    /// One for each algorithm, which it alone accepts.
    validations: Vec<Validation>,
    leeway: Duration,
    user_claim: String,
}

/// What a token says of itself.
struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
}

impl Jwt {
    pub(super) fn new(options: &JwtOptions) -> Self {
        let mut validation = Validation {
            leeway: options.leeway.as_secs(),
            validate_nbf: true,
            validate_aud: !options.audiences.is_empty(),
            ..Validation::default()
        };
        if !options.audiences.is_empty() {
            validation.set_audience(&options.audiences);
            // Without this the library accepts a token that has none.
            validation.required_spec_claims.insert("aud".into());
        }
        if !options.issuers.is_empty() {
            validation.set_issuer(&options.issuers);
            validation.required_spec_claims.insert("iss".into());
        }
        let secret = options.secret.as_ref().map(Key::secret);
        let public = options.public_key.as_ref().map(|PublicKey(key)| key.clone());
        Self {
            own: KeySet::new(secret.into_iter().chain(public).collect()),
            jwks: options.jwks.clone().map(Jwks::new),
            validations: ALGORITHMS
                .into_iter()
                .map(|algorithm| Validation { algorithms: vec![algorithm], ..validation.clone() })
                .collect(),
            leeway: options.leeway,
            user_claim: options.user_claim.clone(),
        }
    }

    /// Who the token is of. Waits only for a key that is not known yet.
    pub(super) async fn authenticate(&self, token: &str) -> Result<Identity, Denied> {
        let header = read_header(token)?;
        let own = self.verify(token, &header, &self.own);
        let Some(jwks) = self.jwks.as_ref().filter(|_| !is_shared(header.algorithm)) else {
            return Ok(own.unwrap_or(Err(AuthError::Algorithm))?);
        };
        match own {
            // Another key of the same kind may be in the JWKS.
            None | Some(Err(AuthError::Signature)) => {}
            Some(verified) => return Ok(verified?),
        }
        let keys = match jwks.keys_for(header.kid.as_deref()).await {
            Found::Keys(keys) => keys,
            Found::Unknown => return Err(AuthError::Key.into()),
            Found::Away => return Err(Denied::Away("jwks_away")),
        };
        let verified = self.verify(token, &header, &keys).or(own);
        Ok(verified.unwrap_or(Err(AuthError::Algorithm))?)
    }

    /// Verifies with the keys of a set that fit; `None` when none does.
    fn verify(
        &self,
        token: &str,
        header: &Header,
        keys: &KeySet,
    ) -> Option<Result<Identity, AuthError>> {
        let accepts = |of: &&Validation| of.algorithms.contains(&header.algorithm);
        let validation = self.validations.iter().find(accepts)?;
        let mut verified = None;
        for key in keys.fitting(header.algorithm, header.kid.as_deref()) {
            verified = Some(self.verify_with(token, key, validation));
            if verified != Some(Err(AuthError::Signature)) {
                break;
            }
        }
        verified
    }

    fn verify_with(
        &self,
        token: &str,
        key: &DecodingKey,
        validation: &Validation,
    ) -> Result<Identity, AuthError> {
        let claims: Value = jsonwebtoken::decode(token, key, validation)
            .map_err(|error| refusal(error.kind()))?
            .claims;
        let user = match claims.get(&self.user_claim) {
            Some(Value::String(user)) => UserId::new(user).map_err(AuthError::User)?,
            _ => return Err(AuthError::NoUser),
        };
        let ms = |name: &str| {
            let seconds = claims.get(name)?.as_f64().filter(|seconds| *seconds >= 0.0)?;
            // Saturates: some issuers mean "never" by a very large number.
            Some((seconds * 1000.0) as u64)
        };
        let leeway_ms = u64::try_from(self.leeway.as_millis()).unwrap_or(u64::MAX);
        let ends_at_ms = ms("exp").map(|exp| exp.saturating_add(leeway_ms));
        // The library grants the whole of the last second. A session that is closed at its token's
        // end must not be let in again with it.
        if ends_at_ms.is_some_and(|ends| ends <= now_ms()) {
            return Err(AuthError::Expired);
        }
        Ok(Identity { user, ends_at_ms, issued_at_ms: ms("iat") })
    }
}

/// Looks at the header before the library does, which has no error that tells an algorithm it
/// does not know (`none`) from a header that is no JSON, and overlooks `crit`.
fn read_header(token: &str) -> Result<Header, AuthError> {
    #[derive(Deserialize)]
    struct Raw {
        alg: String,
        kid: Option<String>,
        crit: Option<Value>,
    }
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let [header, _, _] = parts[..] else {
        return Err(AuthError::Malformed);
    };
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| AuthError::Malformed)?;
    let header: Raw = serde_json::from_slice(&header).map_err(|_| AuthError::Malformed)?;
    if header.crit.is_some() {
        // Who does not know an extension that is critical must refuse (RFC 7515, 4.1.11).
        return Err(AuthError::Malformed);
    }
    let algorithm = Algorithm::from_str(&header.alg).map_err(|_| AuthError::Algorithm)?;
    Ok(Header { algorithm, kid: header.kid })
}

/// Whether tokens of this algorithm are signed with a shared secret.
fn is_shared(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

fn refusal(kind: &ErrorKind) -> AuthError {
    let of_claim = |claim: &str| match claim {
        "exp" => AuthError::NoExpiry,
        "iss" => AuthError::Issuer,
        "aud" => AuthError::Audience,
        _ => AuthError::Malformed,
    };
    match kind {
        ErrorKind::InvalidSignature => AuthError::Signature,
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::ImmatureSignature => AuthError::NotYetValid,
        ErrorKind::InvalidIssuer => AuthError::Issuer,
        ErrorKind::InvalidAudience => AuthError::Audience,
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            of_claim(claim)
        }
        ErrorKind::InvalidAlgorithm => AuthError::Algorithm,
        _ => AuthError::Malformed,
    }
}

#[cfg(test)]
mod tests;
