//! Who is seen, compared with who is there.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use herald_proto::api::{BatchGetPresenceRequest, notice_service_client::NoticeServiceClient};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::clients::Seat;

/// Users asked about in one call.
const BATCH: usize = 500;

/// How often presence is watched, and how long one look may take.
const EVERY: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_secs(3);

/// All sessions of these users: whose they are, by id.
pub(crate) async fn seen(
    client: &mut NoticeServiceClient<Channel>,
    users: &[String],
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut seen = BTreeMap::new();
    for users in users.chunks(BATCH) {
        let request = BatchGetPresenceRequest { user_ids: users.to_vec() };
        let answer = client.batch_get_presence(request).await?.into_inner();
        for user in answer.users {
            for session in user.sessions {
                let whose = format!("{} on {}", user.user_id, session.gateway);
                seen.insert(session.session_id, whose);
            }
        }
    }
    Ok(seen)
}

/// Sessions that are seen and are nobody's, and clients that are not seen.
pub(crate) fn strange(mut seen: BTreeMap<String, String>, seats: &[Seat]) -> Vec<String> {
    let mut strange = Vec::new();
    for seat in seats {
        let client = format!("{} of {}", seat.name, seat.user);
        match &seat.now.lock().unwrap().session {
            Some(session) if seen.remove(session).is_some() => {}
            Some(session) => strange.push(format!("{client} is connected as {session} and unseen")),
            None => strange.push(format!("{client} is not connected")),
        }
    }
    let ghosts = seen.into_iter().map(|(session, whose)| format!("ghost {session} of {whose}"));
    strange.extend(ghosts);
    strange
}

/// Watches until it is over, whichever notifier answers: the longest time that a session was seen
/// for which there was no client. A look that nobody answers ends none.
pub(crate) async fn watch(
    clients: Vec<NoticeServiceClient<Channel>>,
    users: Vec<String>,
    seats: Vec<Seat>,
    over: CancellationToken,
) -> Duration {
    let (mut ghosts, mut longest) = (HashMap::<String, Instant>::new(), Duration::ZERO);
    let mut looks = interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for mut client in clients.into_iter().cycle() {
        if over.run_until_cancelled(looks.tick()).await.is_none() {
            break;
        }
        let asked = Instant::now();
        let Ok(Ok(mut seen)) = timeout(LOOK, seen(&mut client, &users)).await else { continue };
        for seat in &seats {
            if let Some(session) = &seat.now.lock().unwrap().session {
                seen.remove(session);
            }
        }
        ghosts.retain(|session, _| seen.contains_key(session));
        for session in seen.into_keys() {
            let since = *ghosts.entry(session).or_insert(asked);
            longest = longest.max(asked - since);
        }
    }
    longest
}

#[test]
fn a_ghost_and_a_client_that_is_not_seen_are_found() {
    let seen = |sessions: &[&str]| {
        sessions.iter().map(|session| ((*session).to_owned(), "alice".to_owned())).collect()
    };
    let [phone, laptop, tablet] = [("phone", Some("s1")), ("laptop", Some("s2")), ("tablet", None)]
        .map(|(name, session)| {
            let seat = Seat::new("alice", name);
            seat.now.lock().unwrap().session = session.map(str::to_owned);
            seat
        });
    assert!(strange(seen(&["s2", "s1"]), &[phone.clone(), laptop.clone()]).is_empty());
    assert_eq!(
        strange(seen(&["s0", "s1"]), &[phone, laptop, tablet]),
        [
            "laptop of alice is connected as s2 and unseen",
            "tablet of alice is not connected",
            "ghost s0 of alice",
        ]
    );
}
