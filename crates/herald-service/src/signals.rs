//! Signals of the operating system.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::shutdown::Shutdown;

/// Requests `shutdown` on the first SIGTERM or SIGINT; on the second the process ends at once
/// with 128 plus the signal's number, whatever it is doing. Runs until the runtime ends.
///
/// # Errors
/// When the system refuses to install the handlers.
pub fn listen(shutdown: &Shutdown) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        loop {
            let kind = tokio::select! {
                _ = terminate.recv() => SignalKind::terminate(),
                _ = interrupt.recv() => SignalKind::interrupt(),
            };
            let number = kind.as_raw_value();
            if shutdown.is_requested() {
                tracing::warn!(signal = number, "second signal, ending at once");
                std::process::exit(128 + number);
            }
            tracing::info!(signal = number, "shutting down, a second signal ends at once");
            shutdown.request();
        }
    });
    Ok(())
}
