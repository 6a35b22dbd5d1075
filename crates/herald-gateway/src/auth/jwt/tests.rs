use jsonwebtoken::{EncodingKey, Header as JwtHeader, encode};
use serde_json::json;

use super::*;
use crate::auth::test_keys::TestKey;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn options() -> JwtOptions {
    JwtOptions {
        secret: Some(Secret::new(SECRET)),
        public_key: None,
        jwks: None,
        issuers: Vec::new(),
        audiences: Vec::new(),
        user_claim: "sub".into(),
        leeway: Duration::from_secs(30),
    }
}

fn with_public(key: TestKey) -> JwtOptions {
    let public_key = Some(PublicKey::from_pem(key.public_pem()).unwrap());
    JwtOptions { secret: None, public_key, ..options() }
}

async fn authenticate(options: &JwtOptions, token: &str) -> Result<Identity, AuthError> {
    Jwt::new(options).authenticate(token).await.map_err(|denied| match denied {
        Denied::Refused(error) => error,
        Denied::Away(reason) => panic!("nobody has to be asked: {reason}"),
    })
}

async fn code_with(options: &JwtOptions, token: &str) -> &'static str {
    authenticate(options, token).await.unwrap_err().code()
}

async fn code(token: &str) -> &'static str {
    code_with(&options(), token).await
}

fn signed(header: &JwtHeader, claims: &Value, secret: &str) -> String {
    encode(header, claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

fn hs256(claims: &Value) -> String {
    signed(&JwtHeader::default(), claims, SECRET)
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn alice() -> Value {
    json!({"sub": "alice", "exp": now() + 60})
}

#[tokio::test]
async fn a_valid_token_names_its_user_and_its_end() {
    let exp = now() + 60;
    let token = hs256(&json!({"sub": "alice", "exp": exp, "aud": "any", "iss": "any"}));
    let identity = authenticate(&options(), &token).await.unwrap();
    assert_eq!(identity.user.as_str(), "alice");
    assert_eq!(identity.ends_at_ms, Some((exp + 30) * 1000), "with the leeway");
    let token = hs256(&json!({"user_id": "{t} bob", "exp": now() + 60, "nbf": now()}));
    let options = JwtOptions { user_claim: "user_id".into(), ..options() };
    assert_eq!(authenticate(&options, &token).await.unwrap().user.as_str(), "{t} bob");
}

#[tokio::test]
async fn an_end_beyond_all_time_is_no_trouble() {
    for exp in [json!(u64::MAX), json!(1e18), json!(now() as f64 + 60.5)] {
        let token = hs256(&json!({"sub": "alice", "exp": exp}));
        let identity = authenticate(&options(), &token).await.unwrap();
        assert!(identity.ends_at_ms.unwrap() > now() * 1000, "{exp}");
    }
}

#[tokio::test]
async fn each_kind_of_public_key_verifies_its_own_tokens_and_no_others() {
    for key in TestKey::ALL {
        let options = with_public(key);
        let identity = authenticate(&options, &key.sign(None, &alice())).await.unwrap();
        assert_eq!(identity.user.as_str(), "alice");
        // A key that is configured has no name, so a token may give it any.
        assert!(authenticate(&options, &key.sign(Some("k"), &alice())).await.is_ok());
        for other in TestKey::ALL.into_iter().filter(|other| *other != key) {
            let code = code_with(&options, &other.sign(None, &alice())).await;
            assert_eq!(code, "token_algorithm", "{key:?} {other:?}");
        }
        assert_eq!(code_with(&options, &hs256(&alice())).await, "token_algorithm");
    }
}

#[tokio::test]
async fn a_public_key_is_never_a_shared_secret() {
    for key in TestKey::ALL {
        let pem = key.public_pem();
        for secret in [pem, pem.trim_end(), &pem.replace('\n', "\r\n")] {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let forged = signed(&JwtHeader::new(algorithm), &alice(), secret);
                assert_eq!(code_with(&with_public(key), &forged).await, "token_algorithm");
            }
        }
    }
}

#[tokio::test]
async fn a_long_secret_serves_the_longer_hashes_too() {
    let secret = SECRET.repeat(2);
    let long = JwtOptions { secret: Some(Secret::new(secret.as_str())), ..options() };
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let token = signed(&JwtHeader::new(algorithm), &alice(), &secret);
        assert!(authenticate(&long, &token).await.is_ok(), "{algorithm:?}");
        let short = signed(&JwtHeader::new(algorithm), &alice(), SECRET);
        let expected = if algorithm == Algorithm::HS256 { "ok" } else { "token_algorithm" };
        let got =
            authenticate(&options(), &short).await.map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(got, expected, "{algorithm:?}");
    }
}

#[tokio::test]
async fn secret_and_public_key_may_serve_side_by_side() {
    let both = JwtOptions { secret: options().secret, ..with_public(TestKey::Rsa) };
    assert!(authenticate(&both, &hs256(&alice())).await.is_ok());
    assert!(authenticate(&both, &TestKey::Rsa.sign(None, &alice())).await.is_ok());
}

#[tokio::test]
async fn the_leeway_is_granted_on_both_ends_and_no_more() {
    for (claims, expected) in [
        (json!({"sub": "a", "exp": now() - 20}), Ok(())),
        (json!({"sub": "a", "exp": now() + 60, "nbf": now() + 20}), Ok(())),
        (json!({"sub": "a", "exp": now() - 40}), Err(AuthError::Expired)),
        (json!({"sub": "a", "exp": now() + 60, "nbf": now() + 60}), Err(AuthError::NotYetValid)),
    ] {
        assert_eq!(authenticate(&options(), &hs256(&claims)).await.map(drop), expected, "{claims}");
    }
}

#[tokio::test]
async fn an_expiry_is_required_and_must_be_a_number() {
    for exp in [json!(null), json!("soon"), json!(-5), json!({}), json!([])] {
        assert_eq!(code(&hs256(&json!({"sub": "alice", "exp": exp}))).await, "token_no_expiry");
    }
    assert_eq!(code(&hs256(&json!({"sub": "alice"}))).await, "token_no_expiry");
}

#[tokio::test]
async fn the_user_must_be_a_text_and_valid() {
    let exp = now() + 60;
    let long = "u".repeat(129);
    for user in [json!(null), json!(42), json!(""), json!("a\nb"), json!(long)] {
        assert_eq!(code(&hs256(&json!({"sub": user, "exp": exp}))).await, "token_user", "{user}");
    }
    assert_eq!(code(&hs256(&json!({"exp": exp}))).await, "token_user");
}

#[tokio::test]
async fn issuer_and_audience_are_required_when_configured() {
    let strict = JwtOptions {
        issuers: vec!["us".into(), "them".into()],
        audiences: vec!["herald".into()],
        ..options()
    };
    let claims = |iss: Value, aud: Value| {
        let mut claims = json!({"sub": "alice", "exp": now() + 60, "iss": iss, "aud": aud});
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        hs256(&claims)
    };
    for (iss, aud) in [(json!("us"), json!("herald")), (json!("them"), json!(["x", "herald"]))] {
        assert!(authenticate(&strict, &claims(iss, aud)).await.is_ok());
    }
    for iss in [json!(null), json!("other"), json!(""), json!(5), json!({})] {
        let token = claims(iss.clone(), json!("herald"));
        assert_eq!(code_with(&strict, &token).await, "token_issuer", "{iss}");
    }
    for aud in [json!(null), json!("other"), json!([]), json!(["x"]), json!(5)] {
        let token = claims(json!("us"), aud.clone());
        assert_eq!(code_with(&strict, &token).await, "token_audience", "{aud}");
    }
}

#[tokio::test]
async fn another_algorithm_is_refused_even_with_our_secret() {
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        let token = signed(&JwtHeader::new(algorithm), &alice(), SECRET);
        assert_eq!(code(&token).await, "token_algorithm");
    }
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    for alg in ["none", "None", "NONE", "nOnE", "", "RS256", "PS256", "ES512", "hs256", "X"] {
        let header = json!({"alg": alg, "typ": "JWT"});
        let unsigned = format!("{}.{}.", part(&header), part(&alice()));
        assert_eq!(code(&unsigned).await, "token_algorithm", "{alg}");
    }
}

