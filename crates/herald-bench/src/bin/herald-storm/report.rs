//! What is told of a storm.

use std::fmt::{self, Write as _};

use crate::simulation::{Outcome, Storm};

/// Rows of the course at most.
const ROWS: f64 = 20.0;

/// A storm in figures. Times are in seconds.
#[derive(Debug)]
pub(crate) struct Figures {
    /// When half, 99 % and all of the returns were over.
    pub(crate) back: [f64; 3],
    /// How long clients were away, each time: median, 99 % and the longest.
    pub(crate) away: [f64; 3],
    /// Attempts for each return.
    pub(crate) attempts: f64,
    /// The most attempts and refusals within any second, over all gateways.
    pub(crate) busiest: u64,
    /// How often a client lost its connection, of those that did.
    pub(crate) moves: f64,
}

impl Figures {
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let returns = outcome.absences.len().max(1);
        let at = |sorted: &[f64], share: f64| {
            let nth = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
            sorted.get(nth).copied().unwrap_or_default()
        };
        let back: Vec<f64> = outcome.absences.iter().map(|(back, _)| *back).collect();
        let mut away: Vec<f64> = outcome.absences.iter().map(|(_, away)| *away).collect();
        away.sort_by(f64::total_cmp);
        let seconds = back.last().copied().unwrap_or_default() as usize + 1;
        let mut by_second = vec![0_u64; seconds];
        for (at, _) in &outcome.attempts {
            by_second[(*at as usize).min(seconds - 1)] += 1;
        }
        let moved = outcome.moves.iter().filter(|moves| **moves > 0).count().max(1);
        Self {
            back: [0.5, 0.99, 1.0].map(|share| at(&back, share)),
            away: [0.5, 0.99, 1.0].map(|share| at(&away, share)),
            attempts: outcome.attempts.len() as f64 / returns as f64,
            busiest: by_second.into_iter().max().unwrap_or_default(),
            moves: returns as f64 / moved as f64,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let three = |[half, most, all]: [f64; 3]| {
            format!("half {half:.1} s, 99 % {most:.1} s, all {all:.1} s")
        };
        writeln!(f, "back       {}", three(self.back))?;
        writeln!(f, "away       {} (each time)", three(self.away))?;
        writeln!(
            f,
            "attempts   {:.1} for each return, at most {} in a second",
            self.attempts, self.busiest
        )?;
        write!(f, "moves      {:.2} for each client that lost its connection", self.moves)
    }
}

/// How it went, a row for each stretch of time.
pub(crate) fn course(storm: &Storm, outcome: &Outcome) -> String {
    let end = outcome.absences.last().map_or(0.0, |(back, _)| *back);
    let step = (end / ROWS).ceil().max(1.0);
    let rows = (end / step) as usize + 1;
    let mut tried = vec![(0_u64, 0_u64); rows];
    for (at, let_in) in &outcome.attempts {
        let row = &mut tried[((at / step) as usize).min(rows - 1)];
        *(if *let_in { &mut row.0 } else { &mut row.1 }) += 1;
    }
    let mut away = vec![0_i64; rows + 1];
    for (back, absence) in &outcome.absences {
        // Away at a row's end: who had left by then and was back later.
        let from = ((back - absence) / step) as usize;
        away[from.min(rows)] += 1;
        away[((back / step) as usize).min(rows)] -= 1;
    }
    let mut text = String::from("   until   away  let in/s  refused/s\n");
    let mut gone = 0;
    for (row, (let_in, refused)) in tried.into_iter().enumerate() {
        gone += away[row];
        let share = 100.0 * gone as f64 / f64::from(storm.clients);
        writeln!(
            text,
            "{:6.0} s {share:5.1}% {:9.0} {:10.0}",
            step * (row + 1) as f64,
            let_in as f64 / step,
            refused as f64 / step
        )
        .expect("writing to a string never fails");
    }
    text
}
