//! A child process.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process, kill_process_group};
use tokio::{
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::{binaries, watchdog::Watchdog};

/// Passed on to children; everything else they get from the test.
const INHERITED: [&str; 7] =
    ["PATH", "HOME", "TMPDIR", "LANG", "USER", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"];

/// How long a child may take to end after it was killed.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// How a child is started.
#[derive(Debug, Clone)]
pub struct Spawn {
    /// Names its log file.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its environment, besides what it needs to run at all.
    pub env: Vec<(String, String)>,
    /// Where it runs; the log's directory when `None`.
    pub directory: Option<PathBuf>,
    /// Whether the test talks with it: standard input and output are pipes, and only standard
    /// error goes to the log.
    pub piped: bool,
}

impl Spawn {
    /// A program without arguments.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            directory: None,
            piped: false,
        }
    }

    /// A binary of this workspace, under its own name.
    ///
    /// # Errors
    ///
    /// When it has not been built.
    pub fn ours(binary: &str) -> anyhow::Result<Self> {
        Ok(Self::new(binary, binaries::ours(binary)?))
    }

    /// With more arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// The same, giving way to all others for the processor (nice 19): for crowds of clients, which
    /// have machines of their own where this is not a test.
    #[must_use]
    pub fn giving_way(mut self) -> Self {
        let program = std::mem::replace(&mut self.program, "nice".into());
        let before = ["-n", "19"].map(OsString::from).into_iter().chain([program.into()]);
        self.args.splice(..0, before);
        self
    }

    /// With one more variable; the last one of a name counts.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

/// A running child in a process group of its own; dropped, the whole group is killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    pid: Pid,
    log: PathBuf,
    watchdog: Arc<Watchdog>,
    reaped: bool,
}

impl Process {
    /// Starts a child whose output is appended to `<logs>/<name>.log`.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn spawn(spawn: &Spawn, logs: &Path, watchdog: &Arc<Watchdog>) -> anyhow::Result<Self> {
        let log = logs.join(format!("{}.log", spawn.name));
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = Command::new(&spawn.program);
        command
            .args(&spawn.args)
            .current_dir(spawn.directory.as_deref().unwrap_or(logs))
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .envs(spawn.env.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stderr(output.try_clone()?)
            .kill_on_drop(true);
        if spawn.piped {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null()).stdout(output);
        }
        let child =
            command.spawn().with_context(|| format!("cannot start {}", spawn.program.display()))?;
        let number = child.id().context("the child ended before it had begun")?;
        watchdog.watch(number);
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw).context("impossible pid")?;
        Ok(Self {
            name: spawn.name.clone(),
            child,
            pid,
            log,
            watchdog: Arc::clone(watchdog),
            reaped: false,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// All that it has said so far, and earlier children of the same name before it.
    pub fn log(&self) -> String {
        read(&self.log)
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    ///
    /// When the system cannot say.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.forget();
        }
        Ok(status)
    }

    /// Sends a signal to the process itself.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        if self.reaped {
            bail!("{} has ended", self.name);
        }
        kill_process(self.pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// When it does not end within `patience`.
    pub async fn wait(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let status = timeout(patience, self.child.wait())
            .await
            .with_context(|| format!("{} has not ended within {patience:?}", self.name))??;
        self.forget();
        Ok(status)
    }

    /// SIGTERM; waits for the end.
    ///
    /// # Errors
    ///
    /// When it does not end within `patience`.
    pub async fn terminate(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(patience).await
    }

    /// SIGKILL to the whole group; waits for the end. It may have ended before.
    ///
    /// # Errors
    ///
    /// When the system does not let it end.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.kill_group();
        self.wait(KILL_DEADLINE).await?;
        Ok(())
    }

    /// The pipes of a child that was started with `piped`, once.
    pub(crate) fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.child.stdin.take()?, self.child.stdout.take()?))
    }

    fn kill_group(&self) {
        if !self.reaped {
            // Fails only if the whole group has ended.
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// After the process was waited for: what it left in its group goes, too.
    fn forget(&mut self) {
        if !self.reaped {
            let _ = kill_process_group(self.pid, Signal::KILL);
            self.watchdog.forget(self.pid());
            self.reaped = true;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_group();
        // The runtime reaps it; until then its number is not given to others.
        if !self.reaped {
            self.watchdog.forget(self.pid());
        }
    }
}

/// A log as text.
pub(crate) fn read(path: &Path) -> String {
    fs::read(path).map_or_else(|e| format!("({e})"), |text| String::from_utf8_lossy(&text).into())
}

/// A fresh file, for what a child reads.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    File::create(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventually;

    fn shell(script: &str) -> Spawn {
        Spawn::new("shell", "/bin/sh").args(["-c", script])
    }

    #[tokio::test]
    async fn a_child_sees_only_what_it_is_given() {
        let (directory, watchdog) =
            (tempfile::tempdir().unwrap(), Arc::new(Watchdog::start().unwrap()));
        let spawn = shell("env; echo oops >&2; exit 3").env("HERALD_X", "1");
        let mut child = Process::spawn(&spawn, directory.path(), &watchdog).unwrap();
        assert_eq!(child.wait(Duration::from_secs(10)).await.unwrap().code(), Some(3));
        let log = child.log();
        assert!(log.contains("HERALD_X=1") && log.contains("oops"), "{log}");
        assert!(!log.contains("CARGO"), "{log}");
    }

    #[tokio::test]
    async fn dropping_kills_grandchildren_too() {
        let (directory, watchdog) =
            (tempfile::tempdir().unwrap(), Arc::new(Watchdog::start().unwrap()));
        let child = Process::spawn(&shell("sleep 60 & echo $!; wait"), directory.path(), &watchdog)
            .unwrap();
        let grandchild = eventually("the grandchild's pid", Duration::from_secs(10), async || {
            child.log().trim().parse::<u32>()
        })
        .await;
        drop(child);
        eventually("its end", Duration::from_secs(10), async || {
            // Gone, or a zombie that nobody has waited for yet.
            let stat = fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") { Ok(()) } else { Err(stat) }
        })
        .await;
    }
}
