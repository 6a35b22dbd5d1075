//! A real Prometheus with the configuration of deploy/prometheus, a minute of which takes a second.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path, process::Command};

use herald_e2e::{Port, Process, Sandbox, Spawn, eventually};
use herald_loadgen::http::HttpClient;
use http::StatusCode;
use serde_json::Value;

use crate::support::PATIENCE;

/// What deploy/prometheus/prometheus.yml says, and is replaced by the test's.
const INTERVALS: [&str; 2] = ["scrape_interval: 15s", "evaluation_interval: 15s"];
const GATEWAYS: &str =
    "{ names: [gateway-1, gateway-2], type: A, port: 9013, refresh_interval: 10s }";
const NOTIFIERS: &str = "{ names: [notifier], type: A, port: 9051, refresh_interval: 10s }";

/// How long a minute of the rules is, and a range of the dashboard.
pub(super) const RANGE: &str = "5s";

/// It ends when this is dropped.
pub(super) struct Prometheus {
    port: Port,
    _process: Process,
}

/// A file of deploy/.
pub(super) fn deployed(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rules with seconds in the place of minutes.
fn quick(rules: &str) -> String {
    let quick = |line: &str| match line.trim_start().strip_prefix("for: ") {
        Some(_) => line.strip_suffix('m').map(|line| format!("{line}s")).unwrap(),
        None => line.replace("m]", "s]"),
    };
    rules.lines().map(|line| quick(line) + "\n").collect()
}

fn replace(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "no {old:?} in deploy/prometheus/prometheus.yml");
    text.replace(old, new)
}

impl Prometheus {
    /// Scrapes all services of a sandbox, and waits until it has seen all of them ready.
    pub(super) async fn start(sandbox: &Sandbox) -> Self {
        let targets = |addresses: Vec<SocketAddr>| format!("{{ targets: {addresses:?} }}");
        let gateways = sandbox.gateways.iter().map(|gateway| gateway.admin_address()).collect();
        let notifiers = sandbox.notifiers.iter().map(|notifier| notifier.admin_address()).collect();
        let mut config = deployed("prometheus/prometheus.yml");
        for interval in INTERVALS {
            config = replace(&config, interval, &interval.replace("15s", "200ms"));
        }
        config = replace(&config, "dns_sd_configs", "static_configs");
        config = replace(&config, GATEWAYS, &targets(gateways));
        config = replace(&config, NOTIFIERS, &targets(notifiers));
        let directory = sandbox.directory();
        fs::write(directory.join("prometheus.yml"), config).unwrap();
        let rules = deployed("prometheus/alerts.yml");
        fs::write(directory.join("alerts.yml"), quick(&rules)).unwrap();
        // It looks at the rules, too.
        let check = ["check", "config", "prometheus.yml"];
        let promtool = Command::new("promtool").args(check).current_dir(directory).output();
        let promtool = promtool.expect("promtool is installed by scripts/setup.sh test");
        let said = [promtool.stdout, promtool.stderr].concat();
        assert!(promtool.status.success(), "{}", String::from_utf8_lossy(&said));

        let port = Port::claim().unwrap();
        let spawn = Spawn::new("prometheus", "prometheus").args([
            "--config.file=prometheus.yml".to_owned(),
            "--storage.tsdb.path=prometheus".to_owned(),
            format!("--web.listen-address={}", port.address()),
        ]);
        let prometheus = Self { port, _process: sandbox.spawn(&spawn).unwrap() };
        let services = sandbox.gateways.len() + sandbox.notifiers.len();
        eventually("all services are scraped and ready", PATIENCE, async || {
            let ready = prometheus.query("herald_ready == 1").await.unwrap_or_default();
            if ready.len() == services { Ok(()) } else { Err(ready.len()) }
        })
        .await;
        prometheus
    }

    /// The values that a query finds now; `Err` says why it cannot be answered.
    pub(super) async fn query(&self, query: &str) -> Result<Vec<f64>, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric();
        let encode =
            |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        let query: String = query.bytes().map(encode).collect();
        let answer = self.get(&format!("/api/v1/query?query={query}")).await?;
        let series = answer["data"]["result"].as_array().ok_or_else(|| answer.to_string())?;
        let value = |series: &Value| series["value"][1].as_str()?.parse().ok();
        series.iter().map(|series| value(series).ok_or_else(|| series.to_string())).collect()
    }

    /// The alerts that fire now.
    pub(super) async fn firing(&self) -> BTreeSet<String> {
        let answer = self.get("/api/v1/alerts").await.unwrap();
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    async fn get(&self, target: &str) -> Result<Value, String> {
        let mut client = HttpClient::new(self.port.address());
        let answer = client.get(target).await.map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        if answer.status() != StatusCode::OK {
            return Err(text);
        }
        serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))
    }
}
