//! A new token for a session that lives: `herald:token`, from the client.
//!
//! `{ token }`, or the token alone; the acknowledgement is `{ ok, endsInMs }` or `{ error }`, a code
//! as in a `connect_error`. A token of somebody else ends nothing and changes nothing.

use std::sync::{Arc, Weak};

use serde::Serialize;
use serde_json::Value;
use socketioxide::extract::{AckSender, SocketRef, TryData};

use crate::{
    auth::{AuthError, Denied, Identity},
    connect::BACKPLANE_AWAY,
    context::Context,
    ending, figures,
    session::Session,
};

/// What the client is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", untagged)]
enum Answer {
    #[serde(rename_all = "camelCase")]
    Renewed {
        ok: bool,
        /// Null when the new token does not end.
        ends_in_ms: Option<u64>,
    },
    Refused {
        error: &'static str,
    },
}

/// Of another user.
const OTHER_USER: &str = "token_other_user";

/// The one before is still being looked at.
const BUSY: &str = "token_busy";

/// Takes new tokens from the session's socket.
pub(crate) fn listen(context: &Arc<Context>, session: &Arc<Session>, socket: &SocketRef) {
    let (context, session) = (Arc::clone(context), Arc::downgrade(session));
    socket.on("herald:token", move |TryData(data): TryData<Value>, ack: AckSender| {
        let (context, session) = (Arc::clone(&context), Weak::clone(&session));
        async move {
            let Some(session) = session.upgrade() else {
                return;
            };
            let answer = renew(&context, &session, data.ok()).await;
            // A client that is gone, or full, finds out by what becomes of its session.
            let _ = ack.send(&answer);
        }
    });
}

async fn renew(context: &Context, session: &Arc<Session>, data: Option<Value>) -> Answer {
    if !session.begin_renewal() {
        return refused(BUSY);
    }
    let identity = identify(context, session, data).await;
    session.renewed(identity.as_ref().ok());
    match identity {
        Ok(_) => {
            context.expiries.watch(session);
            figures::renewals("renewed").increment(1);
            let left = session.token_left();
            let ends_in_ms = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
            Answer::Renewed { ok: true, ends_in_ms }
        }
        Err(code) => {
            tracing::debug!(session = %session.id(), code, "new token refused");
            refused(code)
        }
    }
}

async fn identify(
    context: &Context,
    session: &Session,
    data: Option<Value>,
) -> Result<Identity, &'static str> {
    let token = match data {
        Some(Value::String(token)) => Some(token),
        Some(Value::Object(mut fields)) => match fields.remove("token") {
            Some(Value::String(token)) => Some(token),
            None | Some(Value::Null) => None,
            Some(_) => return Err(AuthError::Malformed.code()),
        },
        Some(Value::Null) => None,
        _ => return Err(AuthError::Malformed.code()),
    };
    let identity = context.auth.renew(token.as_deref()).await.map_err(|denied| match denied {
        Denied::Refused(error) => error.code(),
        Denied::Away(reason) => reason,
    })?;
    if identity.user != *session.user() {
        return Err(OTHER_USER);
    }
    let port = context.lease.current().ok_or(BACKPLANE_AWAY)?;
    let admission = context.call(port.admission(session.user())).await;
    if ending::is_revoked(&identity, &admission.map_err(|_| BACKPLANE_AWAY)?) {
        return Err(AuthError::Revoked.code());
    }
    Ok(identity)
}

fn refused(error: &'static str) -> Answer {
    figures::renewals(error).increment(1);
    Answer::Refused { error }
}
