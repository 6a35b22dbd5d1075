//! Official clients, scripts in js/ and python/, and others that a test talks with in lines of JSON.

use std::{path::Path, process::ExitStatus, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{ChildStdin, ChildStdout},
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    binaries,
    process::{Process, Spawn},
    watchdog::Watchdog,
};

/// Lines that may wait for the test; a script that says more waits itself.
const LINES: usize = 10_000;

/// A running script. What it is to do is one JSON argument; what it sees are lines of JSON on its
/// standard output, each an object with a `type`; commands are lines of JSON on its standard
/// input, each an object with a `do`. At the end of its standard input it ends.
#[derive(Debug)]
pub struct Script {
    process: Process,
    commands: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Script {
    pub(crate) fn node(
        name: &str,
        file: &str,
        config: &impl Serialize,
        logs: &Path,
        watchdog: &Arc<Watchdog>,
    ) -> anyhow::Result<Self> {
        let script = binaries::js(file)?;
        let spawn = Spawn::new(name, binaries::system("node")?).args([script]);
        Self::start(spawn, config, logs, watchdog)
    }

    pub(crate) fn python(
        name: &str,
        file: &str,
        config: &impl Serialize,
        logs: &Path,
        watchdog: &Arc<Watchdog>,
    ) -> anyhow::Result<Self> {
        let (interpreter, script) = binaries::python(file)?;
        let spawn = Spawn::new(name, interpreter).args([script]);
        Self::start(spawn, config, logs, watchdog)
    }

    fn start(
        spawn: Spawn,
        config: &impl Serialize,
        logs: &Path,
        watchdog: &Arc<Watchdog>,
    ) -> anyhow::Result<Self> {
        Self::talk(spawn.args([serde_json::to_string(config)?]), logs, watchdog)
    }

    /// Any program that speaks so.
    pub(crate) fn talk(
        spawn: Spawn,
        logs: &Path,
        watchdog: &Arc<Watchdog>,
    ) -> anyhow::Result<Self> {
        let spawn = Spawn { piped: true, ..spawn };
        let mut process = Process::spawn(&spawn, logs, watchdog)?;
        let (commands, output) = process.pipes().context("the script has no pipes")?;
        let (sender, lines) = mpsc::channel(LINES);
        tokio::spawn(forward(output, sender));
        Ok(Self { process, commands: Some(commands), lines })
    }

    /// The next thing that it saw.
    ///
    /// # Errors
    ///
    /// When nothing comes within `patience`, the script has ended, or it printed something else.
    pub async fn next(&mut self, patience: Duration) -> anyhow::Result<Value> {
        let line = timeout(patience, self.lines.recv())
            .await
            .with_context(|| format!("{} says nothing for {patience:?}", self.process.name()))?;
        let line = line.with_context(|| {
            format!("{} has ended: {}", self.process.name(), self.process.log())
        })?;
        serde_json::from_str(&line)
            .with_context(|| format!("{} says {line:?}", self.process.name()))
    }

    /// The next thing of this `type`; others are passed over.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next), and the last other thing is named.
    pub async fn expect(&mut self, kind: &str, patience: Duration) -> anyhow::Result<Value> {
        let deadline = Instant::now() + patience;
        let mut last = Value::Null;
        loop {
            let Ok(next) = timeout_at(deadline, self.next(patience)).await else {
                bail!(
                    "{} does not say {kind} within {patience:?}, but {last}",
                    self.process.name()
                );
            };
            let next = next.with_context(|| format!("waiting for {kind}, after {last}"))?;
            if next["type"] == kind {
                return Ok(next);
            }
            last = next;
        }
    }

    /// Gives a command.
    ///
    /// # Errors
    ///
    /// When the script has ended.
    pub async fn command(&mut self, command: &Value) -> anyhow::Result<()> {
        let commands = self.commands.as_mut().context("its input is closed")?;
        commands.write_all(format!("{command}\n").as_bytes()).await?;
        Ok(commands.flush().await?)
    }

    /// Closes its input, upon which it ends, and waits for that. What it still says is lost.
    ///
    /// # Errors
    ///
    /// When it does not end within `patience`.
    pub async fn finish(mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        drop(self.commands.take());
        self.lines.close();
        self.process.wait(patience).await
    }

    /// Its process, for signals.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

async fn forward(output: ChildStdout, sender: mpsc::Sender<String>) {
    let mut output = BufReader::new(output).lines();
    // Read to the end even if nobody listens: a full pipe would keep the script from ending.
    while let Ok(Some(line)) = output.next_line().await {
        let _ = sender.send(line).await;
    }
}
