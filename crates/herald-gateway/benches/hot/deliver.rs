//! From the embedded backplane to the clients of a whole gateway.

use herald_backplane::Backplane;
use herald_gateway::{Gateway, GatewayOptions};
use herald_service::config::{Reader, Source};
use tokio::runtime;

use crate::{client::Client, notice, process, user};

/// A notice for one user is dispatched, comes by the gateway's channel, and each of the user's
/// `sessions` has its client read it from its socket. One thread does it all, so that it is the same
/// each time.
pub(crate) fn to(sessions: usize) -> impl FnMut() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = options();
    let inbox = options.backplane.inbox;
    let backplane = Backplane::open(&options.backplane).unwrap();
    let notifier = backplane.notifier();
    let (user, notice) = (user(), notice());
    let mut clients = runtime.block_on(async {
        let process = process();
        let gateway = Gateway::bind(options, backplane, process.clone()).await.unwrap();
        let address = gateway.address();
        tokio::spawn(gateway.run());
        process.readiness.until_ready().await;
        // What is kept is as much as may be, so that each notice removes one.
        for _ in 0..inbox.notices {
            notifier.dispatch(&user, &notice).await.unwrap();
        }
        let mut clients = Vec::new();
        for _ in 0..sessions {
            let ready = r#"42/notice,["herald:ready","#;
            clients.push(Client::connect(address, user.as_str(), ready).await);
        }
        clients
    });
    move || {
        runtime.block_on(async {
            let dispatched = notifier.dispatch(&user, &notice).await.unwrap();
            assert_eq!(dispatched.targets.len(), clients.len());
            for client in &mut clients {
                client.notice().await;
            }
        });
    }
}

fn options() -> GatewayOptions {
    let environment = [
        ("HERALD_BACKPLANE", "memory:"),
        ("HERALD_CLIENT_AUTH", "insecure"),
        ("HERALD_GATEWAY_LISTEN", "127.0.0.1:0"),
        ("HERALD_GATEWAY_ADMIN_LISTEN", "127.0.0.1:0"),
    ];
    let mut reader = Reader::new(Source::new([""; 0], environment));
    let options = GatewayOptions::read(&mut reader);
    reader.finish().unwrap();
    options
}
