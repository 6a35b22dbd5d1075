//! What the themes have in common.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use herald_e2e::{Notifier, eventually};
use herald_loadgen::{
    Accepted, Checker, Follower, Outgoing, Sender, Session, SessionOptions, checker::Start,
};
use herald_proto::api::{
    self, BatchGetPresenceRequest, ListNoticesRequest, notice_service_client::NoticeServiceClient,
};
use tonic::transport::{Channel, Endpoint};

/// For what takes milliseconds when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The generated client.
pub(crate) fn api(notifier: &Notifier) -> NoticeServiceClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", notifier.grpc_address())).unwrap();
    NoticeServiceClient::new(endpoint.timeout(PATIENCE).connect_lazy())
}

/// Who of these is connected with which sessions.
pub(crate) async fn presence(notifier: &Notifier, users: &[String]) -> Vec<api::UserPresence> {
    let request = BatchGetPresenceRequest { user_ids: users.to_vec() };
    api(notifier).batch_get_presence(request).await.unwrap().into_inner().users
}

/// The sessions of one user.
pub(crate) async fn sessions_of(notifier: &Notifier, user: &str) -> Vec<api::Session> {
    presence(notifier, &[user.to_owned()]).await.remove(0).sessions
}

/// All that a user's inbox keeps, oldest first.
pub(crate) async fn whole_inbox(notifier: &Notifier, user: &str) -> Vec<api::Notice> {
    inbox_and_floor(notifier, user).await.0
}

/// All that a user's inbox keeps, oldest first, and the cursor of its floor.
pub(crate) async fn inbox_and_floor(notifier: &Notifier, user: &str) -> (Vec<api::Notice>, String) {
    let mut request =
        ListNoticesRequest { user_id: user.to_owned(), page_size: 100, ..Default::default() };
    let mut notices = Vec::new();
    loop {
        let answer = api(notifier).list_notices(request.clone()).await.unwrap().into_inner();
        notices.extend(answer.notices);
        if answer.next_page_token.is_empty() {
            return (notices, answer.floor_cursor);
        }
        request.page_token = answer.next_page_token;
    }
}

/// Waits until presence shows so many sessions of a user.
#[track_caller]
pub(crate) fn sessions_become(
    notifier: &Notifier,
    user: &str,
    count: usize,
    patience: Duration,
) -> impl Future<Output = ()> {
    let what = format!("presence says {count} sessions of {user}");
    let caller = std::panic::Location::caller();
    async move {
        let what = format!("{what} (asked at {caller})");
        eventually(&what, patience, async || {
            let found = sessions_of(notifier, user).await.len();
            if found == count { Ok(()) } else { Err(found) }
        })
        .await;
    }
}

/// Opens a session that the checker follows, and waits for `herald:ready`.
pub(crate) async fn follow(checker: &Checker, options: SessionOptions, start: Start) -> Follower {
    let user = options.token.clone().unwrap();
    let name = options.device.clone().unwrap_or_default();
    let reader = Arc::new(checker.reader(&user, name, start));
    let session = Session::connect(options).await.unwrap();
    Follower::start(session, reader, |_| {}).await.unwrap()
}

/// Sends a notice that has to be accepted, and tells the checker.
pub(crate) async fn send(sender: &Sender, checker: &Checker, notice: &Outgoing) -> Accepted {
    let accepted = sender.send(notice).await.unwrap();
    checker.accepted(&notice.user, &accepted.notice_id, &notice.payload);
    accepted
}

/// Waits until every reader has all that it is owed, and then for the checker to find nothing.
#[track_caller]
pub(crate) fn all_arrives(checker: &Checker, patience: Duration) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let arrived = eventually("all notices arrive", patience, async || {
            match checker.missing() {
                0 => Ok(()),
                // The report says which.
                missing => {
                    Err(format!("{missing} missing: {} (asked at {caller})", checker.report()))
                }
            }
        });
        arrived.await;
        checker.report().assert_clean();
    }
}

/// The value of a figure in `/metrics`, all labels added up; `None` if it is not there.
pub(crate) fn figure(metrics: &str, name: &str) -> Option<f64> {
    let mut values = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .filter(|(series, _)| series.split('{').next() == Some(name))
        .filter_map(|(_, value)| value.parse::<f64>().ok())
        .peekable();
    values.peek()?;
    Some(values.sum())
}

/// Local addresses that nginx' `ip_hash` tells apart: it looks at the first three octets.
pub(crate) fn networks(count: u8) -> Vec<IpAddr> {
    (1..=count).map(|network| IpAddr::from([127, 0, network, 1])).collect()
}

/// How often each item occurs.
pub(crate) fn tally<T: std::hash::Hash + Eq>(
    items: impl IntoIterator<Item = T>,
) -> HashMap<T, usize> {
    let mut counts = HashMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    counts
}

/// The time that this share of the samples does not exceed; zero without samples.
pub(crate) fn quantile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    samples.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
