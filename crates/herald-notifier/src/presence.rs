//! Who is connected.

use herald_backplane::Presence;
use herald_core::{SessionRecord, Transport};
use herald_proto::{api, time::timestamp_from_unix_ms};

use crate::{
    call::{Call, Context},
    error::{Error, Work},
    field::Path,
    validate,
};

/// Serves BatchGetPresence.
pub(crate) async fn batch_get_presence(
    context: &Context,
    call: &Call,
    request: api::BatchGetPresenceRequest,
) -> Result<api::BatchGetPresenceResponse, Error> {
    let users = validate::presence(&request, &Path::root(call.names()))?;
    users.iter().try_for_each(|user| call.caller().may_reach(user))?;
    let presence = call.backplane(Work::Read, context.port.presence(&users)).await?;
    Ok(api::BatchGetPresenceResponse { users: presence.into_iter().map(user).collect() })
}

fn user(Presence { user, sessions }: Presence) -> api::UserPresence {
    api::UserPresence {
        user_id: user.to_string(),
        online: !sessions.is_empty(),
        sessions: sessions.into_iter().map(session).collect(),
    }
}

fn session(session: SessionRecord) -> api::Session {
    let transport = match session.transport {
        Transport::WebSocket => api::Transport::Websocket,
        Transport::Polling => api::Transport::Polling,
    };
    api::Session {
        session_id: session.id.to_string(),
        gateway: session.gateway_name.to_string(),
        namespace: session.namespace.to_string(),
        device: session.device.map(|device| device.to_string()),
        connect_time: Some(timestamp_from_unix_ms(session.connected_at_ms)),
        transport: transport.into(),
        user_agent: session.user_agent,
        socket_id: session.socket_id,
    }
}
