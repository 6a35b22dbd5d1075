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
    context::Context,
    figures,
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
    match context.auth.renew(token.as_deref()).await {
        Ok(identity) if identity.user == *session.user() => Ok(identity),
        Ok(_) => Err(OTHER_USER),
        Err(Denied::Refused(error)) => Err(error.code()),
        Err(Denied::Away(reason)) => Err(reason),
    }
}

fn refused(error: &'static str) -> Answer {
    figures::renewals(error).increment(1);
    Answer::Refused { error }
}
