//! Every query of the dashboard finds data once there was load.

use std::time::Duration;

use herald_e2e::{Documented, Sandbox, eventually};
use herald_loadgen::{Outgoing, Session};
use herald_proto::api::{BroadcastRequest, WaitFor, broadcast_request};
use serde_json::Value;
use tokio::{task::JoinSet, time::timeout};

use super::prometheus::{Prometheus, RANGE, deployed};
use crate::support::{PATIENCE, api};

/// All queries, each with the title of its panel.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value =
        serde_json::from_str(&deployed("grafana/dashboards/herald.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let of_panel = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| {
            (title.clone(), target["expr"].as_str().expect("a query").to_owned())
        })
    };
    panels.iter().flat_map(of_panel).collect()
}

/// The metrics that a query, or a file of rules, is about.
fn metrics(text: &str) -> Vec<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words.filter(|word| word.starts_with("herald_") || word.starts_with("process_")).collect()
}

#[test]
fn the_dashboard_and_the_alerts_speak_of_documented_metrics() {
    let documented = Documented::read().unwrap();
    let queries: String = queries().into_iter().map(|(_, query)| query + "\n").collect();
    let rules = deployed("prometheus/alerts.yml");
    let rules: Vec<_> = rules.lines().filter(|line| !line.contains("description: ")).collect();
    for text in [queries, rules.join("\n")] {
        let all = metrics(&text);
        assert!(all.len() > 10, "{all:?}");
        for metric in all {
            assert!(documented.has_series(metric), "{metric} is not in docs/metrics.md");
        }
    }
}

#[test]
fn each_alert_says_what_to_do_where_it_points() {
    let (rules, pages) = (deployed("prometheus/alerts.yml"), deployed("../docs/operations.md"));
    let mut alerts = 0;
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        alerts += 1;
        for annotation in ["summary: ", "description: ", "severity: "] {
            assert!(rule.contains(annotation), "{name} has no {annotation}");
        }
        let anchor = format!("docs/operations.md#{}\n", name.to_lowercase());
        assert!(rule.contains(&anchor), "{name} points elsewhere");
        assert!(pages.contains(&format!("\n### {name}\n")), "no section of {name}");
    }
    assert_eq!(pages.matches("\n### Herald").count(), alerts, "sections of alerts");
}

#[tokio::test]
async fn every_query_of_the_dashboard_finds_data_under_load() {
    let sandbox = Sandbox::builder().gateways(1).notifier().start().await.unwrap();
    let prometheus = Prometheus::start(&sandbox).await;
    let mut load = JoinSet::new();
    let mut phone = Session::connect(sandbox.gateways[0].session("alice")).await.unwrap();
    phone.ready(PATIENCE).await.unwrap();
    load.spawn(async move {
        while let Ok(notice) = phone.notice(PATIENCE).await {
            phone.acknowledge(&notice).await;
        }
    });
    let (producer, mut api) = (sandbox.notifier().grpc(), api(sandbox.notifier()));
    load.spawn(async move {
        loop {
            let wait = Some((WaitFor::AckedAny, PATIENCE));
            let volatile = Outgoing { volatile: true, ..Outgoing::new("alice", "2") };
            for notice in [Outgoing { wait, ..Outgoing::new("alice", "1") }, volatile] {
                producer.send(&notice).await.unwrap();
            }
            let payload = Some(broadcast_request::Payload::Json("3".into()));
            api.broadcast(BroadcastRequest { payload, ..Default::default() }).await.unwrap();
        }
    });
    let queries = queries();
    assert!(queries.len() > 30, "{}", queries.len());
    for (title, query) in queries {
        let query = query.replace("$__rate_interval", RANGE);
        eventually(&format!("{title}: {query}"), PATIENCE, async || {
            let found = prometheus.query(&query).await?;
            if found.iter().any(|value| value.is_finite()) {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        })
        .await;
    }
    // The load went on to the end.
    let ended = timeout(Duration::ZERO, load.join_next()).await;
    assert!(ended.is_err(), "{ended:?}");
}
