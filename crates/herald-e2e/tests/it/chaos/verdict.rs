//! What must hold once the faults are over and everything has come to rest.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    fs,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use herald_e2e::{Notifier, Service, within};
use herald_loadgen::Checker;
use herald_proto::api::ListNoticesRequest;
use http::StatusCode;
use tokio::{task::JoinSet, time::sleep_until};

use super::{
    Crowd,
    clients::{Figures, Seat},
    journal::Journal,
    plan::Plan,
    presence,
    stage::Stage,
};
use crate::support::{api, inbox_and_floor, quantile};

/// For what heals by itself: leases, audits, pings and sweeps together take less. How long it took
/// is printed and decides nothing.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest that a script whose caller is gone may wait for its turn: the deadline of a call of
/// the backplane, and a margin.
const STRAYS: Duration = Duration::from_secs(3);

/// What the end was like.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    /// From the end of the plan until nobody missed anything, and until presence was right.
    pub(crate) complete: Duration,
    pub(crate) present: Duration,
    pub(crate) wrong: Vec<String>,
}

impl Rest {
    fn judge<T>(&mut self, what: &str, result: anyhow::Result<T>) -> Option<T> {
        result.map_err(|error| self.wrong.push(format!("{what}: {error:#}"))).ok()
    }
}

/// Waits until all has come to rest, and looks.
pub(crate) async fn rest(
    stage: &mut Stage,
    crowd: &mut Crowd,
    checker: &Checker,
    journal: &Journal,
) -> Rest {
    let begin = Instant::now();
    let mut rest = Rest::default();
    // Without another notice: what was missed last is missed until somebody looks.
    let complete = all_arrives(checker).await;
    rest.complete = begin.elapsed();
    journal.common(format!("complete: {complete:?}"));
    rest.judge("notices are missing", complete);
    let mut looks = api(&stage.sandbox.notifiers[0]);
    let present = within("presence is right", PATIENCE, async || {
        let seen = presence::seen(&mut looks, &crowd.users).await?;
        match presence::strange(seen, &crowd.seats) {
            strange if strange.is_empty() => Ok(()),
            strange => bail!("{}", strange.join("; ")),
        }
    });
    let present = present.await;
    rest.present = begin.elapsed();
    journal.common(format!("present: {present:?}"));
    rest.judge("presence is wrong", present);

    // What was under way when its caller gave up is there by now, or never will be.
    sleep_until((begin + STRAYS).into()).await;
    for user in &crowd.users {
        let (kept, floor) = inbox_and_floor(&stage.sandbox.notifiers[0], user).await;
        let text = |json: &[u8]| String::from_utf8_lossy(json).into_owned();
        let kept: Vec<_> = kept.into_iter().map(|kept| (kept.id, text(&kept.json))).collect();
        checker.kept(user, &kept, &floor);
    }
    rest.judge("what was unknown and is kept is missing", all_arrives(checker).await);

    let mut last = JoinSet::new();
    for mut backend in std::mem::take(&mut crowd.backends) {
        last.spawn(async move { backend.send_last().await });
    }
    last.join_all().await;
    let at_tip = within("all are at their inbox's tip", PATIENCE, async || {
        at_their_tip(&stage.sandbox.notifiers[1], crowd).await
    });
    rest.judge("somebody is not at the tip", at_tip.await);
    rest.judge("the last notices are missing", all_arrives(checker).await);

    let connected = crowd.seats.iter().filter_map(|seat| seat.now.lock().unwrap().session.clone());
    for session in crowd.receipts.not_gone(connected) {
        rest.wrong.push(format!("{session} was said to be gone, and is not"));
    }

    for gateway in &mut stage.sandbox.gateways {
        rest.judge("a gateway is not well", is_well(gateway).await);
    }
    for notifier in &mut stage.sandbox.notifiers {
        rest.judge("a notifier is not well", is_well(notifier).await);
    }
    rest.judge("somebody panicked", nobody_panicked(stage));
    rest
}

