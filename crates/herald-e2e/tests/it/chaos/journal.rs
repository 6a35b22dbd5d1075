//! What happened to whom and when, to explain a failure with.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Whose timelines a failure prints at most; all are written to files.
const PRINTED: usize = 2;

/// Cheap to clone; all clones are the same journal.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    /// All times are counted from it.
    pub(crate) epoch: Instant,
    pages: Arc<Mutex<Pages>>,
}

#[derive(Debug, Default)]
struct Pages {
    users: BTreeMap<String, Vec<Line>>,
    /// What happened to all.
    common: Vec<Line>,
    wrong: Vec<(Option<String>, String)>,
}

#[derive(Debug, Clone)]
struct Line {
    at: Duration,
    /// The notice that it is about, if it is about one.
    notice: Option<u64>,
    text: String,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { epoch: Instant::now(), pages: Arc::default() }
    }

    /// Something that happened to one user.
    pub(crate) fn note(&self, user: &str, notice: Option<u64>, text: impl Into<String>) {
        let line = self.line(notice, text.into());
        let mut pages = self.lock();
        match pages.users.get_mut(user) {
            Some(lines) => lines.push(line),
            None => _ = pages.users.insert(user.to_owned(), vec![line]),
        }
    }

    /// Something that happened to all.
    pub(crate) fn common(&self, text: impl Into<String>) {
        let line = self.line(None, text.into());
        self.lock().common.push(line);
    }

    /// Something that must not happen to all, besides what the checker finds.
    pub(crate) fn wrong(&self, text: impl Into<String>) {
        let text = text.into();
        self.common(format!("WRONG: {text}"));
        self.lock().wrong.push((None, text));
    }

    /// Something that must not happen to one user, besides what the checker finds.
    pub(crate) fn wrong_of(&self, user: &str, notice: Option<u64>, text: impl Into<String>) {
        let text = text.into();
        self.note(user, notice, format!("WRONG: {text}"));
        let number = notice.map_or_else(String::new, |notice| format!(" #{notice}"));
        let text = format!("{user}{number}: {text}");
        self.lock().wrong.push((Some(user.to_owned()), text));
    }

    /// All that must not have happened, and whom it happened to.
    pub(crate) fn all_wrong(&self) -> (Vec<String>, BTreeSet<String>) {
        let pages = self.lock();
        let texts = pages.wrong.iter().map(|(_, text)| text.clone()).collect();
        (texts, pages.wrong.iter().filter_map(|(user, _)| user.clone()).collect())
    }

    /// Writes the common timeline and those of these users into a directory; what to read of them
    /// first. Of notices only those that `told` names by id, number or payload.
    pub(crate) fn explain(
        &self,
        users: &BTreeSet<String>,
        told: &str,
        directory: &Path,
    ) -> anyhow::Result<String> {
        let pages = self.lock();
        let mut text = String::new();
        write(directory, "timeline.txt", pages.common.iter())?;
        for (nth, user) in users.iter().enumerate() {
            let own = pages.users.get(user).map_or(&[][..], Vec::as_slice);
            let mut lines: Vec<_> = own.iter().chain(&pages.common).collect();
            lines.sort_by_key(|line| line.at);
            let file = write(directory, &format!("timeline-{user}.txt"), lines.iter().copied())?;
            if nth >= PRINTED {
                continue;
            }
            writeln!(text, "timeline of {user}, whole in {}:", file.display())?;
            let is_told = |line: &&Line| {
                let names = |notice| [format!("{{\"n\":{notice},"), format!("{user} #{notice}:")];
                line.notice.is_some_and(|notice| names(notice).iter().any(|name| told.contains(name)))
                    // Ids are long; other words are not.
                    || line.text.split_whitespace().any(|word| word.len() > 16 && told.contains(word))
            };
            let bad: BTreeSet<_> =
                own.iter().filter(is_told).filter_map(|line| line.notice).collect();
            for line in lines {
                if line.notice.is_none_or(|notice| bad.contains(&notice)) {
                    writeln!(text, "{line}")?;
                }
            }
        }
        Ok(text)
    }

    fn line(&self, notice: Option<u64>, text: String) -> Line {
        Line { at: self.epoch.elapsed(), notice, text }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write<'l>(
    directory: &Path,
    name: &str,
    lines: impl Iterator<Item = &'l Line>,
) -> anyhow::Result<PathBuf> {
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{line}")?;
    }
    let file = directory.join(name);
    fs::write(&file, text)?;
    Ok(file)
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:8.3} ", self.at.as_secs_f64())?;
        if let Some(notice) = self.notice {
            write!(f, "#{notice} ")?;
        }
        f.write_str(&self.text)
    }
}
