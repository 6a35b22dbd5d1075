//! The counts that the repository keeps, as lines of text.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, bail};

/// Instructions of one operation, by crate and case.
pub(crate) type Counts = BTreeMap<String, u64>;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// How much more than kept is too much, in per cent.
    pub(crate) tolerance: u64,
    /// Processor, compiler and valgrind, as the benches' module tells them.
    pub(crate) made_with: String,
    counts: Counts,
}

const HEAD: &str = "\
# Instructions of one operation of each hot piece. `make instructions` counts again and fails where one
# takes more than this, beyond the tolerance in per cent; `make instructions ACCEPT=yes` writes this file.
";

impl Kept {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (mut tolerance, mut made_with, mut counts) = (None, None, Counts::new());
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            match line.split_once(' ') {
                Some(("tolerance", rest)) => tolerance = Some(rest.parse()?),
                Some(("made-with", rest)) => made_with = Some(rest.to_owned()),
                _ => {
                    let (name, count) = line.rsplit_once(' ').unwrap_or((line, ""));
                    let count = count.parse().with_context(|| format!("no count: {line}"))?;
                    if counts.insert(name.trim_end().to_owned(), count).is_some() {
                        bail!("{} stands there twice", name.trim_end());
                    }
                }
            }
        }
        Ok(Self {
            tolerance: tolerance.context("there is no tolerance")?,
            made_with: made_with.context("it does not say what it was made with")?,
            counts,
        })
    }

    /// The same with other counts.
    pub(crate) fn with(self, made_with: String, counts: Counts) -> Self {
        Self { made_with, counts, ..self }
    }

    /// Whether it was counted on such a processor; others have other instructions.
    pub(crate) fn is_of(&self, processor: &str) -> bool {
        self.made_with.split(' ').next() == Some(processor)
    }

    /// How a count compares, in words.
    pub(crate) fn change(&self, name: &str, count: u64) -> String {
        match self.counts.get(name) {
            Some(kept) => format!("{:+.1} %", percent(*kept, count)),
            None => "new".to_owned(),
        }
    }

    /// What is wrong with these counts. Fewer are not: whoever wants to hold on to that accepts them.
    pub(crate) fn judge(&self, counted: &Counts) -> Vec<String> {
        let gone = self.counts.keys().filter(|name| !counted.contains_key(*name));
        let gone = gone.map(|name| format!("{name} is kept, and there is no such case"));
        let wrong = counted.iter().filter_map(|(name, count)| match self.counts.get(name) {
            None => Some(format!("{name} is not kept: {count}")),
            Some(kept) if count * 100 > kept * (100 + self.tolerance) => Some(format!(
                "{name} takes {count} instructions, {kept} are kept: {:+.1} %, and {} % is the most",
                percent(*kept, *count),
                self.tolerance
            )),
            Some(_) => None,
        });
        gone.chain(wrong).collect()
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEAD}tolerance {}\nmade-with {}\n", self.tolerance, self.made_with)?;
        self.counts.iter().try_for_each(|(name, count)| writeln!(f, "{name:<48} {count:>9}"))
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn percent(kept: u64, count: u64) -> f64 {
    (count as f64 / kept as f64 - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept::parse("# words\n\ntolerance 5\nmade-with x86_64 rustc 1\na one   1000\nb two 20\n")
            .unwrap()
    }

    fn counts(counts: &[(&str, u64)]) -> Counts {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn only_more_than_tolerated_is_too_much() {
        let judge = |one| kept().judge(&counts(&[("a one", one), ("b two", 20)]));
        assert!(judge(1050).is_empty() && judge(1).is_empty());
        let wrong = judge(1051);
        assert_eq!(wrong.len(), 1);
        assert!(
            wrong[0].starts_with("a one takes 1051 instructions, 1000 are kept: +5.1 %"),
            "{wrong:?}"
        );
    }

    #[test]
    fn what_is_counted_is_what_is_kept() {
        let wrong = kept().judge(&counts(&[("a one", 1000), ("c three", 3)]));
        assert_eq!(wrong, ["b two is kept, and there is no such case", "c three is not kept: 3"]);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = kept().with("x86_64 rustc 2".to_owned(), counts(&[("a one", 7)]));
        assert_eq!(Kept::parse(&written.to_string()).unwrap(), written);
        assert!(written.is_of("x86_64") && !written.is_of("aarch64"));
    }

    #[test]
    fn what_says_nothing_is_not_read() {
        for bad in [
            "made-with x\na b 1",
            "tolerance 5\na b 1",
            "tolerance 5\nmade-with x\na b",
            "tolerance 5\nmade-with x\na b 1\na b 2",
        ] {
            assert!(Kept::parse(bad).is_err(), "{bad}");
        }
    }
}
