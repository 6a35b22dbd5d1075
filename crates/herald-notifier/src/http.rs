//! The same calls as JSON over HTTP.

mod answer;
mod body;
pub(crate) mod connection;
mod query;
mod request;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, Request, State, rejection::PathRejection},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{get, post},
};
use http::{HeaderValue, Uri, header};

use crate::{
    accept::Peer,
    admission::{Admission, Admitted},
    batch,
    call::{Call, Context, Protocol, Rpc},
    callers::Callers,
    config::Options,
    ending,
    error::Error,
    explain, list, presence, send,
};

/// The API's description, as served.
const OPENAPI: &str = include_str!("../openapi/openapi.json");

/// What the routes need.
#[derive(Clone)]
struct Http {
    context: Arc<Context>,
    admission: Admission,
    callers: Callers,
    body_timeout: Duration,
}

/// All that is served.
pub(crate) fn router(
    context: Arc<Context>,
    admission: Admission,
    callers: Callers,
    options: &Options,
) -> Router {
    let http = Http { context, admission, callers, body_timeout: options.body_timeout };
    Router::new()
        .route("/v1/notices", post(send_notice))
        .route("/v1/notices:batch", post(batch_send_notices))
        .route("/v1/users/{user_id}/notices", get(list_notices))
        .route("/v1/users/{user_id}/notices/{notice_action}", get(explain_notice))
        .route("/v1/presence:query", post(batch_get_presence))
        .route("/v1/users/{user_action}", post(end_user))
        .route("/v1/broadcast", post(broadcast))
        .route_layer(from_fn_with_state(http.clone(), admit))
        .route("/openapi.json", get(openapi))
        .method_not_allowed_fallback(async |method| answer::error(&Error::NoMethod(method)))
        .fallback(async || answer::error(&Error::NoPath))
        .with_state(http)
}

/// An explanation as it is answered over HTTP.
///
/// # Errors
/// None that is known: every member can be written as JSON.
pub fn explanation_json(
    response: &herald_proto::api::ExplainNoticeResponse,
) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(&answer::ExplainNotice::from(response))
}

/// Looks who calls, and takes a place among the calls under way, before anything of the body is
/// read.
async fn admit(State(http): State<Http>, mut request: Request, next: Next) -> Response {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.map(HeaderValue::as_bytes);
    let peer = request.extensions().get::<Peer>();
    match http.admission.let_in(Protocol::Http, &http.callers, authorization, peer) {
        Ok(admitted) => {
            request.extensions_mut().insert(admitted);
            next.run(request).await
        }
        Err(error) => answer::error(&error),
    }
}

impl Http {
    /// The call that a request makes.
    fn begin(&self, rpc: Rpc, request: &mut Request) -> Call {
        let admitted = request.extensions_mut().remove::<Admitted>();
        let traceparent = request.headers().get("traceparent");
        let traceparent = traceparent.and_then(|value| value.to_str().ok());
        Call::begin(&self.context, rpc, Protocol::Http, None, traceparent, admitted)
    }

    /// The JSON text of a request.
    async fn body(&self, request: Request) -> Result<bytes::Bytes, Error> {
        body::read(request, self.context.limits.batch_bytes, self.body_timeout).await
    }
}

async fn send_notice(State(http): State<Http>, mut request: Request) -> Response {
    let call = http.begin(Rpc::SendNotice, &mut request);
    let result = call.run(async {
        let request = request::send_notice(&http.body(request).await?)?;
        send::send_notice(&http.context, &call, request).await
    });
    answer::json(result.await.as_ref().map(answer::SendNotice::from))
}

async fn batch_send_notices(State(http): State<Http>, mut request: Request) -> Response {
    let call = http.begin(Rpc::BatchSendNotices, &mut request);
    let result = call.run(async {
        let body = http.body(request).await?;
        batch::send(&http.context, &call, request::batch(&body)?, body.len()).await
    });
    answer::json(result.await.as_deref().map(answer::BatchSendNotices::from))
}

