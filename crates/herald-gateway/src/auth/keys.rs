//! The keys that tokens are verified with.
//!
//! A key decides which algorithms it is used with; a token's header can only choose among the keys
//! that fit what it says. So no header makes a public key a shared secret, or does without a key.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use herald_service::config::Secret;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// Everything that a key may be made for.
pub(super) const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
];

/// Usable keys that one JWKS may hold: issuers have two or three.
pub(super) const MAX_KEYS: usize = 32;

/// Longest `kid` that is kept.
const MAX_KID_BYTES: usize = 256;

/// A smaller RSA key can be broken, a larger one makes each verification too dear.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// One key.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Keys with one verify tokens that name it, or name none.
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Key {
    /// A shared secret, for those algorithms whose hash is not longer than it is.
    pub(super) fn secret(secret: &Secret) -> Self {
        let bytes = secret.expose().as_bytes();
        let enough = [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)];
        let algorithms = enough.iter().filter(|(_, least)| bytes.len() >= *least);
        Self {
            kid: None,
            algorithms: algorithms.map(|(algorithm, _)| *algorithm).collect(),
            key: DecodingKey::from_secret(bytes),
        }
    }

    /// A public key in PEM: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).
    pub(super) fn pem(pem: &str) -> Result<Self, &'static str> {
        if pem.contains("PRIVATE KEY-----") {
            return Err("holds a private key; only the public one belongs here");
        }
        if !["-----BEGIN PUBLIC KEY-----", "-----BEGIN RSA PUBLIC KEY-----"]
            .iter()
            .any(|begin| pem.trim_start().starts_with(begin))
        {
            return Err("is no public key in PEM");
        }
        let bytes = pem.as_bytes();
        let key = DecodingKey::from_rsa_pem(bytes)
            .or_else(|_| DecodingKey::from_ec_pem(bytes))
            .or_else(|_| DecodingKey::from_ed_pem(bytes))
            .map_err(|_| "is no public key of RSA, P-256 or Ed25519")?;
        Self::public(None, key)
    }

    /// A key of a JWKS.
    fn jwk(value: Value) -> Result<Self, &'static str> {
        let jwk: Jwk = serde_json::from_value(value).map_err(|_| "is no JWK")?;
        let common = &jwk.common;
        if common.public_key_use.as_ref().is_some_and(|of| *of != PublicKeyUse::Signature) {
            return Err("is not for signatures");
        }
        if common.key_id.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err("has too long a `kid`");
        }
        if matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_)) {
            return Err("is a shared secret; only public keys belong into a JWKS");
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| "is of a kind that is not supported")?;
        let key = Self::public(common.key_id.clone(), key)?;
        match common.key_algorithm {
            Some(meant) if !key.algorithms.iter().any(|own| meant == (*own).into()) => {
                Err("is for an algorithm that is not supported")
            }
            _ => Ok(key),
        }
    }

    fn public(kid: Option<String>, key: DecodingKey) -> Result<Self, &'static str> {
        // Checks the sizes, without which the library panics on a short Ed25519 key.
        let parameters = Jwk::from_decoding_key(&key, None).map_err(|_| "is malformed")?.algorithm;
        let algorithm = match (key.family(), parameters) {
            (AlgorithmFamily::Rsa, AlgorithmParameters::RSA(rsa)) => {
                let modulus = URL_SAFE_NO_PAD.decode(rsa.n).map_err(|_| "is malformed")?;
                let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
                if !RSA_BYTES.contains(&(modulus.len() - zeros)) {
                    return Err("is an RSA key with fewer than 2048 or more than 8192 bits");
                }
                Algorithm::RS256
            }
            (AlgorithmFamily::Ec, AlgorithmParameters::EllipticCurve(curve))
                if curve.curve == EllipticCurve::P256 =>
            {
                Algorithm::ES256
            }
            (AlgorithmFamily::Ed, _) => Algorithm::EdDSA,
            _ => return Err("is of a kind that is not supported"),
        };
        // A point that is not on its curve shows only when the key is used.
        jsonwebtoken::crypto::verify("", b"", &key, algorithm).map_err(|_| "is malformed")?;
        Ok(Self { kid, algorithms: vec![algorithm], key })
    }
}

