//! Sending over gRPC.

use std::{error::Error as _, net::SocketAddr, time::Duration};

use bytes::Bytes;
use herald_proto::api::{
    BatchSendNoticesItem, BatchSendNoticesRequest, SendNoticeRequest, SendNoticeResponse,
    SessionOutcome, batch_send_notices_result, notice_service_client::NoticeServiceClient,
    send_notice_request,
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Accepted, Outgoing, Receipt, SendError, WaitFor};

/// A producer over gRPC, on one HTTP/2 connection.
#[derive(Debug, Clone)]
pub struct GrpcSender {
    client: NoticeServiceClient<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
    deadline: Duration,
}

impl GrpcSender {
    /// A producer, connected when first used and again when the connection broke.
    pub fn new(address: SocketAddr, deadline: Duration) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .expect("an address makes a valid URI")
            .connect_timeout(deadline)
            .tcp_nodelay(true);
        Self::over(NoticeServiceClient::new(endpoint.connect_lazy()), None, deadline)
    }

    /// A producer over a client that somebody else has made, with what it shows in `authorization`.
    pub fn over(
        client: NoticeServiceClient<Channel>,
        authorization: Option<MetadataValue<Ascii>>,
        deadline: Duration,
    ) -> Self {
        let client = client.max_decoding_message_size(64 << 20);
        Self { client, authorization, deadline }
    }

    /// The generated client, for all that the producers here have no words for.
    pub fn client(&self) -> NoticeServiceClient<Channel> {
        self.client.clone()
    }

    pub(super) async fn send(&self, notice: &Outgoing) -> Result<Accepted, SendError> {
        let answer = self.client.clone().send_notice(self.request(request(notice))).await;
        answer.map(|answer| accepted(answer.into_inner())).map_err(SendError::from)
    }

    pub(super) async fn send_batch(
        &self,
        notices: &[Outgoing],
    ) -> Result<Vec<Result<Accepted, SendError>>, SendError> {
        let items = notices
            .iter()
            .map(|notice| BatchSendNoticesItem {
                notice: Some(request(notice)),
                ..BatchSendNoticesItem::default()
            })
            .collect();
        let batch = self.request(BatchSendNoticesRequest { items });
        let answer =
            self.client.clone().batch_send_notices(batch).await.map_err(SendError::from)?;
        let results = answer.into_inner().results.into_iter();
        Ok(results
            .map(|result| match result.result {
                Some(batch_send_notices_result::Result::Response(answer)) => Ok(accepted(answer)),
                Some(batch_send_notices_result::Result::Error(status)) => {
                    Err(SendError::local(Code::from(status.code), status.message))
                }
                None => Err(SendError::local(Code::Unknown, "a result that is neither")),
            })
            .collect())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        request
    }
}

fn request(notice: &Outgoing) -> SendNoticeRequest {
    SendNoticeRequest {
        user_id: notice.user.clone(),
        event: notice.event.clone(),
        payload: Some(send_notice_request::Payload::Json(Bytes::from(notice.payload.clone()))),
        volatile: notice.volatile,
        ttl: notice.ttl.map(duration),
        idempotency_key: notice.idempotency_key.clone(),
        wait_for: notice.wait.map_or(WaitFor::Unspecified, |(what, _)| what).into(),
        wait_timeout: notice.wait.map(|(_, time)| duration(time)),
    }
}

fn duration(time: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.subsec_nanos()).unwrap_or(0),
    }
}

fn accepted(answer: SendNoticeResponse) -> Accepted {
    let outcome = answer.outcome().as_str_name();
    let receipt = |session: SessionOutcome| {
        let state = session.state().as_str_name();
        Receipt::new(session.session_id, state)
    };
    Accepted {
        outcome: outcome.strip_prefix("OUTCOME_").unwrap_or(outcome).to_owned(),
        duplicate: answer.duplicate,
        wait_satisfied: answer.wait_satisfied,
        sessions: answer.sessions.into_iter().map(receipt).collect(),
        notice_id: answer.notice_id,
    }
}

impl From<Status> for SendError {
    fn from(status: Status) -> Self {
        let details: ErrorDetails = status.get_error_details();
        let fields = details.bad_request().map_or_else(Vec::new, |bad| {
            bad.field_violations
                .iter()
                .map(|fault| (fault.field.clone(), fault.description.clone()))
                .collect()
        });
        // A connection that broke in the midst of a call is INTERNAL to HTTP/2. No server says so.
        let broke = status.code() == Code::Internal && status.source().is_some();
        Self {
            code: if broke { Code::Unavailable } else { status.code() },
            status: None,
            message: status.message().to_owned(),
            fields,
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_named_without_its_prefix() {
        let answer = SendNoticeResponse {
            outcome: herald_proto::api::Outcome::Offline.into(),
            ..SendNoticeResponse::default()
        };
        assert_eq!(accepted(answer).outcome, "OFFLINE");
    }
}