#[tokio::test]
async fn a_foreign_or_changed_signature_is_refused() {
    let foreign = signed(&JwtHeader::default(), &alice(), "another secret, also 32 bytes long");
    assert_eq!(code(&foreign).await, "token_signature");
    let token = hs256(&alice());
    let (head, signature) = token.rsplit_once('.').unwrap();
    assert_eq!(code(&format!("{head}.")).await, "token_signature");
    let (header, _) = head.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(json!({"sub": "bob", "exp": now() + 60}).to_string());
    assert_eq!(code(&format!("{header}.{other}.{signature}")).await, "token_signature");
    for key in TestKey::ALL {
        let token = key.sign(None, &alice());
        let (head, _) = token.rsplit_once('.').unwrap();
        for signature in ["", "AAAA", &"A".repeat(86), &"A".repeat(342)] {
            let code = code_with(&with_public(key), &format!("{head}.{signature}")).await;
            assert_eq!(code, "token_signature", "{key:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_token_is_malformed() {
    let token = hs256(&alice());
    let (head, _) = token.rsplit_once('.').unwrap();
    for bad in ["x", "..", "a.b.c", "{}", "é.é.é", head, &format!("{token}.x"), "e30.e30.e30"] {
        assert_eq!(code(bad).await, "token_malformed", "{bad}");
    }
    assert_eq!(code(&format!("{head}.?")).await, "token_malformed");
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    for claims in [json!([1]), json!("alice"), json!(null), json!(5)] {
        let token = encode(&JwtHeader::default(), &claims, &key).unwrap();
        assert!(AuthError::CODES.contains(&code(&token).await), "{claims} is refused too");
    }
    let header = JwtHeader { crit: Some(vec!["exp".into()]), ..JwtHeader::default() };
    assert_eq!(code(&signed(&header, &alice(), SECRET)).await, "token_malformed");
}
