//! What it was measured on and with.

use std::{collections::BTreeMap, fs, process::Command};

use serde::{Deserialize, Serialize};

use crate::{plan::Mode, systems};

/// The machine and the versions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) mode: Mode,
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_gb: f64,
    pub(crate) kernel: String,
    pub(crate) versions: BTreeMap<String, String>,
}

impl Host {
    pub(crate) fn look(mode: Mode) -> anyhow::Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory = field(&meminfo, "MemTotal").trim_end_matches("kB").trim().parse::<f64>();

        let mut versions = BTreeMap::new();
        versions.insert(
            "Herald".to_owned(),
            format!(
                "{} ({})",
                env!("CARGO_PKG_VERSION"),
                said("git", &["rev-parse", "--short", "HEAD"])
            ),
        );
        versions.insert("rustc".to_owned(), said("rustc", &["--version"]));
        versions.insert("Redis".to_owned(), said("redis-server", &["--version"]));
        versions.insert("Node".to_owned(), said("node", &["--version"]));
        versions.insert("nginx".to_owned(), said("/usr/sbin/nginx", &["-v"]));
        let nchan = said("dpkg-query", &["-W", "-f", "${Version}", "libnginx-mod-nchan"]);
        versions.insert("nchan (Debian)".to_owned(), nchan);
        versions.extend(systems::node_packages());
        Ok(Self {
            mode,
            date: said("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
            processor: field(&cpuinfo, "model name"),
            processors: std::thread::available_parallelism()?.get(),
            memory_gb: memory.unwrap_or_default() / 1e6,
            kernel: said("uname", &["-sr"]),
            versions,
        })
    }
}

/// The value of a `name : value` line.
fn field(text: &str, name: &str) -> String {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_once(':').map_or("unknown", |(_, value)| value).trim().to_owned()
}

/// The first line that a program says.
fn said(program: &str, args: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(args).output() else {
        return "not there".to_owned();
    };
    // nginx tells its version on standard error.
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("not there").trim().to_owned()
}
