//! What makes a notice dearer.

use std::fmt::{self, Write as _};

use super::{Bench, cell, cpu_per_10k, heading};
use crate::{
    record::Load,
    systems::{Kind, System},
};

const COMPILED_OUT: &str = "telemetry compiled out";

/// Something, and that which it is compared with.
pub(super) struct Comparison {
    pub(super) what: String,
    pub(super) with: String,
    pub(super) this: (System, Load),
    pub(super) that: (System, Load),
}

impl Bench {
    pub(super) fn costs(&self, text: &mut String) -> fmt::Result {
        let comparisons = self.comparisons();
        if comparisons.is_empty() {
            return Ok(());
        }
        heading(
            text,
            "What makes a notice dearer",
            "Processor seconds of the servers for 10,000 notices, saturated, and the ratio within each round.",
            &["", "CPU s per 10,000", "compared with", "CPU s per 10,000", "ratio"],
        )?;
        for Comparison { what, with, this, that } in comparisons {
            writeln!(
                text,
                "| {what} | {} | {with} | {} | {} |",
                cell(self.median(this, cpu_per_10k)),
                cell(self.median(that, cpu_per_10k)),
                cell(self.ratio(this, that, cpu_per_10k)),
            )?;
        }
        writeln!(text)
    }

    /// All that were measured.
    pub(super) fn comparisons(&self) -> Vec<Comparison> {
        let mut all = Vec::new();
        let mut compare = |what: String, with: &str, this, that| {
            let there = |(system, load)| !self.outcomes(system, load).is_empty();
            if there(this) && there(that) {
                all.push(Comparison { what, with: with.to_owned(), this, that });
            }
        };
        for system in self.systems() {
            for load in self.loads() {
                let this = (system, load);
                let herald = System { kind: Kind::Herald, ..system };
                let bare = System { kind: Kind::Bare, ..system };
                match load {
                    Load::Crowd(sessions) => {
                        let few =
                            self.loads().into_iter().find(|load| matches!(load, Load::Crowd(_)));
                        let Some(few @ Load::Crowd(number)) = few else { continue };
                        if few != load {
                            let what =
                                format!("{sessions} sessions that all get notices ({system})");
                            compare(what, &format!("{number} sessions"), this, (system, few));
                        }
                    }
                    Load::FullInboxes(users) => {
                        let what = format!("full inboxes of {users} users ({system})");
                        compare(what, "empty at first", this, (system, Load::EmptyInboxes(users)));
                    }
                    Load::Acked(calls) => {
                        let what = format!("waiting for ACKED_ANY ({system})");
                        compare(what, "ACCEPTED", this, (system, Load::Saturated(calls)));
                    }
                    Load::Volatile(calls) => {
                        let what = format!("volatile ({system})");
                        compare(what, "durable", this, (system, Load::Saturated(calls)));
                    }
                    Load::Saturated(_) if system.kind == Kind::Traced => {
                        compare("traces of all notices".to_owned(), "none", this, (herald, load));
                    }
                    Load::Saturated(_) if system.kind == Kind::Sampled => {
                        let what = "traces of one notice in a hundred";
                        compare(what.to_owned(), "none", this, (herald, load));
                        compare(what.to_owned(), COMPILED_OUT, this, (bare, load));
                    }
                    Load::Saturated(_) if system.kind == Kind::Herald => {
                        compare("no traces".to_owned(), COMPILED_OUT, this, (bare, load));
                    }
                    _ => {}
                }
            }
        }
        all
    }
}