async fn list_notices(
    State(http): State<Http>,
    user_id: Result<Path<String>, PathRejection>,
    uri: Uri,
    mut request: Request,
) -> Response {
    let call = http.begin(Rpc::ListNotices, &mut request);
    let result = call.run(async {
        let request = query::list_notices(user_id.ok().map(|Path(id)| id), &uri)?;
        list::list_notices(&http.context, &call, request).await
    });
    match result.await.as_ref().map(answer::ListNotices::try_from) {
        Ok(Ok(page)) => answer::json(Ok(page)),
        Ok(Err(error)) => {
            tracing::error!(%error, "a notice in the inbox is not JSON");
            answer::error(&Error::Internal)
        }
        Err(error) => answer::error(error),
    }
}

/// `/v1/users/{id}/notices/{noticeId}:explain`. The router knows no suffixes; a notice's id has no
/// colon.
async fn explain_notice(
    State(http): State<Http>,
    path: Result<Path<(String, String)>, PathRejection>,
    uri: Uri,
    mut request: Request,
) -> Response {
    const ACTION: &str = ":explain";
    if !uri.path().ends_with(ACTION) {
        return answer::error(&Error::NoPath);
    }
    let path = path.ok().and_then(|Path((user_id, action))| {
        let notice_id = action.strip_suffix(ACTION)?.to_owned();
        Some((user_id, notice_id))
    });
    let call = http.begin(Rpc::ExplainNotice, &mut request);
    let result = call.run(async {
        let request = query::explain_notice(path, &uri)?;
        explain::explain_notice(&http.context, &call, request).await
    });
    answer::json(result.await.as_ref().map(answer::ExplainNotice::from))
}

async fn batch_get_presence(State(http): State<Http>, mut request: Request) -> Response {
    let call = http.begin(Rpc::BatchGetPresence, &mut request);
    let result = call.run(async {
        let request = request::presence(&http.body(request).await?)?;
        presence::batch_get_presence(&http.context, &call, request).await
    });
    answer::json(result.await.as_ref().map(answer::BatchGetPresence::from))
}

/// `/v1/users/{id}:disconnect` and `/v1/users/{id}:purge`. The router knows no suffixes, and a colon
/// inside an id comes encoded or stands further left.
async fn end_user(
    State(http): State<Http>,
    user_action: Result<Path<String>, PathRejection>,
    mut request: Request,
) -> Response {
    let path = request.uri().path();
    let (disconnect, purge) = (path.ends_with(":disconnect"), path.ends_with(":purge"));
    let user_id = user_action
        .ok()
        .and_then(|Path(text)| text.rsplit_once(':').map(|(user_id, _)| user_id.to_owned()));
    if disconnect {
        let call = http.begin(Rpc::DisconnectUser, &mut request);
        let result = call.run(async {
            let request = request::disconnect(user_id, &http.body(request).await?)?;
            ending::disconnect_user(&http.context, &call, request).await
        });
        answer::json(result.await.as_ref().map(answer::Ended::from))
    } else if purge {
        let call = http.begin(Rpc::PurgeUser, &mut request);
        let result = call.run(async {
            let request = request::purge(user_id, &http.body(request).await?)?;
            ending::purge_user(&http.context, &call, request).await
        });
        answer::json(result.await.as_ref().map(answer::Ended::from))
    } else {
        answer::error(&Error::NoPath)
    }
}

async fn broadcast(State(http): State<Http>, mut request: Request) -> Response {
    let call = http.begin(Rpc::Broadcast, &mut request);
    let result = call.run(async {
        let request = request::broadcast(&http.body(request).await?)?;
        send::broadcast(&http.context, &call, request).await
    });
    answer::json(result.await.as_ref().map(answer::Broadcast::from))
}

async fn openapi() -> Response {
    let mut response = Response::new(OPENAPI.into());
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
