//! A namespace connection: from its handshake to a session that catches up.
//!
//! 1. The *middleware* runs before the client hears anything: it authenticates, and reads the tip
//!    of the user's inbox. So whatever is accepted after the client's `connect` comes after it.
//! 2. Socket.IO tells the client that it is connected.
//! 3. The *handler* takes the session in. Its catch-up registers it, from the client's cursor or
//!    that tip, and tells it `herald:ready`.
//!
//! A client may leave at any point in between, and Socket.IO does not always say so: see
//! [`connected`] and [`sweep`](crate::sweep).

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use herald_backplane::Since;
use herald_core::{Cursor, Device, GatewayId, Namespace, SessionId, SessionRecord, Transport};
use serde_json::Value;
use socketioxide::{
    SocketIo, TransportType,
    extract::{SocketRef, TryData},
    handler::ConnectHandler as _,
    socket::DisconnectReason,
};

use crate::{
    auth::{AuthError, Denied},
    catch_up,
    context::Context,
    edge::{self, CloseReason},
    end_cause::EndCause,
    ending, figures,
    handshake::{Beginning, Handshake, HandshakeError},
    renewal,
    session::{Admitted, Session},
};

/// Of a `User-Agent`, this much is kept.
const USER_AGENT_BYTES: usize = 256;

/// Of Socket.IO's id, this much leaves the gateway. socketioxide's id is Engine.IO's, and who knows
/// the whole of a polling client's may speak in its place; 60 of its 96 random bits stay here.
const PUBLIC_ID_CHARS: usize = 6;

/// How long a middleware outlasts the closing of its transport. It must end with an error, which
/// Socket.IO turns into a connect_error; clients must not see that one, and do not once the
/// engine has closed the session.
const LINGER: Duration = Duration::from_secs(1);

/// Why somebody is sent away, as a label.
pub(crate) const BACKPLANE_AWAY: &str = "backplane_away";
const DRAINING: &str = "draining";

/// Serves `namespace`.
pub(crate) fn install(io: &SocketIo, context: &Arc<Context>, namespace: &Namespace) {
    let of_middleware = Arc::clone(context);
    let middleware = move |socket: SocketRef, TryData(auth): TryData<Value>| {
        let context = Arc::clone(&of_middleware);
        async move { admit(&context, &socket, auth.ok()).await }
    };
    let (of_handler, name) = (Arc::clone(context), namespace.clone());
    let handler = move |socket: SocketRef| {
        let (context, name) = (Arc::clone(&of_handler), name.clone());
        // Not a suspension point in it: see `connected`.
        async move { connected(&context, name, socket) }
    };
    io.ns(namespace.as_str().to_owned(), handler.with(middleware));
}

/// Why a namespace is not connected; the text is what the client gets to see.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// What is needed for letting it in is away. Nobody sees it: the transport was closed before.
    #[error("{0}")]
    Away(&'static str),
}

impl From<AuthError> for Refused {
    fn from(error: AuthError) -> Self {
        Self::Handshake(error.into())
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused(error) => error.into(),
            Denied::Away(reason) => Self::Away(reason),
        }
    }
}

async fn admit(context: &Context, socket: &SocketRef, auth: Option<Value>) -> Result<(), Refused> {
    let refused = match look_at(context, socket, auth).await {
        Ok(admitted) => {
            socket.extensions.insert(admitted);
            return Ok(());
        }
        Err(refused) => refused,
    };
    match &refused {
        Refused::Handshake(error) => {
            figures::refusals(error.code()).increment(1);
            tracing::debug!(
                socket = public_id(socket),
                namespace = socket.ns(),
                code = error.code(),
                reason = error.reason(),
                "client refused"
            );
        }
        Refused::Away(reason) => {
            figures::refusals(reason).increment(1);
            tracing::debug!(socket = public_id(socket), reason, "client sent away");
            // No connect_error: the stock clients never try again after one.
            context.transports.of(socket.id, socket.req_parts()).close(match *reason {
                DRAINING => CloseReason::Draining,
                BACKPLANE_AWAY => CloseReason::Unregistered,
                _ => CloseReason::Unauthenticated,
            });
            tokio::time::sleep(LINGER).await;
        }
    }
    Err(refused)
}