/// Keys, of which a token's header chooses.
#[derive(Debug, Clone, Default)]
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    pub(super) fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// Reads a JWKS. What it holds beside usable keys is passed over: issuers publish keys for
    /// other uses, and new kinds of them.
    ///
    /// # Errors
    /// When it is no JWKS, has no usable key, or too many: then it is not what it should be.
    pub(super) fn jwks(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let document: Document =
            serde_json::from_slice(bytes).map_err(|_| "it is no JSON with a list of `keys`")?;
        let (mut keys, mut unusable) = (Vec::new(), None);
        for jwk in document.keys {
            match Key::jwk(jwk) {
                Ok(key) => keys.push(key),
                Err(reason) => unusable = Some(reason),
            }
            if keys.len() > MAX_KEYS {
                return Err(format!("it has more than {MAX_KEYS} usable keys"));
            }
        }
        match unusable {
            Some(reason) if keys.is_empty() => {
                Err(format!("none of its keys can be used; the last one {reason}"))
            }
            None if keys.is_empty() => Err("it holds no keys".into()),
            _ => Ok(Self(keys)),
        }
    }

    /// The keys that may have signed a token whose header says this.
    pub(super) fn fitting<'k>(
        &'k self,
        algorithm: Algorithm,
        kid: Option<&'k str>,
    ) -> impl Iterator<Item = &'k DecodingKey> {
        self.0
            .iter()
            .filter(move |key| key.algorithms.contains(&algorithm))
            .filter(move |key| match (&key.kid, kid) {
                (Some(own), Some(named)) => own == named,
                _ => true,
            })
            .map(|key| &key.key)
    }

    /// Whether there is a key of this name, or one without a name, whatever it is for.
    pub(super) fn knows(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid.as_ref().is_none_or(|own| own == kid))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::test_keys::TestKey;

    fn jwks(keys: &[Value]) -> Result<KeySet, String> {
        KeySet::jwks(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn a_secret_serves_the_algorithms_that_it_is_long_enough_for() {
        let algorithms = |length| Key::secret(&Secret::new("x".repeat(length))).algorithms;
        assert_eq!(algorithms(32), [Algorithm::HS256]);
        assert_eq!(algorithms(48), [Algorithm::HS256, Algorithm::HS384]);
        assert_eq!(algorithms(64), [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512]);
    }

    #[test]
    fn a_public_key_serves_its_own_algorithm_alone() {
        for key in TestKey::ALL {
            let read = Key::pem(key.public_pem()).unwrap();
            assert_eq!(read.algorithms, [key.algorithm()]);
            let set = jwks(&[key.jwk("one")]).unwrap();
            for algorithm in ALGORITHMS {
                let fits = set.fitting(algorithm, Some("one")).count();
                assert_eq!(fits, usize::from(algorithm == key.algorithm()), "{algorithm:?}");
                assert_eq!(set.fitting(algorithm, Some("two")).count(), 0);
            }
            assert_eq!(set.fitting(key.algorithm(), None).count(), 1);
        }
    }

    #[test]
    fn what_is_no_public_key_in_pem_is_refused_with_its_reason() {
        for (pem, reason) in [
            ("", "is no public key in PEM"),
            ("0123456789abcdef0123456789abcdef", "is no public key in PEM"),
            (
                "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
                "is no public key of RSA, P-256 or Ed25519",
            ),
            ("-----BEGIN CERTIFICATE-----\n", "is no public key in PEM"),
        ] {
            assert_eq!(Key::pem(pem).unwrap_err(), reason);
        }
        for key in TestKey::ALL {
            let reason = Key::pem(key.private_pem()).unwrap_err();
            assert_eq!(reason, "holds a private key; only the public one belongs here");
        }
    }

    #[test]
    fn unusable_keys_of_a_jwks_are_passed_over_and_usable_ones_counted() {
        let good = TestKey::Ed25519.jwk("good");
        let with = |name: &str, value: Value| {
            let mut key = TestKey::Ed25519.jwk("x");
            key[name] = value;
            key
        };
        for bad in [
            json!(null),
            json!("key"),
            json!({"kty": "EC"}),
            json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([7; 64]), "kid": "x"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "not base64!"}),
            json!({"kty": "OKP", "crv": "X25519", "x": URL_SAFE_NO_PAD.encode([7; 32])}),
            json!({"kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode([7; 32]), "y": URL_SAFE_NO_PAD.encode([7; 32])}),
            json!({"kty": "EC", "crv": "P-384", "x": URL_SAFE_NO_PAD.encode([7; 48]), "y": URL_SAFE_NO_PAD.encode([7; 48])}),
            json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 128]), "e": "AQAB"}),
            json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0xff; 2048]), "e": "AQAB"}),
            with("use", json!("enc")),
            with("alg", json!("HS256")),
            with("alg", json!("RS256")),
            with("kid", json!("k".repeat(257))),
        ] {
            let set = jwks(&[bad.clone(), good.clone()]).unwrap();
            assert_eq!(set.len(), 1, "{bad}");
            let alone = jwks(std::slice::from_ref(&bad)).unwrap_err();
            assert!(alone.starts_with("none of its keys can be used"), "{alone}");
        }
        let many: Vec<Value> =
            (0..=MAX_KEYS).map(|nth| TestKey::Ed25519.jwk(&nth.to_string())).collect();
        assert_eq!(jwks(&many[1..]).unwrap().len(), MAX_KEYS);
        assert_eq!(jwks(&many).unwrap_err(), "it has more than 32 usable keys");
        assert_eq!(jwks(&[]).unwrap_err(), "it holds no keys");
        for garbage in ["", "<html>", "[]", "{}", r#"{"keys": 5}"#, "\u{0}"] {
            let reason = KeySet::jwks(garbage.as_bytes()).unwrap_err();
            assert_eq!(reason, "it is no JSON with a list of `keys`", "{garbage}");
        }
    }
}
