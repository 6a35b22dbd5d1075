//! `herald bench`: how a deployment fares, measured from where its backend is.

mod arguments;
mod told;

use std::{ffi::OsString, process::ExitCode, sync::atomic::Ordering, time::Duration};

use herald_loadgen::{
    ConnectError, Outgoing, SendError, Sender, files,
    measure::{Figures, Opened, Producer, Run, Swarm},
    progress,
    sender::GrpcSender,
};
use herald_service::Exit;
use tonic::Status;

use self::arguments::Arguments;
use crate::{
    notifier::{Failed, NO_PERMISSION},
    words,
};

/// Files that this process needs besides its connections.
const SPARE_FILES: u64 = 50;

/// Why nothing was measured.
#[derive(Debug)]
enum Unmeasured {
    /// By what calls the notifier.
    Notifier(Failed),
    /// A gateway took no client.
    Gateway { refused: bool, why: String },
}

impl From<Failed> for Unmeasured {
    fn from(failed: Failed) -> Self {
        Self::Notifier(failed)
    }
}

pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Arguments = match words::parse("herald bench", arguments) {
        Ok(arguments) => arguments,
        Err(exit) => return exit.into(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("herald bench: {error}");
            return Exit::Internal.into();
        }
    };
    match runtime.block_on(measure(&arguments)) {
        Ok(clean) => ExitCode::from(u8::from(!clean)),
        Err(Unmeasured::Notifier(failed)) => {
            eprintln!("herald bench: {failed}");
            failed.exit()
        }
        Err(Unmeasured::Gateway { refused, why }) => {
            eprintln!("herald bench: {why}");
            if refused { NO_PERMISSION.into() } else { Exit::Unavailable.into() }
        }
    }
}

/// Whether all that was sent was accepted and arrived, and no connection ended.
async fn measure(arguments: &Arguments) -> Result<bool, Unmeasured> {
    let population = arguments.population().await?;
    let files = files::raise_limit();
    if u64::from(arguments.clients()) + SPARE_FILES > files {
        let why = format!(
            "{} clients need as many open files, and this process may have {files}: raise the limit \
             (ulimit -n), or take fewer",
            arguments.clients()
        );
        return Err(Failed::Wrong(why).into());
    }
    let sender = sender(arguments).await?;
    let first = arguments.user(0);
    try_out(&sender, &first).await?;

    let mut swarm = Swarm::new(population);
    let opened = connect(&mut swarm, arguments).await?;
    told::connected(opened, arguments.json);
    let figures = load(&swarm, Producer::Herald(sender), arguments).await;
    told::result(&figures, arguments.json);
    Ok(figures.failed == 0 && figures.missing == 0 && figures.ended == 0)
}

async fn sender(arguments: &Arguments) -> Result<Sender, Failed> {
    let (key, time) = (arguments.notifier.key()?, arguments.notifier.time());
    let client = arguments.notifier.connect().await?;
    Ok(Sender::Grpc(GrpcSender::over(client, key, time)))
}

/// One notice that is kept nowhere, to nobody: whether this caller may send at all is known before
/// thousands of clients are connected.
async fn try_out(sender: &Sender, user: &str) -> Result<(), Failed> {
    let notice = Outgoing { volatile: true, ..Outgoing::new(user, "{}") };
    let sent = sender.send(&notice).await;
    sent.map(|_| ()).map_err(|SendError { code, message, .. }| {
        Failed::Refused(Status::new(code, format!("the notifier takes no notices: {message}")))
    })
}

async fn connect(swarm: &mut Swarm, arguments: &Arguments) -> Result<Opened, Unmeasured> {
    let (open, clients) = (swarm.opened(), arguments.clients());
    let position = || u64::from(open.load(Ordering::Relaxed));
    let growing = swarm.grow(clients);
    progress::during("connecting", clients.into(), position, growing).await.map_err(|error| {
        let refused = matches!(error, ConnectError::Rejected { .. });
        let hint = match &error {
            ConnectError::Rejected { .. } => {
                "; what clients show is set by --token, --jwt-secret-file or HERALD_JWT_SECRET"
            }
            ConnectError::Refused { status, .. } if status.as_u16() == 404 => {
                "; is that a gateway's port, and --path its HERALD_SOCKET_PATH?"
            }
            _ => "",
        };
        let gateways = arguments.gateways();
        Unmeasured::Gateway {
            refused,
            why: format!("a client cannot connect to {gateways}: {error}{hint}"),
        }
    })
}

async fn load(swarm: &Swarm, producer: Producer, arguments: &Arguments) -> Figures {
    let mut run = Run::start(swarm, producer, arguments.plan());
    progress::wait("warming up", arguments.warm_up).await;
    run.begin();
    progress::wait("measuring", arguments.duration).await;
    run.end();
    run.settle(Duration::from_secs(5)).await
}
