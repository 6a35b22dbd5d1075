//! All of a test's processes.

use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    documented::Documented,
    evidence::Evidence,
    nginx::{Nginx, Upstream},
    process::{self, Process, Spawn},
    redis::RedisServer,
    script::Script,
    service::{Common, Gateway, GatewayOptions, Notifier, NotifierOptions},
    watchdog::Watchdog,
};

/// How much of each log is printed when a test fails.
const LOG_LINES: usize = 200;

/// Keeps the directory with all logs, whether the test fails or not.
const KEEP: &str = "HERALD_E2E_KEEP";

/// A Redis server, gateways, notifiers and an nginx of a test's own. Dropped, all of them end; if
/// that is because the test panics, what they said is printed.
#[derive(Debug)]
pub struct Sandbox {
    /// The Redis server that all services use.
    pub redis: RedisServer,
    /// The gateways, started or not.
    pub gateways: Vec<Gateway>,
    /// The notifiers, started or not.
    pub notifiers: Vec<Notifier>,
    /// The proxy before the first two gateways.
    pub nginx: Option<Nginx>,
    common: Common,
    scripts: usize,
    kept: bool,
    secrets: Mutex<Vec<String>>,
    // Last: children are killed before their directory goes.
    directory: TempDir,
}

/// What a [`Sandbox`] starts with.
#[derive(Debug, Default)]
pub struct SandboxBuilder {
    persist: bool,
    backplane: Option<String>,
    env: Vec<(String, String)>,
    gateways: Vec<GatewayOptions>,
    notifiers: Vec<NotifierOptions>,
    nginx: Option<Upstream>,
}

impl SandboxBuilder {
    /// Redis keeps its data over restarts.
    #[must_use]
    pub fn persist(mut self) -> Self {
        self.persist = true;
        self
    }

    /// All services use what is at this URL. The sandbox's own Redis is not started.
    #[must_use]
    pub fn backplane(mut self, url: impl Into<String>) -> Self {
        self.backplane = Some(url.into());
        self
    }

    /// A variable of all gateways and notifiers, added later ones included.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// So many more gateways, `gateway-0` and so on.
    #[must_use]
    pub fn gateways(mut self, count: usize) -> Self {
        self.gateways.extend((0..count).map(|_| GatewayOptions::default()));
        self
    }

    /// One more gateway.
    #[must_use]
    pub fn gateway(mut self, options: GatewayOptions) -> Self {
        self.gateways.push(options);
        self
    }

    /// A notifier.
    #[must_use]
    pub fn notifier(self) -> Self {
        self.notifier_with(NotifierOptions::default())
    }

    /// A notifier.
    #[must_use]
    pub fn notifier_with(mut self, options: NotifierOptions) -> Self {
        self.notifiers.push(options);
        self
    }

    /// An nginx before the first two gateways.
    #[must_use]
    pub fn nginx(mut self, upstream: Upstream) -> Self {
        self.nginx = Some(upstream);
        self
    }

    /// Makes the sandbox and starts nothing: ports are claimed and services configured.
    ///
    /// # Errors
    ///
    /// When a program is missing, or there are no ports.
    pub fn prepare(self) -> anyhow::Result<Sandbox> {
        let mut directory =
            tempfile::Builder::new().prefix("herald-e2e-").tempdir().context("no directory")?;
        directory.disable_cleanup(env::var_os(KEEP).is_some());
        let watchdog = Arc::new(Watchdog::start()?);
        let redis = RedisServer::prepare(directory.path().to_owned(), self.persist, &watchdog)?;
        let common = Common {
            directory: directory.path().to_owned(),
            backplane: self.backplane.unwrap_or_else(|| redis.url()),
            key_prefix: format!("t{:08x}", rand::random::<u32>()),
            env: self.env,
            watchdog,
        };
        let mut sandbox = Sandbox {
            redis,
            gateways: Vec::new(),
            notifiers: Vec::new(),
            nginx: None,
            common,
            scripts: 0,
            kept: false,
            secrets: Mutex::default(),
            directory,
        };
        for options in self.gateways {
            sandbox.add_gateway(options)?;
        }
        for options in self.notifiers {
            sandbox.add_notifier(options)?;
        }
        Ok(sandbox)
    }

