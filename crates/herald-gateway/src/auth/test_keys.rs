//! Keys for tests, one of each kind; `tests/keys` has their files.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::Value;

macro_rules! key_file {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/", $name))
    };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TestKey {
    Rsa,
    P256,
    Ed25519,
}

impl TestKey {
    pub(crate) const ALL: [Self; 3] = [Self::Rsa, Self::P256, Self::Ed25519];

    pub(crate) fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa => Algorithm::RS256,
            Self::P256 => Algorithm::ES256,
            Self::Ed25519 => Algorithm::EdDSA,
        }
    }

    pub(crate) fn private_pem(self) -> &'static str {
        match self {
            Self::Rsa => key_file!("rsa.pem"),
            Self::P256 => key_file!("p256.pem"),
            Self::Ed25519 => key_file!("ed25519.pem"),
        }
    }

    pub(crate) fn public_pem(self) -> &'static str {
        match self {
            Self::Rsa => key_file!("rsa.pub.pem"),
            Self::P256 => key_file!("p256.pub.pem"),
            Self::Ed25519 => key_file!("ed25519.pub.pem"),
        }
    }

    fn signing(self) -> EncodingKey {
        let pem = self.private_pem().as_bytes();
        match self {
            Self::Rsa => EncodingKey::from_rsa_pem(pem),
            Self::P256 => EncodingKey::from_ec_pem(pem),
            Self::Ed25519 => EncodingKey::from_ed_pem(pem),
        }
        .unwrap()
    }

    /// The public key as an issuer publishes it.
    pub(crate) fn jwk(self, kid: &str) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.signing(), self.algorithm()).unwrap();
        jwk.common.key_id = Some(kid.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    /// A token that this key has signed.
    pub(crate) fn sign(self, kid: Option<&str>, claims: &Value) -> String {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(self.algorithm()) };
        encode(&header, claims, &self.signing()).unwrap()
    }
}
