//! How clients say who they are.

use std::{net::SocketAddr, time::Duration};

use herald_service::config::{Reader, Secret, Value};

use crate::auth::{
    self, AuthOptions, JwksOptions, JwksSource, JwtOptions, MIN_SECRET_BYTES, PublicKey,
    WebhookOptions,
};

/// `HERALD_CLIENT_AUTH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientAuth {
    Jwt,
    Webhook,
    Insecure,
}

impl Value for ClientAuth {
    const PLACEHOLDER: &'static str = "jwt|webhook|insecure";
    const EXPECTED: &'static str =
        "`jwt`, `webhook`, or for development `insecure` (the token is the user id)";
    const EXAMPLE: &'static str = "jwt";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "jwt" => Ok(Self::Jwt),
            "webhook" => Ok(Self::Webhook),
            "insecure" => Ok(Self::Insecure),
            _ => Err("is no way to authenticate".into()),
        }
    }
}

/// Reads how clients are authenticated, and how long before its token's end a client is told.
pub(super) fn read(r: &mut Reader, listen: SocketAddr) -> (AuthOptions, Duration) {
    r.group("Clients");
    let method = r.option("HERALD_CLIENT_AUTH", "How clients say who they are").required();
    let jwt = jwt(r);
    let webhook = webhook(r);
    let notice = r
        .option(
            "HERALD_TOKEN_EXPIRY_NOTICE",
            "Time before the end of its token at which a client is told, so that it brings another",
        )
        .within(Duration::from_secs(1)..=Duration::from_secs(3600))
        .default("60s");
    let insecure_allowed: bool = r
        .option(
            "HERALD_ALLOW_INSECURE",
            "Allow a service without authentication on a public address",
        )
        .default("false");
    let keyless = jwt.secret.is_none() && jwt.public_key.is_none() && jwt.jwks.is_none();
    let keys = ["HERALD_CLIENT_AUTH", "HERALD_JWT_SECRET", "HERALD_JWT_PUBLIC_KEY", "HERALD_JWKS"];
    r.check(&keys, || match method {
        ClientAuth::Jwt if keyless => {
            Err("`jwt` needs a key: the secret, the public key or a JWKS".into())
        }
        _ => Ok(()),
    });
    r.check(&["HERALD_CLIENT_AUTH", "HERALD_AUTH_WEBHOOK"], || match (method, &webhook) {
        (ClientAuth::Webhook, None) => Err("`webhook` needs the URL to ask".into()),
        _ => Ok(()),
    });
    r.check(&["HERALD_CLIENT_AUTH", "HERALD_GATEWAY_LISTEN", "HERALD_ALLOW_INSECURE"], || {
        let public = !listen.ip().is_loopback();
        if method == ClientAuth::Insecure && public && !insecure_allowed {
            return Err(format!(
                "with `insecure` anybody can be any user, so {listen} is refused: listen on \
                 127.0.0.1, or set HERALD_ALLOW_INSECURE=true"
            ));
        }
        Ok(())
    });
    let auth = match (method, webhook) {
        (ClientAuth::Jwt, _) => AuthOptions::Jwt(Box::new(jwt)),
        (ClientAuth::Webhook, Some(webhook)) => AuthOptions::Webhook(webhook),
        // Without a URL the reader has a fault, and these options are never used.
        (ClientAuth::Webhook, None) | (ClientAuth::Insecure, _) => AuthOptions::Insecure,
    };
    (auth, notice)
}

fn jwt(r: &mut Reader) -> JwtOptions {
    let secret = r
        .secret(
            "HERALD_JWT_SECRET",
            "Secret that clients' tokens are signed with (HS256; from 48 bytes HS384, from 64 HS512)",
        )
        .ensure(|secret| match secret.expose().len() {
            length if length < MIN_SECRET_BYTES => Err(format!(
                "has {length} bytes, fewer than the {MIN_SECRET_BYTES} that HS256 needs"
            )),
            _ => Ok(()),
        })
        .optional();
    let public_key = r
        .parsed(
            "HERALD_JWT_PUBLIC_KEY",
            "Public key of clients' tokens: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA)",
            PublicKey::from_pem,
        )
        .describe("PEM", "a public key in PEM", "")
        .hidden()
        .or_file()
        .optional();
    let source = r
        .parsed(
            "HERALD_JWKS",
            "URL or file of the public keys (JWKS) that clients' tokens are signed with",
            JwksSource::parse,
        )
        .describe("URL|PATH", "a URL or a path", "https://login.example.com/.well-known/jwks.json")
        .optional();
    let refresh = r
        .option("HERALD_JWKS_REFRESH", "Time between two readings of HERALD_JWKS")
        .within(Duration::from_secs(1)..=Duration::from_secs(86_400))
        .default("5m");
    let issuers = r
        .option::<Vec<String>>("HERALD_JWT_ISSUER", "Accepted issuers (`iss`)")
        .example("https://login.example.com")
        .unset_means("any")
        .optional();
    let audiences = r
        .option::<Vec<String>>("HERALD_JWT_AUDIENCE", "Accepted audiences (`aud`)")
        .example("herald")
        .unset_means("any")
        .optional();
    let user_claim = r
        .option("HERALD_JWT_USER_CLAIM", "The claim that holds the user id")
        .example("sub")
        .default("sub");
    let leeway = r
        .option("HERALD_JWT_LEEWAY", "How far the clocks of issuer and gateway may be apart")
        .within(Duration::ZERO..=Duration::from_secs(600))
        .default("30s");
    JwtOptions {
        secret,
        public_key,
        jwks: source.map(|source| JwksOptions { source, refresh }),
        issuers: issuers.unwrap_or_default(),
        audiences: audiences.unwrap_or_default(),
        user_claim,
        leeway,
    }
}

fn webhook(r: &mut Reader) -> Option<WebhookOptions> {
    let url = r
        .parsed("HERALD_AUTH_WEBHOOK", "URL that says who a token is of, with `webhook`", auth::url)
        .describe("URL", "a URL", "https://login.example.com/herald")
        .optional();
    let secret = r
        .secret("HERALD_AUTH_WEBHOOK_SECRET", "Sent to the webhook as `authorization: Bearer …`")
        .ensure(|secret: &Secret| {
            let printable = secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
            if printable { Ok(()) } else { Err("holds something else than printable ASCII".into()) }
        })
        .optional();
    let deadline = r
        .option("HERALD_AUTH_WEBHOOK_TIMEOUT", "Longest that a client waits for the webhook")
        .within(Duration::from_millis(100)..=Duration::from_secs(8))
        .default("3s");
    let concurrency = r
        .option("HERALD_AUTH_WEBHOOK_CONCURRENCY", "Questions to the webhook under way at a time")
        .unit("questions")
        .within(1..=10_000)
        .default("64");
    Some(WebhookOptions { url: url?, secret, deadline, concurrency })
}
