//! What tests look at from outside besides presence: inboxes, figures, keys and memory.

use std::{
    collections::BTreeSet,
    fs,
    panic::Location,
    pin::pin,
    task::{Context, Poll, Waker},
};

use herald_e2e::{Gateway, Notifier, RedisServer, Service};
use herald_loadgen::{Event, Gap, Notice, Session};
use herald_proto::api::{self, ListNoticesRequest};
use tokio::time::timeout;

use crate::support::{PATIENCE, api};

/// The payloads that a user's inbox keeps, oldest first; at most 100.
pub(crate) async fn inbox(notifier: &Notifier, user: &str) -> anyhow::Result<Vec<String>> {
    let request = ListNoticesRequest { user_id: user.to_owned(), ..Default::default() };
    let answer = api(notifier).list_notices(request).await?;
    let text = |notice: api::Notice| String::from_utf8_lossy(&notice.json).into_owned();
    Ok(answer.into_inner().notices.into_iter().map(text).collect())
}

/// The sum of a figure over all its labels that contain `label`; 0 if there is none.
pub(crate) async fn figure<Kind>(
    service: &Service<Kind>,
    name: &str,
    label: &str,
) -> anyhow::Result<f64> {
    let (_, text) = service.admin("/metrics").await?;
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, labels) = series.split_once('{').unwrap_or((series, ""));
        if found == name && labels.contains(label) { value.parse::<f64>().ok() } else { None }
    });
    Ok(values.sum())
}

/// The names of all keys that match.
pub(crate) async fn keys(redis: &RedisServer, pattern: &str) -> anyhow::Result<BTreeSet<String>> {
    let names = redis.cli(&["--scan", "--pattern", pattern]).await?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// The ids of all leases that Redis knows of.
pub(crate) async fn leases(redis: &RedisServer, prefix: &str) -> anyhow::Result<BTreeSet<String>> {
    let ids = redis.cli(&["hkeys", &format!("{prefix}:v1:leases")]).await?;
    Ok(ids.lines().map(str::to_owned).collect())
}

/// The memory that a gateway has in use, in bytes.
pub(crate) fn resident(gateway: &mut Gateway) -> u64 {
    resident_of(gateway.process().unwrap().pid())
}

/// The memory that a process has in use, in bytes.
pub(crate) fn resident_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Asserts that the session has not ended, and that nothing was emitted to it.
#[track_caller]
pub(crate) fn assert_idle(session: &mut Session) {
    // One look at the queue, without waiting.
    let next = pin!(session.next());
    let mut context = Context::from_waker(Waker::noop());
    if let Poll::Ready(event) = next.poll(&mut context) {
        panic!("an event: {event:?}");
    }
}

/// The next notice, which must have this payload.
#[track_caller]
pub(crate) fn expect_notice<'a>(
    session: &'a mut Session,
    payload: &'a str,
) -> impl Future<Output = Notice> + 'a {
    let caller = Location::caller();
    async move {
        let notice = session.notice(PATIENCE).await;
        let notice = notice.unwrap_or_else(|end| panic!("no {payload}: {end} (at {caller})"));
        assert_eq!(&*notice.payload, payload, "(at {caller})");
        notice
    }
}

/// The next gap; a notice before it is a failure.
pub(crate) async fn expect_gap(session: &mut Session) -> Gap {
    loop {
        match timeout(PATIENCE, session.next()).await.expect("a gap in time") {
            Some(Event::Gap(gap)) => return gap,
            Some(Event::Ready(_)) => {}
            other => panic!("no gap but {other:?}"),
        }
    }
}
