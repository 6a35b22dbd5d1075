//! From `main` to the exit code.

use std::{
    future::Future,
    io::{self, Write as _},
    time::Duration,
};

use tokio::runtime::Runtime;

use crate::{
    config::{Effective, Reader, Source},
    exit::{Exit, Failure},
    healthcheck::healthcheck,
    metrics::MetricsHandle,
    program::{Action, Program},
    readiness::Readiness,
    shutdown::Shutdown,
    signals,
    telemetry::{self, LogFilter, TelemetryOptions},
};

/// The default of `HERALD_SHUTDOWN_DEADLINE`.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(25);

/// For the last spans. With the default for ending and the time for blocking work it stays below
/// the 30 s after which Kubernetes kills.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);

/// For blocking work that is still under way.
const RUNTIME_DEADLINE: Duration = Duration::from_millis(500);

/// What a running service gets from the process around it. A test makes its own:
/// [`Process::detached`].
#[derive(Clone)]
pub struct Process {
    /// Heed it: requested by the first SIGTERM or SIGINT.
    pub shutdown: Shutdown,
    /// Declare what the service needs to be ready; not ready any more once shutting down.
    pub readiness: Readiness,
    /// The figures, for the admin port.
    pub metrics: MetricsHandle,
    /// What is logged, for the admin port to change; absent where that is not this process' affair.
    pub log: Option<LogFilter>,
    /// How long ending may take once it is asked for; whoever takes longer is cut off.
    pub grace: Duration,
}

impl Process {
    /// Everything a service needs, connected to no signal.
    ///
    /// # Errors
    /// As [`MetricsHandle::install`].
    pub fn detached() -> Result<Self, crate::metrics::ForeignRecorder> {
        let shutdown = Shutdown::new();
        Ok(Self {
            readiness: Readiness::until(shutdown.clone()),
            shutdown,
            metrics: MetricsHandle::install()?,
            log: None,
            grace: SHUTDOWN_DEADLINE,
        })
    }

    /// For a second service in the same process: it ends with this one and can end alone, and its
    /// readiness is its own. The figures are shared.
    #[must_use]
    pub fn another(&self) -> Self {
        let shutdown = self.shutdown.child();
        Self {
            readiness: Readiness::until(shutdown.clone()),
            shutdown,
            metrics: self.metrics.clone(),
            log: self.log.clone(),
            grace: self.grace,
        }
    }
}

/// Does all that a `main` does: reads the configuration, answers `--help`, `--version`,
/// `--check-config` and `healthcheck`, sets up telemetry, runtime and signals, runs `serve` until
/// it ends, and flushes. After a signal `serve` has `HERALD_SHUTDOWN_DEADLINE` to end.
///
/// A configuration that is wrong is printed whole and ends with [`Exit::BadConfiguration`].
pub fn launch<O, F>(
    program: &Program,
    source: Source,
    read: impl FnOnce(&mut Reader) -> O,
    serve: impl FnOnce(O, Process) -> F,
) -> Exit
where
    F: Future<Output = Result<(), Failure>>,
{
    let read = |r: &mut Reader| (read(r), Common::read(r, program.name));
    match program.load(source, read) {
        Err(faults) => {
            eprint!("{}: {faults}", program.name);
            Exit::BadConfiguration
        }
        Ok(Action::Print(text)) => {
            // Whoever reads it may have read enough (`--help | head`).
            let _ = io::stdout().write_all(text.as_bytes());
            Exit::Clean
        }
        Ok(Action::Healthcheck { address, probe, deadline }) => {
            healthcheck(address, probe, deadline)
        }
        Ok(Action::Run { options: (options, common), effective }) => {
            let outcome = run(program, &common, &effective, |process| serve(options, process));
            match outcome {
                Ok(()) => Exit::Clean,
                Err(failure) => {
                    // Printed rather than logged: it must be seen whatever the filter says.
                    eprintln!("{}: {failure}", program.name);
                    failure.exit()
                }
            }
        }
    }
}

/// The options that every process has.
struct Common {
    telemetry: TelemetryOptions,
    shutdown_deadline: Duration,
}

impl Common {
    fn read(r: &mut Reader, service: &str) -> Self {
        let telemetry = TelemetryOptions::read(r, service);
        r.group("Lifecycle");
        let shutdown_deadline = r
            .option(
                "HERALD_SHUTDOWN_DEADLINE",
                "How long ending may take after SIGTERM; keep it below what the supervisor allows",
            )
            .within(Duration::from_secs(1)..=Duration::from_secs(3600))
            .default("25s");
        Self { telemetry, shutdown_deadline }
    }
}

fn run<F>(
    program: &Program,
    common: &Common,
    effective: &Effective,
    serve: impl FnOnce(Process) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let runtime = runtime(program.name)?;
    let entered = runtime.enter();
    let guard = telemetry::init(&common.telemetry)?;
    let (grace, log) = (common.shutdown_deadline, guard.log_filter());
    let process = Process { grace, log, ..Process::detached()? };
    process.metrics.built(program);
    signals::listen(&process.shutdown)?;
    drop(entered);

    tracing::info!(
        service = program.name,
        version = program.version,
        options = effective.chosen(),
        "starting"
    );
    for warning in effective.warnings() {
        tracing::warn!("{warning}");
    }
    let shutdown = process.shutdown.clone();
    let outcome = runtime.block_on(async {
        // On the heap: the future of a whole service is large.
        let serve = Box::pin(serve(process));
        shutdown.grace(common.shutdown_deadline, serve).await
    });
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(deadline) => Err(Failure::internal(format!("shutting down was {deadline}"))),
    };
    match &outcome {
        Ok(()) => tracing::info!(service = program.name, "stopped"),
        Err(failure) => tracing::error!(service = program.name, %failure, "failed"),
    }
    guard.flush(FLUSH_DEADLINE);
    runtime.shutdown_timeout(RUNTIME_DEADLINE);
    outcome
}

fn runtime(name: &str) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_name(name).build()
}
