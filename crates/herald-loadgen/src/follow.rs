//! A task that reads a session for a checker.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    checker::Reader,
    error::CloseReason,
    event::{Event, Notice},
    session::Session,
};

/// How long `herald:ready` may take.
const READY_DEADLINE: Duration = Duration::from_secs(20);

/// A session whose notices go to a checker as they arrive. Dropped, its connection breaks.
#[derive(Debug)]
pub struct Follower {
    task: JoinHandle<CloseReason>,
    leave: CancellationToken,
    session: String,
    reader: Arc<Reader>,
    cursor: Arc<Mutex<String>>,
}

impl Follower {
    /// Begins a session of `reader`'s: waits for `herald:ready`, then reads in a task of its own.
    /// `look` sees each notice before the checker does.
    ///
    /// # Errors
    ///
    /// Why the session ended before it was ready.
    pub async fn start(
        mut session: Session,
        reader: Arc<Reader>,
        mut look: impl FnMut(&Notice) + Send + 'static,
    ) -> Result<Self, CloseReason> {
        let ready = session.ready(READY_DEADLINE).await?;
        reader.begin(&ready.session);
        let cursor = Arc::new(Mutex::new(ready.cursor));
        let leave = CancellationToken::new();
        let task = {
            let (cursor, leave) = (Arc::clone(&cursor), leave.clone());
            let reader = Arc::clone(&reader);
            tokio::spawn(async move {
                loop {
                    let event = tokio::select! {
                        event = session.next() => event,
                        () = leave.cancelled() => {
                            session.close().await;
                            return CloseReason::Local;
                        }
                    };
                    match event {
                        Some(Event::Notice(notice)) => {
                            look(&notice);
                            reader.received(&notice);
                            cursor
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .clone_from(&notice.cursor);
                        }
                        Some(Event::Gap(gap)) => reader.gap(gap),
                        Some(Event::Ready(_) | Event::Other { .. }) => {}
                        Some(Event::Closed(reason)) => return reason,
                        None => return CloseReason::Local,
                    }
                }
            })
        };
        Ok(Self { task, leave, session: ready.session, reader, cursor })
    }

    /// The session's id.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// Whose session it is.
    pub fn reader(&self) -> &Arc<Reader> {
        &self.reader
    }

    /// The place to come back to: that of the last notice, or of `herald:ready`.
    pub fn cursor(&self) -> String {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the session has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Closes the session as an official client does, unless it has ended: why it did.
    pub async fn close(mut self) -> CloseReason {
        self.leave.cancel();
        self.join().await
    }

    /// Waits until the session ends by itself: why it did.
    pub async fn ended(mut self) -> CloseReason {
        self.join().await
    }

    async fn join(&mut self) -> CloseReason {
        match (&mut self.task).await {
            Ok(reason) => reason,
            // The task was not aborted: its handle is here.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}