    /// Makes the sandbox and starts all of it, each as soon as what it needs is ready.
    ///
    /// # Errors
    ///
    /// When a program is missing or something does not become ready.
    pub async fn start(self) -> anyhow::Result<Sandbox> {
        let nginx = self.nginx;
        let own_redis = self.backplane.is_none();
        let mut sandbox = self.prepare()?;
        if own_redis {
            sandbox.redis.start().await?;
        }
        for gateway in &mut sandbox.gateways {
            gateway.start().await?;
        }
        for notifier in &mut sandbox.notifiers {
            notifier.start().await?;
        }
        if let Some(upstream) = nginx {
            sandbox.start_nginx(upstream).await?;
        }
        Ok(sandbox)
    }
}

impl Sandbox {
    /// An empty plan.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder::default()
    }

    /// Configures one more gateway and does not start it.
    ///
    /// # Errors
    ///
    /// When its binary is missing, or there is no port.
    pub fn add_gateway(&mut self, options: GatewayOptions) -> anyhow::Result<&mut Gateway> {
        let process = format!("gateway-{}", self.gateways.len());
        self.gateways.push(Gateway::new(&process, options, &self.common)?);
        self.gateways.last_mut().context("just pushed")
    }

    /// Configures one more notifier and does not start it.
    ///
    /// # Errors
    ///
    /// When its binary is missing, or there is no port.
    pub fn add_notifier(&mut self, options: NotifierOptions) -> anyhow::Result<&mut Notifier> {
        let process = format!("notifier-{}", self.notifiers.len());
        self.notifiers.push(Notifier::new(&process, options, &self.common)?);
        self.notifiers.last_mut().context("just pushed")
    }

    /// Starts an nginx before the first two gateways.
    ///
    /// # Errors
    ///
    /// When there are fewer, or nginx does not start.
    pub async fn start_nginx(&mut self, upstream: Upstream) -> anyhow::Result<()> {
        let [first, second, ..] = &self.gateways[..] else {
            bail!("nginx stands before two gateways, and there are {}", self.gateways.len());
        };
        let gateways = [first.address(), second.address()];
        let directory = self.directory.path().to_owned();
        self.nginx =
            Some(Nginx::start(directory, upstream, gateways, &self.common.watchdog).await?);
        Ok(())
    }

    /// The first notifier.
    ///
    /// # Panics
    ///
    /// When the sandbox has none.
    pub fn notifier(&self) -> &Notifier {
        self.notifiers.first().expect("the sandbox was built with a notifier")
    }

    /// The nginx.
    ///
    /// # Panics
    ///
    /// When the sandbox has none.
    pub fn nginx(&self) -> &Nginx {
        self.nginx.as_ref().expect("the sandbox was built with an nginx")
    }

    /// `HERALD_KEY_PREFIX` of all services.
    pub fn key_prefix(&self) -> &str {
        &self.common.key_prefix
    }

    /// Keeps the directory with all logs when this is dropped, and prints none of them.
    pub fn keep(&mut self) {
        self.directory.disable_cleanup(true);
        self.kept = true;
    }

    /// Notes a text that no log may hold: the test fails in the end if one does. The values of
    /// variables called `…_SECRET` are noted already.
    pub fn secret(&self, text: impl Into<String>) {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.push(text.into());
    }

    /// The secrets that were noted and stand in `text`.
    pub fn leaked(&self, text: &str) -> Vec<String> {
        self.all_secrets().into_iter().filter(|secret| text.contains(secret.as_str())).collect()
    }

    fn all_secrets(&self) -> Vec<String> {
        let mut all = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let of_gateways = self.gateways.iter().map(Gateway::env);
        let of_all = of_gateways.chain(self.notifiers.iter().map(Notifier::env)).flatten();
        all.extend(of_all.filter(|(name, _)| name.ends_with("_SECRET")).map(|(_, v)| v.clone()));
        all
    }

    /// Figures, logs and secrets, for the end of all tests. Whatever a test did, no figure came of
    /// it that is not documented.
    fn leave_evidence(&self, evidence: &Evidence) -> anyhow::Result<()> {
        let documented = Documented::read()?;
        let mut wrong = Vec::new();
        for gateway in &self.gateways {
            wrong.extend(documented.undocumented("gateway", &gateway.write_figures()?));
        }
        for notifier in &self.notifiers {
            wrong.extend(documented.undocumented("notifier", &notifier.write_figures()?));
        }
        ensure!(wrong.is_empty(), "{wrong:#?}");
        evidence.secrets(self.all_secrets().iter().map(String::as_str))?;
        Ok(evidence.take(self.directory.path())?)
    }

    /// Where logs are, and a test may put files.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Starts a script of js/.
    ///
    /// # Errors
    ///
    /// When Node or its packages are missing.
    pub fn node(&mut self, file: &str, config: &impl Serialize) -> anyhow::Result<Script> {
        let name = self.script_name(file);
        Script::node(&name, file, config, self.directory.path(), &self.common.watchdog)
    }

    /// Starts a script of python/.
    ///
    /// # Errors
    ///
    /// When the virtual environment is missing.
    pub fn python(&mut self, file: &str, config: &impl Serialize) -> anyhow::Result<Script> {
        let name = self.script_name(file);
        Script::python(&name, file, config, self.directory.path(), &self.common.watchdog)
    }

    /// Starts a process of `herald-loadgen` whose arguments make it speak as scripts do.
    ///
    /// # Errors
    ///
    /// When it was not built.
    pub fn loadgen(
        &mut self,
        args: impl IntoIterator<Item: AsRef<OsStr>>,
    ) -> anyhow::Result<Script> {
        let name = self.script_name("loadgen");
        let spawn = Spawn { name, ..Spawn::ours("herald-loadgen")?.args(args) };
        Script::talk(spawn, self.directory.path(), &self.common.watchdog)
    }

    /// The same, of clients that [give way](Spawn::giving_way) to the services.
    ///
    /// # Errors
    ///
    /// When it was not built.
    pub fn loadgen_giving_way(
        &mut self,
        args: impl IntoIterator<Item: AsRef<OsStr>>,
    ) -> anyhow::Result<Script> {
        let name = self.script_name("loadgen");
        let spawn = Spawn { name, ..Spawn::ours("herald-loadgen")?.args(args).giving_way() };
        Script::talk(spawn, self.directory.path(), &self.common.watchdog)
    }

    /// Starts any other program. It is killed when what is returned is dropped.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(&self, spawn: &Spawn) -> anyhow::Result<Process> {
        Process::spawn(spawn, self.directory.path(), &self.common.watchdog)
    }

    fn script_name(&mut self, file: &str) -> String {
        self.scripts += 1;
        format!("{file}-{}", self.scripts)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if thread::panicking() && !self.kept {
            print_logs(self.directory.path());
        }
        if !thread::panicking() {
            for log in logs(self.directory.path()) {
                let leaked = self.leaked(&process::read(&log));
                assert!(leaked.is_empty(), "{} holds secrets: {leaked:?}", log.display());
            }
            if let Some(evidence) = Evidence::wanted().filter(|_| !self.kept) {
                self.leave_evidence(&evidence).expect("evidence can be kept");
            }
        }
        if env::var_os(KEEP).is_some() {
            eprintln!("kept: {}", self.directory.path().display());
        }
    }
}

fn logs(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut logs: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    logs
}

fn print_logs(directory: &Path) {
    for log in logs(directory) {
        let text = process::read(&log);
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
        if !last.is_empty() {
            let name = log.file_name().unwrap_or_default().to_string_lossy();
            eprintln!(
                "---- {name}, last {} of {} lines\n{}",
                last.len(),
                lines.len(),
                last.join("\n")
            );
        }
    }
}
