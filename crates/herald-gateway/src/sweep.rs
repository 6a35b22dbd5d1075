//! Finds sessions whose end nobody told.
//!
//! Socket.IO calls no disconnect handler for a client that leaves between being told that it is
//! connected and the handler being set. Most of those are noticed when the first packet is
//! refused; this finds the rest.

use std::time::Duration;

use crate::{context::Context, end_cause::EndCause};

const EVERY: Duration = Duration::from_secs(30);

/// Sessions looked at before other tasks get their turn.
const BURST: usize = 256;

pub(crate) async fn run(context: &Context) {
    loop {
        tokio::time::sleep(EVERY).await;
        sweep(context).await;
    }
}

/// One round; gives the number of sessions found gone.
async fn sweep(context: &Context) -> usize {
    let mut found = 0;
    for (nth, session) in context.sessions.all().into_iter().enumerate() {
        if !session.is_connected() {
            context.depart(&session, EndCause::Lost);
            found += 1;
        }
        if nth % BURST == BURST - 1 {
            tokio::task::yield_now().await;
        }
    }
    if found > 0 {
        tracing::info!(sessions = found, "sessions removed that had ended unseen");
    }
    found
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use futures_util::{SinkExt, StreamExt};
    use herald_backplane::{Backplane, BackplaneOptions};
    use herald_core::{GatewayName, Namespace, UserId};
    use herald_service::Readiness;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

    use super::*;
    use crate::{
        auth::{AuthOptions, Authenticator},
        connect,
        edge::{
            self, Admission, AdmissionOptions, EdgeOptions, EngineOptions, Origins, RouterOptions,
            Transports, engine,
        },
        lease,
    };

    const SOON: Duration = Duration::from_secs(10);

    async fn eventually(condition: impl Fn() -> bool) {
        let wait = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, wait).await.unwrap();
    }

    /// The parts of a gateway that serves `/notice`, and its address.
    async fn gateway(backplane: &Backplane) -> (Arc<Context>, std::net::SocketAddr) {
        let options = EngineOptions::default();
        let (service, io) = engine::build(&options);
        let transports = Transports::new(service.clone(), &options.path);
        let (context, _reports) = Context::new(
            GatewayName::new("test").unwrap(),
            backplane,
            transports.clone(),
            Authenticator::new(&AuthOptions::Insecure, 100, SOON),
            Duration::from_secs(1),
            crate::broadcast::Broadcasts::new().0,
            crate::context::Bounds { slow_socket_timeout: SOON, sessions_per_user: 20 },
        );
        let context = Arc::new(context);
        connect::install(&io, &context, &Namespace::new("/notice").unwrap());
        let condition = Readiness::new().condition("lease");
        let admission = Admission::new(AdmissionOptions::default());
        let ear = lease::Ear { condition: condition.clone(), admission };
        let first = lease::first(&context, backplane, &condition).await.unwrap();
        let keep = lease::keep(Arc::clone(&context), backplane.clone(), condition, ear, first);
        context.spawn(keep);
        let parts = Arc::clone(&context);
        context.spawn(async move { crate::departures::run(&parts).await });
        let router = edge::router(
            service,
            &RouterOptions {
                path: options.path,
                admission: Admission::new(AdmissionOptions::default()),
                transports,
                origins: Origins::Any,
                body_timeout: SOON,
            },
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let edge = edge::serve(listener, router, EdgeOptions::default()).unwrap();
        (context, edge.local_addr())
    }

    async fn client(address: std::net::SocketAddr) -> WebSocketStream<TcpStream> {
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/notice/?EIO=4&transport=websocket");
        let (mut client, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
        let connect = Message::text(r#"40/notice,{"token":"alice"}"#);
        client.send(connect).await.unwrap();
        let ready = async {
            while let Some(Ok(message)) = client.next().await {
                if message.to_text().unwrap().contains("herald:ready") {
                    return;
                }
            }
            panic!("the connection ended");
        };
        tokio::time::timeout(SOON, ready).await.unwrap();
        client
    }

    #[tokio::test]
    async fn a_session_that_ended_unseen_is_found_and_unregistered() {
        let backplane = Backplane::open(&BackplaneOptions::default()).unwrap();
        let (context, address) = gateway(&backplane).await;
        let alice = UserId::new("alice").unwrap();
        let _stays = client(address).await;
        let kept = context.sessions.of(&alice).unwrap()[0].id();
        let leaves = client(address).await;
        let sessions = context.sessions.all();
        let lost = sessions.iter().find(|session| session.id() != kept).unwrap();
        // As if the handler had been set too late.
        lost.socket().on_disconnect(async || {});
        drop(leaves);
        eventually(|| !lost.is_connected()).await;
        assert_eq!(context.sessions.all().len(), 2, "nobody said so");

        assert_eq!(sweep(&context).await, 1);
        assert_eq!(context.sessions.all()[0].id(), kept);
        let registered = || async {
            let notifier = backplane.notifier();
            notifier.presence(std::slice::from_ref(&alice)).await.unwrap().remove(0).sessions
        };
        let removed = async {
            while registered().await.len() > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, removed).await.unwrap();
        assert_eq!(registered().await[0].id, kept);
        assert_eq!(sweep(&context).await, 0);
    }
}
