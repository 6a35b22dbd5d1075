//! What went wrong.

use std::fmt::{self, Write as _};

use super::Bench;
use crate::record::What;

impl Bench {
    pub(super) fn failures(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "## What went wrong\n")?;
        let before = text.len();
        for record in &self.records {
            let (system, round) = (record.system, record.round + 1);
            match &record.what {
                What::Load { load, result, .. } if result.missing != 0 || result.failed > 0 => {
                    writeln!(
                        text,
                        "- {system}, round {round}, {load:?}: {} missing and {} failed of {}{}",
                        result.missing,
                        result.failed,
                        result.accepted + result.failed,
                        result.failure.as_ref().map_or_else(String::new, |why| format!(" ({why})"))
                    )?;
                }
                What::Failure(why) => {
                    let line = why.lines().next().unwrap_or_default();
                    writeln!(text, "- {system}, round {round}: not measured: {line}")?;
                }
                _ => {}
            }
        }
        if text.len() == before {
            writeln!(text, "Nothing: all that was accepted arrived, and nothing was refused.")?;
        }
        writeln!(text)
    }
}
