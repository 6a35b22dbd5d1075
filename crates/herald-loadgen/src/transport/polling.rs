//! Engine.IO over HTTP long-polling.

use std::{collections::VecDeque, fmt};

use ::http::{Method, Response, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    error::{CloseReason, ConnectError},
    http::{HttpClient, HttpError, retry_after},
    options::SessionOptions,
    packet::Handshake,
};

type Poll = BoxFuture<'static, (HttpClient, Result<Response<Bytes>, HttpError>)>;

/// Two connections, as browsers use them: one waits for packets, the other sends.
pub(crate) struct Polling {
    target: String,
    sender: HttpClient,
    // Exactly one of the two is there: the idle client, or the poll that it is busy with.
    idle: Option<HttpClient>,
    poll: Option<Poll>,
    received: VecDeque<String>,
}

impl fmt::Debug for Polling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polling").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Polling {
    pub(crate) async fn open(options: &SessionOptions) -> Result<(Self, Handshake), ConnectError> {
        let client =
            || HttpClient::dialling(super::dial(options), options.host(), options.headers.clone());
        let mut receiver = client();
        let answer = receiver
            .get(&options.target("polling", None))
            .await
            .map_err(|e| ConnectError::Transport(e.to_string()))?;
        let body = String::from_utf8_lossy(answer.body()).into_owned();
        if answer.status() != StatusCode::OK {
            return Err(ConnectError::Refused {
                status: answer.status(),
                retry_after: retry_after(answer.headers()),
                body,
            });
        }
        let mut received = super::split(&body);
        let handshake = Handshake::parse(&received.pop_front().unwrap_or_default())?;
        let polling = Self {
            target: options.target("polling", Some(&handshake.sid)),
            sender: client(),
            idle: Some(receiver),
            poll: None,
            received,
        };
        Ok((polling, handshake))
    }

    pub(crate) async fn receive(&mut self) -> Result<String, CloseReason> {
        loop {
            if let Some(packet) = self.received.pop_front() {
                return Ok(packet);
            }
            if let Some(mut client) = self.idle.take() {
                let target = self.target.clone();
                self.poll = Some(Box::pin(async move {
                    let answer = client.get(&target).await;
                    (client, answer)
                }));
            }
            // Kept in its place while it waits: whoever drops this call loses nothing.
            let Some(poll) = &mut self.poll else {
                return Err(CloseReason::Transport("the session is over".to_owned()));
            };
            let (client, answer) = poll.await;
            self.poll = None;
            let answer = answer?;
            let body = text(&answer);
            if answer.status() != StatusCode::OK {
                return Err(CloseReason::Http { status: answer.status(), body });
            }
            self.idle = Some(client);
            self.received = super::split(&body);
        }
    }

    pub(crate) async fn send(&mut self, packet: String) -> Result<(), CloseReason> {
        let headers = [("content-type", "text/plain;charset=UTF-8")];
        let answer =
            self.sender.request(Method::POST, &self.target, &headers, packet.into()).await?;
        if answer.status() != StatusCode::OK {
            return Err(CloseReason::Http { status: answer.status(), body: text(&answer) });
        }
        Ok(())
    }
}

fn text(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}
