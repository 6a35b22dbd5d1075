//! What is logged, changed while a service runs.

use herald_e2e::{Sandbox, eventually};
use herald_loadgen::{Outgoing, http::HttpClient};
use http::{Method, StatusCode};

use crate::support::PATIENCE;

#[tokio::test]
async fn the_log_filter_is_changed_while_it_runs_and_a_wrong_one_changes_nothing() {
    let sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let notifier = sandbox.notifier();
    let mut admin = HttpClient::new(notifier.admin_address());
    let (status, body) = notifier.admin("/log").await.unwrap();
    assert_eq!((status, body.as_str()), (StatusCode::OK, "info\n"));
    let mut put = async |directive: &'static str| {
        let answer = admin.request(Method::PUT, "/log", &[], directive.into()).await.unwrap();
        let body = String::from_utf8(answer.body().to_vec()).unwrap();
        (answer.status(), body)
    };
    let failing = Outgoing::new("", "1");
    notifier.grpc().send(&failing).await.unwrap_err();
    assert!(!notifier.log().contains("call failed"));

    let (status, body) = put("herald=loud").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("not a log filter"), "{body}");
    let (status, body) = put("info,herald_notifier=debug").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "info,herald_notifier=debug\n"));
    assert_eq!(notifier.admin("/log").await.unwrap().1, body);
    eventually("more is logged", PATIENCE, async || {
        notifier.grpc().send(&failing).await.unwrap_err();
        let log = notifier.log();
        if log.contains("call failed") { Ok(()) } else { Err(log) }
    })
    .await;
    let (status, _) = put("error").await;
    assert_eq!(status, StatusCode::OK);
    let quiet = notifier.log().len();
    notifier.grpc().send(&failing).await.unwrap_err();
    assert_eq!(notifier.log().len(), quiet);
}
