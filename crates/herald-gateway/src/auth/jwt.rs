//! JSON Web Tokens signed with HS256.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use herald_core::UserId;
use herald_service::config::Secret;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde::Deserialize;
use serde_json::Value;

use super::AuthError;

/// A shorter secret can be found by trying (RFC 7518, 3.2: at least the size of the hash).
pub const MIN_SECRET_BYTES: usize = 32;

/// How JSON Web Tokens are verified.
///
/// HS256 is the only algorithm, whatever a token's header asks for. `exp` is required, `nbf` is
/// heeded when there; issuer and audience are not looked at, so the secret must be one that only
/// tokens for Herald are signed with.
#[derive(Debug, Clone)]
pub struct JwtOptions {
    /// The shared secret, at least [`MIN_SECRET_BYTES`] long.
    pub secret: Secret,
    /// The claim that holds the user id, a text.
    pub user_claim: String,
    /// How far the clocks of issuer and gateway may be apart.
    pub leeway: Duration,
}

/// Verifies tokens.
#[derive(Debug)]
pub(super) struct Jwt {
    key: DecodingKey,
    validation: Validation,
    user_claim: String,
}

impl Jwt {
    pub(super) fn new(options: &JwtOptions) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = options.leeway.as_secs();
        validation.validate_nbf = true;
        validation.validate_aud = false;
        Self {
            key: DecodingKey::from_secret(options.secret.expose().as_bytes()),
            validation,
            user_claim: options.user_claim.clone(),
        }
    }

    pub(super) fn authenticate(&self, token: &str) -> Result<UserId, AuthError> {
        check_header(token)?;
        let claims: Value = jsonwebtoken::decode(token, &self.key, &self.validation)
            .map_err(|error| refusal(error.kind()))?
            .claims;
        match claims.get(&self.user_claim) {
            Some(Value::String(user)) => UserId::new(user).map_err(AuthError::User),
            _ => Err(AuthError::NoUser),
        }
    }
}

/// Looks at the header before the library does, which has no error that tells an algorithm it
/// does not know (`none`) from a header that is no JSON.
fn check_header(token: &str) -> Result<(), AuthError> {
    #[derive(Deserialize)]
    struct Header {
        alg: String,
    }
    let parts: Vec<&str> = token.splitn(4, '.').collect();
    let [header, _, _] = parts[..] else {
        return Err(AuthError::Malformed);
    };
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| AuthError::Malformed)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| AuthError::Malformed)?;
    if header.alg == "HS256" { Ok(()) } else { Err(AuthError::Algorithm) }
}

fn refusal(kind: &ErrorKind) -> AuthError {
    match kind {
        ErrorKind::InvalidSignature => AuthError::Signature,
        ErrorKind::ExpiredSignature => AuthError::Expired,
        ErrorKind::ImmatureSignature => AuthError::NotYetValid,
        ErrorKind::MissingRequiredClaim(_) => AuthError::NoExpiry,
        ErrorKind::InvalidClaimFormat(claim) if claim == "exp" => AuthError::NoExpiry,
        ErrorKind::InvalidAlgorithm => AuthError::Algorithm,
        _ => AuthError::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn jwt(user_claim: &str) -> Jwt {
        Jwt::new(&JwtOptions {
            secret: Secret::new(SECRET),
            user_claim: user_claim.to_owned(),
            leeway: Duration::from_secs(30),
        })
    }

    fn signed(header: &Header, claims: &Value, secret: &str) -> String {
        encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    fn hs256(claims: &Value) -> String {
        signed(&Header::default(), claims, SECRET)
    }

    fn now() -> u64 {
        jsonwebtoken::get_current_timestamp()
    }

    fn code(token: &str) -> &'static str {
        jwt("sub").authenticate(token).unwrap_err().code()
    }

    #[test]
    fn a_valid_token_names_its_user() {
        let token = hs256(&json!({"sub": "alice", "exp": now() + 60, "aud": "any", "iss": "any"}));
        assert_eq!(jwt("sub").authenticate(&token).unwrap().as_str(), "alice");
        let token = hs256(&json!({"user_id": "{t} bob", "exp": now() + 60, "nbf": now()}));
        assert_eq!(jwt("user_id").authenticate(&token).unwrap().as_str(), "{t} bob");
    }

    #[test]
    fn the_leeway_is_granted_on_both_ends_and_no_more() {
        let valid = |claims| jwt("sub").authenticate(&hs256(&claims));
        assert!(valid(json!({"sub": "a", "exp": now() - 20})).is_ok());
        assert!(valid(json!({"sub": "a", "exp": now() + 60, "nbf": now() + 20})).is_ok());
        let expired = valid(json!({"sub": "a", "exp": now() - 40}));
        assert_eq!(expired, Err(AuthError::Expired));
        let early = valid(json!({"sub": "a", "exp": now() + 60, "nbf": now() + 60}));
        assert_eq!(early, Err(AuthError::NotYetValid));
    }

    #[test]
    fn an_expiry_is_required_and_must_be_a_number() {
        for exp in [json!(null), json!("soon"), json!(-5), json!({})] {
            assert_eq!(code(&hs256(&json!({"sub": "alice", "exp": exp}))), "token_no_expiry");
        }
        assert_eq!(code(&hs256(&json!({"sub": "alice"}))), "token_no_expiry");
    }

    #[test]
    fn the_user_must_be_a_text_and_valid() {
        let exp = now() + 60;
        for user in [json!(null), json!(42), json!(""), json!("a\nb")] {
            assert_eq!(code(&hs256(&json!({"sub": user, "exp": exp}))), "token_user");
        }
        let long = "u".repeat(129);
        assert_eq!(code(&hs256(&json!({"sub": long, "exp": exp}))), "token_user");
        assert_eq!(code(&hs256(&json!({"exp": exp}))), "token_user");
    }

    #[test]
    fn another_algorithm_is_refused_even_with_our_secret() {
        let claims = json!({"sub": "alice", "exp": now() + 60});
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            assert_eq!(code(&signed(&Header::new(algorithm), &claims, SECRET)), "token_algorithm");
        }
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        for alg in ["none", "None", "RS256", "hs256", "X"] {
            let header = json!({"alg": alg, "typ": "JWT"});
            let unsigned = format!("{}.{}.", part(&header), part(&claims));
            assert_eq!(code(&unsigned), "token_algorithm", "{alg}");
        }
    }

    #[test]
    fn a_foreign_or_changed_signature_is_refused() {
        let claims = json!({"sub": "alice", "exp": now() + 60});
        let foreign = signed(&Header::default(), &claims, "another secret, also 32 bytes long");
        assert_eq!(code(&foreign), "token_signature");
        let token = hs256(&claims);
        let (head, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(code(&format!("{head}.")), "token_signature");
        let (header, _) = head.split_once('.').unwrap();
        let other = URL_SAFE_NO_PAD.encode(json!({"sub": "bob", "exp": now() + 60}).to_string());
        assert_eq!(code(&format!("{header}.{other}.{signature}")), "token_signature");
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let token = hs256(&json!({"sub": "alice", "exp": now() + 60}));
        let (head, _) = token.rsplit_once('.').unwrap();
        for bad in ["x", "..", "a.b.c", "{}", "é.é.é", head, &format!("{token}.x"), "e30.e30.e30"]
        {
            assert_eq!(code(bad), "token_malformed", "{bad}");
        }
        assert_eq!(code(&format!("{head}.?")), "token_malformed");
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let list = encode(&Header::default(), &json!([1]), &key).unwrap();
        assert_ne!(code(&list), "", "claims that are no object are refused too");
    }
}
