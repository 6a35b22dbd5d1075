//! An issuer that several gateways ask for its keys over https: it changes them, and fails.

use herald_e2e::{Gateway, Sandbox, eventually};
use herald_loadgen::{ConnectError, Session};
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::{
    certificates::Authority,
    company::{Company, Says},
    keys::{jwk, now, sign},
};
use crate::support::{PATIENCE, figure};

fn published(keys: &[(Algorithm, &str)]) -> Says {
    let keys: Vec<_> = keys.iter().map(|(algorithm, kid)| jwk(*algorithm, kid)).collect();
    Says::Json(json!({ "keys": keys }))
}

fn token(algorithm: Algorithm, kid: &str) -> String {
    sign(algorithm, Some(kid), &json!({"sub": "alice", "exp": now() + 600}))
}

async fn connects(gateway: &Gateway, token: &str) -> Result<(), ConnectError> {
    let mut session = Session::connect(gateway.session(token)).await?;
    session.ready(PATIENCE).await.unwrap();
    session.close().await;
    Ok(())
}

async fn failures(gateway: &Gateway) -> f64 {
    let (_, metrics) = gateway.admin("/metrics").await.unwrap();
    let failed = |line: &&str| line.contains("jwks_reads_total") && line.contains("failed");
    let lines: String = metrics.lines().filter(failed).map(|line| format!("{line}\n")).collect();
    figure(&lines, "herald_gateway_jwks_reads_total").unwrap_or_default()
}

#[tokio::test]
async fn keys_change_on_all_gateways_while_they_run_and_the_last_good_ones_outlive_any_failure() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let trusted = directory.path().join("ca.pem");
    std::fs::write(&trusted, &authority.pem).unwrap();
    let issuer = Company::start(&authority.sign(), published(&[(Algorithm::RS256, "one")])).await;
    let sandbox = Sandbox::builder()
        .env("HERALD_CLIENT_AUTH", "jwt")
        .env("HERALD_JWKS", issuer.url())
        .env("HERALD_JWKS_REFRESH", "1s")
        .env("SSL_CERT_FILE", trusted.to_str().unwrap())
        .gateways(2)
        .start()
        .await
        .unwrap();
    let (one, two) = (token(Algorithm::RS256, "one"), token(Algorithm::ES256, "two"));
    for gateway in &sandbox.gateways {
        connects(gateway, &one).await.unwrap();
    }

    // A new key counts at once, both do for a while, and the old one ends with its publication.
    issuer.says(published(&[(Algorithm::RS256, "one"), (Algorithm::ES256, "two")]));
    for gateway in &sandbox.gateways {
        connects(gateway, &two).await.unwrap();
        connects(gateway, &one).await.unwrap();
    }
    issuer.says(published(&[(Algorithm::ES256, "two")]));
    for gateway in &sandbox.gateways {
        eventually("the old key is refused", PATIENCE, async || {
            match connects(gateway, &one).await {
                Err(ConnectError::Rejected { message }) => {
                    assert_eq!(message, "Authentication error: token_key");
                    Ok(())
                }
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        connects(gateway, &two).await.unwrap();
    }

    // Somebody else's keys are not taken, however it points there.
    let stranger = published(&[(Algorithm::RS256, "one")]);
    let elsewhere = Company::start(&authority.sign(), stranger).await;
    for says in [
        Says::Status(500),
        Says::Garbage,
        Says::Json(json!({"keys": []})),
        Says::Elsewhere(elsewhere.url()),
        Says::KeysWithoutEnd,
        Says::Nothing,
    ] {
        let what = format!("{says:?}");
        issuer.says(says);
        for gateway in &sandbox.gateways {
            let before = failures(gateway).await;
            // Who has a token of a key that is not known makes the gateway ask now.
            let asked = connects(gateway, &token(Algorithm::RS256, "one")).await;
            assert!(asked.is_err(), "{what}");
            eventually(&format!("{what} is a failure"), PATIENCE, async || {
                let failed = failures(gateway).await;
                if failed > before { Ok(()) } else { Err(failed) }
            })
            .await;
            connects(gateway, &two).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(gateway.log().contains("the issuer's keys cannot be read"), "{what}");
        }
    }
    // What it reads of an answer without end is bounded; the rest fills buffers of the system.
    let most = issuer.most_written();
    assert!((256 << 10..16 << 20).contains(&most), "{most} bytes taken");

    // And it recovers by itself.
    issuer.says(published(&[(Algorithm::RS256, "three")]));
    for gateway in &sandbox.gateways {
        eventually("keys are read again", PATIENCE, async || {
            connects(gateway, &token(Algorithm::RS256, "three")).await
        })
        .await;
    }
}

#[tokio::test]
async fn an_issuer_whose_certificate_nobody_vouches_for_is_not_believed() {
    let authority = Authority::new();
    let issuer = Company::start(&authority.sign(), published(&[(Algorithm::RS256, "one")])).await;
    let builder = Sandbox::builder()
        .env("HERALD_CLIENT_AUTH", "jwt")
        .env("HERALD_JWKS", issuer.url())
        .gateways(1);
    let mut sandbox = builder.prepare().unwrap();
    sandbox.gateways[0].start_unready().await.unwrap();
    eventually("it says why", PATIENCE, async || {
        let (_, body) = sandbox.gateways[0].admin("/ready").await.map_err(|e| e.to_string())?;
        if body.contains("no keys for clients' tokens") && body.contains("invalid peer certificate")
        {
            Ok(())
        } else {
            Err(body)
        }
    })
    .await;
}
