//! Asking gateways where a user's sessions stand.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use herald_backplane::{BackplaneError, Places, ReceiptsWanted, Target};
use herald_core::{GatewayId, UserId};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

use super::Hub;

/// Answers that one question takes: more gateways than any user has sessions on.
const ANSWERS: usize = 1_000;

/// The questions that wait for answers.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<HashMap<u64, mpsc::Sender<Places>>>);

impl Questions {
    /// An answer has come; whether anybody still waits for it.
    pub(super) fn answer(&self, token: u64, places: Places) -> bool {
        let asked = self.lock().get(&token).cloned();
        asked.is_some_and(|asked| asked.try_send(places).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<Places>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that is there for answers to find, until this is dropped.
struct Question<'h> {
    questions: &'h Questions,
    token: u64,
    answers: mpsc::Receiver<Places>,
}

impl<'h> Question<'h> {
    fn new(questions: &'h Questions) -> Self {
        let (sender, answers) = mpsc::channel(ANSWERS);
        let token = rand::random();
        questions.lock().insert(token, sender);
        Self { questions, token, answers }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.questions.lock().remove(&self.token);
    }
}

/// What came of a question.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The sessions that are registered, and whether the gateway of each was listening.
    pub(crate) targets: Vec<Target>,
    /// What gateways answered.
    pub(crate) answers: Vec<Places>,
}

impl Hub {
    /// Asks all gateways that own a session of the user, and waits for their answers until then.
    pub(crate) async fn ask_places(
        &self,
        user: &UserId,
        until: Instant,
    ) -> Result<Asked, BackplaneError> {
        let mut question = Question::new(&self.questions);
        self.channel(until).await;
        let to = ReceiptsWanted { notifier: self.id, token: question.token, acks: false };
        let targets = self.port.ask_places(user, to).await?;
        let heard = targets.iter().filter(|target| target.heard);
        let mut awaited: HashSet<GatewayId> = heard.map(|target| target.session.gateway).collect();
        let mut answers = Vec::new();
        while !awaited.is_empty()
            && let Ok(Some(places)) = timeout_at(until, question.answers.recv()).await
        {
            awaited.remove(&places.gateway);
            answers.push(places);
        }
        Ok(Asked { targets, answers })
    }
}
