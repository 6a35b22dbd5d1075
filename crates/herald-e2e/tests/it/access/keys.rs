//! Keys to sign tokens with; the gateway's own tests have the files.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::Value;

/// The shared secret of a gateway.
pub(super) const SECRET: &str = "e2e-shared-secret-0123456789abcdef-0123456789abcdef-0123456789abc";

pub(super) const RSA_PRIVATE: &str = include_str!("../../../../herald-gateway/tests/keys/rsa.pem");
pub(super) const RSA_PUBLIC: &str =
    include_str!("../../../../herald-gateway/tests/keys/rsa.pub.pem");
pub(super) const P256_PRIVATE: &str =
    include_str!("../../../../herald-gateway/tests/keys/p256.pem");
pub(super) const ED25519_PRIVATE: &str =
    include_str!("../../../../herald-gateway/tests/keys/ed25519.pem");

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A key that can sign.
pub(super) fn key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(RSA_PRIVATE.as_bytes()),
        Algorithm::ES256 => EncodingKey::from_ec_pem(P256_PRIVATE.as_bytes()),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(ED25519_PRIVATE.as_bytes()),
        _ => Ok(EncodingKey::from_secret(SECRET.as_bytes())),
    }
    .unwrap()
}

/// A token with the right signature.
pub(super) fn sign(algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    let token = encode(&header, claims, &key(algorithm)).unwrap();
    herald_e2e::note_secret(token.rsplit_once('.').unwrap().1);
    token
}

/// The public key as an issuer publishes it.
pub(crate) fn jwk(algorithm: Algorithm, kid: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(&key(algorithm), algorithm).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    serde_json::to_value(jwk).unwrap()
}
