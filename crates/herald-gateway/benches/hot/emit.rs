//! A notice packed, and written to a client.

use std::time::Duration;

use herald_core::{Cursor, Epoch, Place, Position};
use herald_gateway::{
    edge::{
        self, Admission, AdmissionOptions, EdgeOptions, EngineOptions, Origins, RouterOptions,
        Transports,
    },
    hot,
};
use socketioxide::extract::SocketRef;
use tokio::{net::TcpListener, runtime, sync::mpsc};

use crate::{client::Client, notice, user};

/// A notice is packed, goes through the edge of a gateway, and its client reads it.
pub(crate) fn one() -> impl FnMut() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (user, notice) = (user(), notice());
    let place = Place { position: Position { ms: 1_764_000_000_000, seq: 0 }, random: 0xc0_ffee };
    let cursor = Cursor { epoch: Epoch(7), place };
    let (socket, mut client, edge) = runtime.block_on(async {
        let engine = EngineOptions::default();
        let (service, io) = edge::engine::build(&engine);
        let (tell, mut told) = mpsc::channel(1);
        io.ns("/notice", move |socket: SocketRef| {
            let _ = tell.try_send(socket);
            std::future::ready(())
        });
        let options = RouterOptions {
            path: engine.path.clone(),
            admission: Admission::new(AdmissionOptions::default()),
            transports: Transports::new(service.clone(), &engine.path),
            origins: Origins::Any,
            body_timeout: Duration::from_secs(10),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let router = edge::router(service, &options);
        let edge = edge::serve(listener, router, EdgeOptions::default()).unwrap();
        let client = Client::connect(edge.local_addr(), user.as_str(), "40/notice,").await;
        (told.recv().await.unwrap(), client, edge)
    });
    move || {
        assert!(hot::emit(&socket, &user, &notice, place, cursor), "its queue is empty");
        runtime.block_on(client.notice());
        // Its door closes when nobody holds it.
        let _ = &edge;
    }
}
