//! `herald dev`: gateway, notifier and a page in one process.

use std::{future::IntoFuture as _, net::SocketAddr};

use herald_backplane::Backplane;
use herald_gateway::{Gateway, GatewayOptions};
use herald_notifier::{Notifier, Options as NotifierOptions};
use herald_service::{
    Failure, Process, bind,
    config::{Reader, Source},
};

use crate::page;

const LISTEN: &str = "HERALD_DEV_LISTEN";

/// What differs from running the services on their own.
const PRESETS: [(&str, &str); 7] = [
    ("HERALD_BACKPLANE", "memory:"),
    ("HERALD_CLIENT_AUTH", "insecure"),
    ("HERALD_GATEWAY_NAME", "dev"),
    ("HERALD_GATEWAY_LISTEN", "127.0.0.1:8013"),
    ("HERALD_NOTIFIER_GRPC_LISTEN", "127.0.0.1:50051"),
    ("HERALD_NOTIFIER_HTTP_LISTEN", "127.0.0.1:8080"),
    ("HERALD_LOG", "warn"),
];

pub(crate) fn presets(source: Source) -> Source {
    PRESETS.iter().fold(source, |source, (variable, value)| source.preset(*variable, *value))
}

/// Everything that `herald dev` can be told.
#[derive(Debug)]
pub(crate) struct Options {
    listen: SocketAddr,
    gateway: GatewayOptions,
    notifier: NotifierOptions,
}

impl Options {
    pub(crate) fn read(r: &mut Reader) -> Self {
        r.group("Page");
        let listen: SocketAddr = r
            .option(LISTEN, "Where the page is, which sends as anybody: loopback only")
            .ensure(|address: &SocketAddr| {
                if address.ip().is_loopback() {
                    Ok(())
                } else {
                    Err("is not a loopback address".into())
                }
            })
            .default("127.0.0.1:8000");
        let gateway = GatewayOptions::read(r);
        let notifier = NotifierOptions::read(r, &gateway.backplane);
        Self { listen, gateway, notifier }
    }
}

/// Runs until the process is to end, or one of the services fails.
pub(crate) async fn serve(options: Options, process: Process) -> Result<(), Failure> {
    let Options { listen, gateway, notifier } = options;
    let path = gateway.engine.path.clone();
    let in_memory = gateway.backplane.url.starts_with("memory:");
    let backplane = Backplane::open(&gateway.backplane).map_err(Failure::bad_configuration)?;
    let page = bind(LISTEN, listen).await?;
    let (of_gateway, of_notifier) = (process.another(), process.another());
    let notifier = Notifier::bind(notifier, backplane.clone(), &of_notifier.readiness).await?;
    let gateway = Gateway::bind(gateway, backplane, of_gateway).await?;

    let addresses = page::Addresses {
        gateway: format!("http://{}", gateway.address()),
        path,
        notifier: format!("http://{}", notifier.http_address()),
    };
    announce(page.address, &addresses, notifier.grpc_address(), in_memory);
    let router = page::router(addresses, notifier.http_address());
    let page = axum::serve(page.listener, router);
    let notifier = notifier.run(of_notifier.shutdown);
    let gateway = Box::pin(gateway.run());
    let services = async {
        tokio::try_join!(async { notifier.await.map_err(Failure::from) }, async {
            gateway.await.map_err(Failure::unavailable)
        },)
        .map(|((), ())| ())
    };
    // The page holds nothing that would have to end in order.
    tokio::select! {
        ended = services => ended,
        failed = page.into_future() => failed.map_err(Failure::from),
    }
}

/// Printed rather than logged: it is what the command is for.
fn announce(page: SocketAddr, addresses: &page::Addresses, grpc: SocketAddr, in_memory: bool) {
    let page::Addresses { gateway, path, notifier } = addresses;
    let kept =
        if in_memory { "everything in memory, gone when it ends" } else { "on your backplane" };
    println!(
        "
Herald is running, for development: {kept}.

  page       http://{page}/
  clients    io('{gateway}/notice', {{ path: '{path}', query: {{ token: 'alice' }} }})
  gRPC       {grpc}   (herald.v1.NoticeService, with reflection)
  HTTP       {notifier}   (described at {notifier}/openapi.json)

Open the page, then send alice a notice:

  curl -s {notifier}/v1/notices -H 'content-type: application/json' -d '{{\"userId\": \"alice\", \"data\": {{\"text\": \"Hello, Alice\"}}}}'

Ctrl-C ends it.
"
    );
}

#[cfg(test)]
mod tests {
    use herald_service::config::Faults;

    use super::*;

    fn read(arguments: &[&str]) -> Result<Options, Faults> {
        let no_environment: [(&str, &str); 0] = [];
        let mut r = Reader::new(presets(Source::new(arguments.iter().copied(), no_environment)));
        let options = Options::read(&mut r);
        r.finish().map(|_| options)
    }

    #[test]
    fn it_needs_no_options_and_stays_on_loopback() {
        let options = read(&[]).unwrap();
        assert!(options.listen.ip().is_loopback());
        assert!(options.gateway.listen.ip().is_loopback());
        assert!(options.notifier.grpc_listen.ip().is_loopback());
        assert!(options.notifier.http_listen.ip().is_loopback());
        assert_eq!(options.gateway.backplane.url, "memory:");
    }

    #[test]
    fn the_page_is_refused_elsewhere() {
        let faults = read(&["--dev-listen", "0.0.0.0:8000"]).unwrap_err().to_string();
        assert!(faults.contains("HERALD_DEV_LISTEN") && faults.contains("loopback"), "{faults}");
    }
}
