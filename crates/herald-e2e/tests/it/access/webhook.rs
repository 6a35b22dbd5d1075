//! The company's own endpoint, asked over https.

use herald_e2e::{GatewayOptions, Sandbox};
use herald_loadgen::{ConnectError, Session};
use serde_json::json;

use super::{
    certificates::Authority,
    company::{Company, Says},
};
use crate::support::{PATIENCE, sessions_of};

const SECRET: &str = "a-secret-between-the-two-of-us";

#[tokio::test]
async fn a_webhook_over_https_says_who_it_is_and_nobody_gets_in_while_it_cannot() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let trusted = directory.path().join("ca.pem");
    std::fs::write(&trusted, &authority.pem).unwrap();
    let webhook = Company::start(&authority.sign(), Says::Json(json!({"userId": "alice"}))).await;
    let strange = Authority::new();
    let impostor = Company::start(&strange.sign(), Says::Json(json!({"userId": "alice"}))).await;
    let sandbox = |url: String| {
        let env = [
            ("HERALD_CLIENT_AUTH", "webhook"),
            ("HERALD_AUTH_WEBHOOK", &url),
            ("HERALD_AUTH_WEBHOOK_SECRET", SECRET),
            ("SSL_CERT_FILE", trusted.to_str().unwrap()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let gateway = GatewayOptions { env, ..Default::default() };
        Sandbox::builder().gateway(gateway).notifier().start()
    };

    let believed = sandbox(webhook.url()).await.unwrap();
    believed.secret("an-opaque-token");
    believed.secret(SECRET);
    let gateway = &believed.gateways[0];
    let mut session = Session::connect(gateway.session("an-opaque-token")).await.unwrap();
    session.ready(PATIENCE).await.unwrap();
    assert_eq!(sessions_of(believed.notifier(), "alice").await.len(), 1);
    webhook.says(Says::Status(401));
    match Session::connect(gateway.session("another-token")).await {
        Err(ConnectError::Rejected { message }) => {
            assert_eq!(message, "Authentication error: token_refused");
        }
        other => panic!("{other:?}"),
    }
    // Failing is no refusal: the client is sent away in a way that it comes back from.
    for says in [Says::Status(500), Says::Garbage, Says::Elsewhere(impostor.url())] {
        let what = format!("{says:?}");
        webhook.says(says);
        let refused = Session::connect(gateway.session(&format!("token of {what}"))).await;
        assert!(
            !matches!(refused, Ok(_) | Err(ConnectError::Rejected { .. })),
            "{what}: {refused:?}"
        );
    }

    let doubted = sandbox(format!("https://localhost:{}/", impostor.address().port())).await;
    let doubted = doubted.unwrap();
    let refused = Session::connect(doubted.gateways[0].session("an-opaque-token")).await;
    assert!(!matches!(refused, Ok(_) | Err(ConnectError::Rejected { .. })), "{refused:?}");
    assert!(
        doubted.gateways[0].log().contains("invalid peer certificate"),
        "{}",
        doubted.gateways[0].log()
    );
}
