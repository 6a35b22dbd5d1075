//! What a checker found.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

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
    /// A reader was told that something is missing, though nothing is, or nothing should be.
    Gap {
        /// Who was told.
        reader: String,
        /// Why.
        reason: String,
    },
    /// A notice arrived that was refused, or that no inbox holds.
    Refused {
        /// Who received it, or whose inbox keeps it.
        reader: String,
        /// Its id.
        id: String,
        /// Its payload.
        payload: String,
    },
    /// What was sent once is there as two notices.
    Twice {
        /// Who received the second one, or whose inbox keeps it.
        reader: String,
        /// Its id.
        id: String,
        /// The id of the first one.
        accepted: String,
    },
    /// An accepted notice is not in the inbox, and nothing says that it was removed.
    NotKept {
        /// Whose inbox.
        user: String,
        /// The notice.
        id: String,
        /// Its payload.
        payload: String,
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
            Self::Refused { .. } => "refused",
            Self::Twice { .. } => "accepted twice",
            Self::NotKept { .. } => "not kept",
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
            Self::Refused { reader, id, payload } => {
                write!(f, "{reader} has {id} {}", cut(payload))
            }
            Self::Twice { reader, id, accepted } => {
                write!(f, "{reader} has {id}, which was accepted as {accepted}")
            }
            Self::NotKept { user, id, payload } => {
                write!(f, "the inbox of {user} lacks {id} {}", cut(payload))
            }
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
    /// Those of them that their client had received in an earlier session.
    pub repeated: usize,
    /// How often clients were told that their inbox began anew, where that is nothing wrong.
    pub resets: usize,
    /// Notices that clients were told to have missed, all clients together.
    pub told: usize,
    /// Notices that clients have not received and that have expired, all clients together.
    pub expired: usize,
    /// What is wrong, at most 20 of each kind.
    pub findings: Vec<Finding>,
    /// Whose notices something is wrong with.
    pub users: BTreeSet<String>,
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

    pub(super) fn add(&mut self, user: &str, finding: Finding) {
        self.users.insert(user.to_owned());
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
        let also = [
            (self.repeated, "received again in a later session"),
            (self.resets, "resets told"),
            (self.told, "told to be missing"),
            (self.expired, "expired"),
        ];
        for (count, what) in also.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "; {count} {what}")?;
        }
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
