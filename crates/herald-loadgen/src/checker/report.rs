//! What a checker found.

use std::{collections::BTreeMap, fmt};

/// How many findings of one kind are kept in full; the rest is counted.
const KEPT: usize = 20;

/// How much of a payload is printed.
const SHOWN: usize = 200;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A notice of one user arrived at another.
    WrongUser {
        /// Who received it.
        reader: String,
        /// The notice.
        id: String,
        /// Whose it is.
        owner: String,
    },
    /// A notice arrived that nobody sent.
    NeverSent {
        /// Who received it.
        reader: String,
        /// Its id.
        id: String,
        /// Its payload.
        payload: String,
    },
    /// A payload arrived with other bytes than it was sent with.
    Changed {
        /// Who received it.
        reader: String,
        /// The notice.
        id: String,
        /// As it was sent.
        sent: String,
        /// As it arrived.
        received: String,
    },
    /// An accepted notice did not arrive.
    Lost {
        /// Who did not receive it.
        reader: String,
        /// The notice.
        id: String,
        /// Its payload.
        payload: String,
    },
    /// A notice arrived twice in one session.
    Duplicated {
        /// Who received it.
        reader: String,
        /// The notice.
        id: String,
    },
    /// A notice arrived after a later one.
    OutOfOrder {
        /// Who received it.
        reader: String,
        /// The notice.
        id: String,
        /// The later one that arrived before it.
        after: String,
    },
    /// A notice arrived that is older than what the reader asked for.
    Unasked {
        /// Who received it.
        reader: String,
        /// The notice.
        id: String,
    },
    /// A reader was told that something is missing.
    Gap {
        /// Who was told.
        reader: String,
        /// Why.
        reason: String,
    },
    /// Two notices were accepted with the same id.
    ReusedId {
        /// The id.
        id: String,
    },
}

impl Finding {
    /// The kind in words, as reports count it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::WrongUser { .. } => "wrong user",
            Self::NeverSent { .. } => "never sent",
            Self::Changed { .. } => "changed",
            Self::Lost { .. } => "lost",
            Self::Duplicated { .. } => "duplicated",
            Self::OutOfOrder { .. } => "out of order",
            Self::Unasked { .. } => "not asked for",
            Self::Gap { .. } => "gap",
            Self::ReusedId { .. } => "reused id",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.kind())?;
        match self {
            Self::WrongUser { reader, id, owner } => {
                write!(f, "{reader} received {id} of {owner}")
            }
            Self::NeverSent { reader, id, payload } => {
                write!(f, "{reader} received {id} {}", cut(payload))
            }
            Self::Changed { reader, id, sent, received } => {
                write!(f, "{reader} received {id} as {} and not as {}", cut(received), cut(sent))
            }
            Self::Lost { reader, id, payload } => {
                write!(f, "{reader} did not receive {id} {}", cut(payload))
            }
            Self::Duplicated { reader, id } => write!(f, "{reader} received {id} again"),
            Self::OutOfOrder { reader, id, after } => {
                write!(f, "{reader} received {id} after {after}")
            }
            Self::Unasked { reader, id } => write!(f, "{reader} received {id}"),
            Self::Gap { reader, reason } => write!(f, "{reader} was told of a gap ({reason})"),
            Self::ReusedId { id } => write!(f, "{id}"),
        }
    }
}

/// What was sent, what was received and what is wrong. Printed with all of it.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Notices known to be accepted.
    pub accepted: usize,
    /// Notices whose fate is unknown.
    pub unknown: usize,
    /// Clients.
    pub readers: usize,
    /// Their sessions.
    pub sessions: usize,
    /// Notices received, in all sessions.
    pub received: usize,
    /// What is wrong, at most 20 of each kind.
    pub findings: Vec<Finding>,
    pub(super) counts: BTreeMap<&'static str, usize>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many findings there are in all.
    pub fn found(&self) -> usize {
        self.counts.values().sum()
    }

    /// Panics with the whole report if anything is wrong: for tests.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }

    pub(super) fn add(&mut self, finding: Finding) {
        let count = self.counts.entry(finding.kind()).or_default();
        *count += 1;
        if *count <= KEPT {
            self.findings.push(finding);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} notices accepted, {} unknown; {} received by {} clients in {} sessions",
            self.accepted, self.unknown, self.received, self.readers, self.sessions
        )?;
        if self.is_clean() {
            return write!(f, "; nothing wrong");
        }
        for (kind, count) in &self.counts {
            write!(f, "; {kind}: {count}")?;
        }
        for finding in &self.findings {
            write!(f, "\n  {finding}")?;
        }
        if self.found() > self.findings.len() {
            write!(f, "\n  and {} more", self.found() - self.findings.len())?;
        }
        Ok(())
    }
}

fn cut(payload: &str) -> String {
    if payload.len() <= SHOWN {
        return payload.to_owned();
    }
    let head: String = payload.chars().take(SHOWN).collect();
    format!("{head}… ({} bytes)", payload.len())
}
