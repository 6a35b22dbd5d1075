//! Tokens that are wrong, in every way that we know of.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use herald_e2e::{GatewayOptions, Sandbox};
use herald_loadgen::{ConnectError, Session, SessionOptions, Transport};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::keys::{RSA_PUBLIC, SECRET, jwk, now, sign};
use crate::support::{PATIENCE, figure, sessions_of};

fn claims() -> Value {
    json!({"sub": "alice", "exp": now() + 600, "iss": "https://login.test", "aud": ["other", "herald"]})
}

/// The right claims, but for this one.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn hs256(claims: &Value) -> String {
    sign(Algorithm::HS256, None, claims)
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

fn forged(header: &Value, claims: &Value, signature: &str) -> String {
    format!("{}.{}.{signature}", part(header), part(claims))
}

fn keyed(algorithm: Algorithm, secret: &[u8], claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// What is wrong with a token, the token, the code.
#[rustfmt::skip]
fn bad_tokens() -> Vec<(&'static str, Option<String>, &'static str)> {
    let good = hs256(&claims());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (header, body) = head.split_once('.').unwrap();
    let rsa = sign(Algorithm::RS256, Some("rsa"), &claims());
    let (rsa_head, _) = rsa.rsplit_once('.').unwrap();
    let of_bob = part(&with("sub", json!("bob")));
    let nested = encode(
        &Header { cty: Some("JWT".into()), ..Header::default() },
        &json!(good),
        &EncodingKey::from_secret(SECRET.as_bytes()),
    ).unwrap();
    let all = [
        ("nothing", None, "token_missing"),
        ("an empty text", Some(String::new()), "token_missing"),
        ("no token at all", Some("alice".into()), "token_malformed"),
        ("dots only", Some("..".into()), "token_malformed"),
        ("two parts", Some(head.into()), "token_malformed"),
        ("four parts", Some(format!("{good}.x")), "token_malformed"),
        ("five parts, as if encrypted", Some(format!("{good}.x.y")), "token_malformed"),
        ("a header that is not base64", Some(format!("!!.{body}.{signature}")), "token_malformed"),
        ("padded base64", Some(format!("{header}==.{body}.{signature}")), "token_malformed"),
        ("a header that is no JSON", Some(format!("{}.{body}.{signature}", URL_SAFE_NO_PAD.encode("x"))), "token_malformed"),
        ("a header that is a list", Some(forged(&json!(["HS256"]), &claims(), "")), "token_malformed"),
        ("a header without alg", Some(forged(&json!({}), &claims(), signature)), "token_malformed"),
        ("alg that is no text", Some(forged(&json!({"alg": 5}), &claims(), signature)), "token_malformed"),
        ("a critical extension", Some(forged(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &claims(), signature)), "token_malformed"),
        ("a signature that is not base64", Some(format!("{head}.?")), "token_malformed"),
        ("letters beyond ASCII", Some("é.é.é".into()), "token_malformed"),
        ("control characters", Some(format!("{good}\n")), "token_malformed"),
        ("a nested token", Some(nested), "token_malformed"),
        ("claims that are a list", Some(hs256(&json!([1, 2]))), "token_malformed"),
        ("far too long", Some("x".repeat(9_000)), "token_too_large"),
        ("too long, though signed", Some(hs256(&with("more", json!("x".repeat(7_000))))), "token_too_large"),
        ("alg none", Some(forged(&json!({"alg": "none"}), &claims(), "")), "token_algorithm"),
        ("alg none, with a signature", Some(forged(&json!({"alg": "none"}), &claims(), signature)), "token_algorithm"),
        ("alg nOnE", Some(forged(&json!({"alg": "nOnE"}), &claims(), "")), "token_algorithm"),
        ("an unknown alg", Some(forged(&json!({"alg": "HS1024"}), &claims(), signature)), "token_algorithm"),
        ("RSA with another padding", Some(forged(&json!({"alg": "PS256", "kid": "rsa"}), &claims(), signature)), "token_algorithm"),
        ("the RSA key's name with another algorithm", Some(forged(&json!({"alg": "ES256", "kid": "rsa"}), &claims(), signature)), "token_algorithm"),
        ("the public key as a shared secret", Some(keyed(Algorithm::HS256, RSA_PUBLIC.as_bytes(), &claims())), "token_signature"),
        ("an unknown key", Some(sign(Algorithm::RS256, Some("gone"), &claims())), "token_key"),
        ("another secret", Some(keyed(Algorithm::HS256, &[b'x'; 64], &claims())), "token_signature"),
        ("an empty secret", Some(keyed(Algorithm::HS256, b"", &claims())), "token_signature"),
        ("no signature", Some(format!("{head}.")), "token_signature"),
        ("half a signature", Some(format!("{head}.{}", &signature[..20])), "token_signature"),
        ("other claims under the signature", Some(format!("{header}.{of_bob}.{signature}")), "token_signature"),
        ("no RSA signature", Some(format!("{rsa_head}.")), "token_signature"),
        ("a short RSA signature", Some(format!("{rsa_head}.AAAA")), "token_signature"),
        ("expired", Some(hs256(&with("exp", json!(now() - 60)))), "token_expired"),
        ("expired in 1970", Some(hs256(&with("exp", json!(0)))), "token_expired"),
        ("not yet valid", Some(hs256(&with("nbf", json!(now() + 600)))), "token_not_yet_valid"),
        ("no exp", Some(hs256(&without("exp"))), "token_no_expiry"),
        ("exp in words", Some(hs256(&with("exp", json!("tomorrow")))), "token_no_expiry"),
        ("a negative exp", Some(hs256(&with("exp", json!(-1)))), "token_no_expiry"),
        ("no iss", Some(hs256(&without("iss"))), "token_issuer"),
        ("another iss", Some(hs256(&with("iss", json!("https://evil.test")))), "token_issuer"),
        ("no aud", Some(hs256(&without("aud"))), "token_audience"),
        ("another aud", Some(hs256(&with("aud", json!("other")))), "token_audience"),
        ("no aud among none", Some(hs256(&with("aud", json!([])))), "token_audience"),
        ("no sub", Some(hs256(&without("sub"))), "token_user"),
        ("sub that is a number", Some(hs256(&with("sub", json!(42)))), "token_user"),
        ("an empty sub", Some(hs256(&with("sub", json!("")))), "token_user"),
        ("a long sub", Some(hs256(&with("sub", json!("u".repeat(129))))), "token_user"),
        ("a sub with control characters", Some(hs256(&with("sub", json!("a\u{0}b")))), "token_user"),
    ];
    all.into()
}

#[tokio::test]
async fn every_bad_token_is_refused_with_its_code_and_its_reason_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let jwks = directory.path().join("jwks.json");
    let keys = [jwk(Algorithm::RS256, "rsa"), jwk(Algorithm::ES256, "p256")];
    std::fs::write(&jwks, json!({ "keys": keys }).to_string()).unwrap();
    let gateway = GatewayOptions {
        env: [
            ("HERALD_CLIENT_AUTH", "jwt"),
            ("HERALD_JWT_SECRET", SECRET),
            ("HERALD_JWKS", jwks.to_str().unwrap()),
            ("HERALD_JWT_ISSUER", "https://login.test"),
            ("HERALD_JWT_AUDIENCE", "herald"),
            ("HERALD_JWT_LEEWAY", "0"),
            ("HERALD_LOG", "herald=debug"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        ..GatewayOptions::default()
    };
    let sandbox = Sandbox::builder().gateway(gateway).notifier().start().await.unwrap();
    let gateway = &sandbox.gateways[0];
    let bad = bad_tokens();
    for transport in [Transport::WebSocket, Transport::Polling] {
        for (what, token, code) in &bad {
            let mut options: SessionOptions = gateway.session("").transport(transport);
            options.token.clone_from(token);
            let refused = match Session::connect(options).await {
                Err(ConnectError::Rejected { message }) => message,
                other => panic!("{what} by {transport:?}: {other:?}"),
            };
            assert_eq!(refused, format!("Authentication error: {code}"), "{what} by {transport:?}");
        }
    }
    let log = gateway.log();
    let reasons = log.lines().filter(|line| line.contains("client refused")).count();
    assert_eq!(reasons, 2 * bad.len(), "one line each");
    assert!(!log.contains("panicked"), "{log}");
    for (what, token, _) in &bad {
        let shown = token.as_ref().is_some_and(|token| token.len() > 20 && log.contains(token));
        assert!(!shown, "the log shows the token: {what}");
    }
    let (_, metrics) = gateway.admin("/metrics").await.unwrap();
    let counted = figure(&metrics, "herald_gateway_connects_refused_total");
    assert_eq!(counted, Some(2.0 * bad.len() as f64));
    assert!(sessions_of(sandbox.notifier(), "alice").await.is_empty());

    // The right ones do get in.
    for token in [
        hs256(&claims()),
        sign(Algorithm::HS512, None, &claims()),
        sign(Algorithm::RS256, Some("rsa"), &claims()),
        sign(Algorithm::ES256, Some("p256"), &claims()),
    ] {
        let mut session = Session::connect(gateway.session(&token)).await.unwrap();
        session.ready(PATIENCE).await.unwrap();
    }
}
