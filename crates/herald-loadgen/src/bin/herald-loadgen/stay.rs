//! Clients that are there and come back, for watching what becomes of them.
//!
//! They speak lines of JSON: what they say has a `type`, what they are told a `do`.
//!
//! | told | they |
//! |---|---|
//! | `{"do":"cut"}` | break all their connections at once |
//! | `{"do":"status"}` | say `status` |
//! | the end of the input | take leave |
//!
//! | say | when |
//! |---|---|
//! | `there` `{clients}` | all of them are, at first and after each return |
//! | `status` `{present, stayAway, returns, warned, refused, failed, absenceMs: {p50, p99, max}}` | asked, and at the end |

use std::{
    io::{Write as _, stdout},
    sync::Arc,
    time::Duration,
};

use herald_loadgen::{Checker, Habits, Returning, SessionOptions, Turnout, checker::Start};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

use crate::args::StayArgs;

/// How often it is looked whether all are there.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
enum Told {
    Cut,
    Status,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Said {
    There {
        clients: usize,
    },
    #[serde(rename_all = "camelCase")]
    Status {
        present: usize,
        stay_away: usize,
        returns: usize,
        warned: usize,
        refused: usize,
        failed: usize,
        absence_ms: AbsenceMs,
    },
}

#[derive(Serialize)]
struct AbsenceMs {
    p50: u64,
    p99: u64,
    max: u64,
}

/// Lets clients stay until the input ends. Clean if none was told to stay away.
pub(crate) async fn run(args: &StayArgs) -> anyhow::Result<bool> {
    let habits = Arc::new(Habits {
        first_pause: args.first_pause,
        longest_pause: args.longest_pause,
        ..Habits::new(args.gateway.iter().copied())
    });
    // Who sends to these users is somebody else's affair: nothing is judged here.
    let (checker, turnout) = (Checker::new(), Arc::new(Turnout::default()));
    let clients: Vec<_> = (0..args.users)
        .map(|number| {
            let user = format!("{}{number}", args.user_prefix);
            let mut options = SessionOptions::new(args.gateway[0], &user);
            options.path.clone_from(&args.path);
            options.namespace.clone_from(&args.namespace);
            let source = number as usize % args.source.len().max(1);
            options.source_ip = args.source.get(source).copied();
            let reader = Arc::new(checker.reader(&user, "stays", Start::Now));
            Returning::start(options, Arc::clone(&habits), reader, Arc::clone(&turnout), |_| {})
        })
        .collect();

    let mut lines = BufReader::new(stdin()).lines();
    let mut look = tokio::time::interval(LOOK);
    let (mut all_there, mut cuts) = (false, 0);
    loop {
        tokio::select! {
            _ = look.tick() => {
                // After a cut some may not have noticed yet, and those who did may be back.
                let returned = turnout.absences().len() >= cuts * clients.len();
                let now = turnout.present() == clients.len() && returned;
                if now && !all_there {
                    say(&Said::There { clients: clients.len() })?;
                }
                all_there = now;
            }
            line = lines.next_line() => match line? {
                None => break,
                Some(line) => match serde_json::from_str(&line)? {
                    Told::Cut => {
                        clients.iter().for_each(Returning::cut);
                        cuts += 1;
                    }
                    Told::Status => say(&status(&turnout))?,
                }
            },
        }
    }
    say(&status(&turnout))?;
    for client in clients {
        client.close().await;
    }
    Ok(turnout.stay_away() == 0)
}

fn status(turnout: &Turnout) -> Said {
    let mut absences = turnout.absences();
    absences.sort_unstable();
    let quantile = |share: f64| {
        let nth = (absences.len().saturating_sub(1) as f64 * share).round() as usize;
        let absence = absences.get(nth).copied().unwrap_or_default();
        u64::try_from(absence.as_millis()).unwrap_or(u64::MAX)
    };
    Said::Status {
        present: turnout.present(),
        stay_away: turnout.stay_away(),
        returns: absences.len(),
        warned: turnout.warned(),
        refused: turnout.refused(),
        failed: turnout.failed(),
        absence_ms: AbsenceMs { p50: quantile(0.5), p99: quantile(0.99), max: quantile(1.0) },
    }
}

fn say(said: &Said) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    serde_json::to_writer(&mut out, said)?;
    writeln!(out)?;
    Ok(out.flush()?)
}