/// Says who the client is and where its session begins.
async fn look_at(
    context: &Context,
    socket: &SocketRef,
    auth: Option<Value>,
) -> Result<Admitted, Refused> {
    if context.leaving.is_cancelled() {
        return Err(Refused::Away(DRAINING));
    }
    let parts = socket.req_parts();
    let auth = auth.ok_or(AuthError::Malformed)?;
    let edge = edge::Handshake::of(parts);
    let handshake = Handshake::read(&auth, &parts.uri, edge)?;
    let connecting = edge.map(|edge| Arc::new(edge.connecting()));
    let token = handshake.token.as_deref();
    let mut identity = context.auth.authenticate(token).await?;
    let device = handshake.device()?;
    let beginning = handshake.beginning(&identity.user);
    // Asked for in any case: it is also what tells whether there is any use in going on.
    let port = context.lease.current().ok_or(Refused::Away(BACKPLANE_AWAY))?;
    let admission = context.call(port.admission(&identity.user)).await.map_err(|error| {
        tracing::debug!(%error, "nothing can be asked of a user");
        Refused::Away(BACKPLANE_AWAY)
    })?;
    if ending::is_revoked(&identity, &admission) {
        // What was said of the token before may have been said before it was revoked.
        identity = context.auth.renew(token).await?;
        if ending::is_revoked(&identity, &admission) {
            return Err(AuthError::Revoked.into());
        }
    }
    let since = match beginning {
        Beginning::Now => admission.tip.map_or(Since::Start, Since::After),
        Beginning::Start | Beginning::Malformed => Since::Start,
        Beginning::After(Cursor { epoch, place }) => Since::After(Cursor { epoch, place }),
    };
    let (malformed, resumed) = (beginning == Beginning::Malformed, beginning != Beginning::Now);
    let mark = admission.mark;
    Ok(Admitted { identity, device, since, resumed, malformed, mark, connecting })
}

/// The client is connected. Nothing here waits: until the disconnect handler is there, a client
/// that leaves does so unseen.
fn connected(context: &Arc<Context>, namespace: Namespace, socket: SocketRef) {
    let id = SessionId::random();
    let Some(mut admitted) = socket.extensions.remove::<Admitted>() else {
        // The middleware has run, or there were no handler.
        debug_assert!(false, "a socket without its middleware's findings");
        return;
    };
    let (device, connecting) = (admitted.device.take(), admitted.connecting.take());
    let (of_handler, user) = (Arc::clone(context), admitted.identity.user.clone());
    socket.on_disconnect(move |reason: DisconnectReason| {
        if let Some(session) = of_handler.sessions.find(&user, id) {
            of_handler.depart(&session, cause_of(reason));
        }
        std::future::ready(())
    });
    // Tells this session's socket from a later one of the same id.
    socket.extensions.insert(id);

    let session = Session::new(
        admitted,
        record(context, id, namespace, device, &socket),
        socket.clone(),
        context.transports.of(socket.id, socket.req_parts()),
        context.receipts.clone(),
        context.clock.now_ms(),
    );
    let session = Arc::new(session.counted_by(connecting));
    renewal::listen(context, &session, &socket);
    context.sessions.insert(Arc::clone(&session));
    context.expiries.watch(&session);
    // The handler may have run before there was anything to take out.
    if !socket.connected() {
        context.depart(&session, EndCause::Early);
        return;
    }
    catch_up::start(context, session, None);
}

fn record(
    context: &Context,
    id: SessionId,
    namespace: Namespace,
    device: Option<Device>,
    socket: &SocketRef,
) -> SessionRecord {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let user_agent = socket.req_parts().headers.get(http::header::USER_AGENT);
    SessionRecord {
        id,
        // The port knows better: it stands for the lease under which the session is registered.
        gateway: GatewayId(0),
        gateway_name: context.name.clone(),
        namespace,
        socket_id: public_id(socket),
        connected_at_ms: now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
        transport: match socket.transport_type() {
            TransportType::Websocket => Transport::WebSocket,
            TransportType::Polling => Transport::Polling,
        },
        user_agent: user_agent.and_then(|value| Some(cut(value.to_str().ok()?).to_owned())),
        device,
    }
}

/// The beginning of Socket.IO's id: enough to find a connection by, too little to take part in it.
fn public_id(socket: &SocketRef) -> String {
    socket.id.as_str().chars().take(PUBLIC_ID_CHARS).collect()
}

/// The first [`USER_AGENT_BYTES`], at a character's end.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(USER_AGENT_BYTES)]
}

fn cause_of(reason: DisconnectReason) -> EndCause {
    match reason {
        DisconnectReason::TransportClose => EndCause::TransportClose,
        DisconnectReason::MultipleHttpPollingError => EndCause::MultiplePolls,
        DisconnectReason::PacketParsingError => EndCause::BadPacket,
        DisconnectReason::TransportError => EndCause::TransportError,
        DisconnectReason::HeartbeatTimeout => EndCause::Heartbeat,
        DisconnectReason::ClientNSDisconnect => EndCause::Client,
        DisconnectReason::ServerNSDisconnect => EndCause::Server,
        DisconnectReason::ClosingServer => EndCause::Closing,
    }
}