async fn all_arrives(checker: &Checker) -> anyhow::Result<()> {
    within("all notices arrive", PATIENCE, async || match checker.missing() {
        0 => Ok(()),
        missing => Err(format!("{missing} are missing")),
    })
    .await
}

/// Whether all clients' cursors are those of their inboxes' ends.
async fn at_their_tip(notifier: &Notifier, crowd: &Crowd) -> anyhow::Result<()> {
    let mut tips = BTreeMap::new();
    for Seat { user, name, now } in &crowd.seats {
        if !tips.contains_key(user) {
            let request =
                ListNoticesRequest { user_id: user.clone(), page_size: 1, ..Default::default() };
            let answer = api(notifier).list_notices(request).await?.into_inner();
            tips.insert(user, answer.tip_cursor);
        }
        let (cursor, tip) = (now.lock().unwrap().cursor.clone(), tips.get(user));
        ensure!(cursor.as_ref() == tip, "{name} of {user} is at {cursor:?} and not at {tip:?}");
    }
    Ok(())
}

async fn is_well<Kind>(service: &mut Service<Kind>) -> anyhow::Result<()> {
    if let Some(status) = service.process()?.ended()? {
        bail!("it has ended with {status}");
    }
    let (status, body) = service.admin("/ready").await?;
    ensure!(status == StatusCode::OK, "/ready says {status}: {body}");
    Ok(())
}

fn nobody_panicked(stage: &Stage) -> anyhow::Result<()> {
    for entry in fs::read_dir(stage.sandbox.directory())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let text = fs::read(&path)?;
            let text = String::from_utf8_lossy(&text);
            let panicked = text.lines().find(|line| line.contains("panicked at"));
            ensure!(panicked.is_none(), "{}: {panicked:?}", path.display());
        }
    }
    Ok(())
}

/// A run in figures.
pub(crate) fn summary(
    plan: &Plan,
    crowd: &Crowd,
    figures: Vec<Figures>,
    rest: &Rest,
    ghosts: Duration,
    checker: &Checker,
) -> impl Display {
    let mut all = Figures::default();
    for one in figures {
        all.returns += one.returns;
        all.failed += one.failed;
        all.gaps += one.gaps;
        all.delays.extend(one.delays);
        all.replays.extend(one.replays);
        all.absences.extend(one.absences);
    }
    let mut kinds = BTreeMap::<_, usize>::new();
    for fault in &plan.faults {
        *kinds.entry(fault.what.to_string()).or_default() += 1;
    }
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let mut text = String::new();
    let mut line = |name: &str, value: String| _ = writeln!(text, "{name:11}{value}");
    line("faults", kinds.join(", "));
    line("notices", crowd.fates.to_string());
    line("receipts", crowd.receipts.to_string());
    line("checked", checker.report().to_string());
    line(
        "clients",
        format!(
            "{} returns ({} tries failed), {} gaps; without a session p50 {:.1?}, p99 {:.1?}, max \
             {:.1?}",
            all.returns,
            all.failed,
            all.gaps,
            quantile(&mut all.absences, 0.5),
            quantile(&mut all.absences, 0.99),
            quantile(&mut all.absences, 1.0),
        ),
    );
    line(
        "arrival",
        format!(
            "p50 {:.1?}, p99 {:.1?}, max {:.1?} after its first try; replay of {} returns p50 {:.1?}, \
             p99 {:.1?}",
            quantile(&mut all.delays, 0.5),
            quantile(&mut all.delays, 0.99),
            quantile(&mut all.delays, 1.0),
            all.replays.len(),
            quantile(&mut all.replays, 0.5),
            quantile(&mut all.replays, 0.99),
        ),
    );
    line(
        "made good",
        format!(
            "nothing missing {:.1?} after the plan's end, presence right after {:.1?}; no session was \
             seen for longer than {ghosts:.1?} after its client had gone",
            rest.complete, rest.present
        ),
    );
    text
}
