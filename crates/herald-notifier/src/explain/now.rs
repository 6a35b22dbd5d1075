//! Where a user's sessions stand now.

use std::{collections::HashMap, time::Duration};

use herald_backplane::{BackplaneError, SessionPlace, Standing};
use herald_core::{SessionId, SessionRecord, UserId};
use tokio::time::Instant;

use crate::call::Context;

/// How long gateways have to answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// A session that is registered, or was a moment ago.
#[derive(Debug, Clone)]
pub(super) struct Now {
    pub(super) session: SessionRecord,
    pub(super) presence: Presence,
}

/// What is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Its gateway told where it stands.
    Stands(SessionPlace),
    /// Its gateway did not answer in time.
    Silent {
        /// It is subscribed to its channel.
        listens: bool,
        /// Its lease is good.
        leased: bool,
    },
    /// It has ended meanwhile.
    Left,
}

/// Asks the gateways, and the registry about those that do not answer by `end`.
pub(super) async fn look(
    context: &Context,
    user: &UserId,
    end: Instant,
) -> Result<HashMap<SessionId, Now>, BackplaneError> {
    let until = end.min(Instant::now() + PATIENCE);
    let asked = context.hub.ask_places(user, until).await?;
    let stands: HashMap<SessionId, SessionPlace> = asked
        .answers
        .iter()
        .flat_map(|places| &places.sessions)
        .map(|place| (place.session, *place))
        .collect();
    let answered = |session: &SessionRecord| {
        asked.answers.iter().any(|places| places.gateway == session.gateway)
    };
    let silent: Vec<_> = asked
        .targets
        .iter()
        .filter(|target| !answered(&target.session))
        .map(|target| (target.session.id, target.session.gateway))
        .collect();
    let mut of_silent = HashMap::new();
    if !silent.is_empty() {
        let users = std::slice::from_ref(user);
        let (present, standing) =
            tokio::try_join!(context.port.presence(users), context.port.standing(user, &silent))?;
        let leased = |id| present.iter().flat_map(|of| &of.sessions).any(|of| of.id == id);
        for ((id, _), standing) in silent.into_iter().zip(standing) {
            of_silent.insert(id, (standing == Standing::Registered, leased(id)));
        }
    }
    let now = |(session, listens): (SessionRecord, bool)| {
        let presence = match (stands.get(&session.id), of_silent.get(&session.id)) {
            (Some(place), _) => Presence::Stands(*place),
            (None, Some((true, leased))) => Presence::Silent { listens, leased: *leased },
            (None, _) => Presence::Left,
        };
        (session.id, Now { session, presence })
    };
    Ok(asked.targets.into_iter().map(|target| now((target.session, target.heard))).collect())
}
