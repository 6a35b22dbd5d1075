//! What senders were told of devices, against what those devices know.
//!
//! A receipt never claims more than was seen, whatever goes wrong meanwhile: *acknowledged* by a
//! session means that its client had sent the acknowledgement by then, *gone* that the session is
//! nobody's any more in the end, and *satisfied* that the sessions bear it out.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use herald_loadgen::{Accepted, Receipt, WaitFor};

/// All clones are the same book.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receipts(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    /// Session and notice.
    acknowledged: HashSet<(String, String)>,
    /// Sessions that were said to have ended.
    gone: BTreeSet<String>,
    waits: usize,
    satisfied: usize,
    /// Sessions said to have acknowledged.
    acked: usize,
    /// Of the others, those of which no more than that they were told is known.
    unclear: usize,
}

impl Receipts {
    /// A client is about to acknowledge.
    pub(crate) fn acknowledging(&self, session: &str, notice: &str) {
        self.lock().acknowledged.insert((session.to_owned(), notice.to_owned()));
    }

    /// What is wrong with the answer to one that waited for receipts.
    pub(crate) fn told(&self, waited_for: WaitFor, answer: &Accepted) -> Vec<String> {
        let mut book = self.lock();
        let mut wrong = Vec::new();
        let (mut acked, mut emitted) = (0, 0);
        for Receipt { session, state } in &answer.sessions {
            match state.as_str() {
                "ACKED" => {
                    acked += 1;
                    let claim = (session.clone(), answer.notice_id.clone());
                    if !book.acknowledged.contains(&claim) {
                        wrong.push(format!("{session} is said to have acknowledged"));
                    }
                }
                "EMITTED" => emitted += 1,
                "GONE" => _ = book.gone.insert(session.clone()),
                "ACCEPTED" | "LAGGING" | "UNHEARD" | "UNKNOWN" => book.unclear += 1,
                other => wrong.push(format!("{session} is said to be {other}")),
            }
        }
        let borne_out = match waited_for {
            // Which of these sessions it was meant for cannot be seen from here: some came meanwhile,
            // or were not registered at that moment since their gateway was frozen.
            WaitFor::AckedAny | WaitFor::AckedAll => acked > 0,
            WaitFor::Emitted => acked + emitted > 0,
            WaitFor::Accepted | WaitFor::Unspecified => true,
        };
        // Of all, some may be missing.
        if answer.wait_satisfied && !borne_out
            || !answer.wait_satisfied && borne_out && waited_for != WaitFor::AckedAll
        {
            wrong.push(format!("satisfied is {}: {answer:?}", answer.wait_satisfied));
        }
        book.waits += 1;
        book.satisfied += usize::from(answer.wait_satisfied);
        book.acked += acked;
        wrong
    }

    /// Of these sessions, which are connected, those said to have ended.
    pub(crate) fn not_gone(&self, connected: impl IntoIterator<Item = String>) -> Vec<String> {
        let book = self.lock();
        connected.into_iter().filter(|session| book.gone.contains(session)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Receipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Book { acknowledged, gone, waits, satisfied, acked, unclear, .. } = &*self.lock();
        write!(
            f,
            "{waits} waited for, {satisfied} satisfied; sessions said to have acknowledged {acked} \
             (clients sent {}), to be gone {}, unclear {unclear}",
            acknowledged.len(),
            gone.len(),
        )
    }
}

#[test]
fn a_receipt_that_claims_too_much_is_found() {
    let receipts = Receipts::default();
    let answer = |satisfied, states: &[(&str, &str)]| Accepted {
        notice_id: "n".into(),
        duplicate: false,
        outcome: "ACKED".into(),
        wait_satisfied: satisfied,
        sessions: states
            .iter()
            .map(|(session, state)| Receipt { session: (*session).into(), state: (*state).into() })
            .collect(),
    };
    receipts.acknowledging("one", "n");
    let told =
        |what, satisfied, states: &[_]| receipts.told(what, &answer(satisfied, states)).len();
    assert_eq!(told(WaitFor::AckedAny, true, &[("one", "ACKED"), ("two", "UNKNOWN")]), 0);
    assert_eq!(told(WaitFor::AckedAny, true, &[("two", "ACKED")]), 1, "it did not acknowledge");
    assert_eq!(told(WaitFor::AckedAny, true, &[("one", "EMITTED")]), 1, "nobody did");
    assert_eq!(told(WaitFor::AckedAny, false, &[("one", "ACKED")]), 1, "somebody did");
    assert_eq!(told(WaitFor::AckedAll, true, &[("one", "EMITTED"), ("two", "EMITTED")]), 1);
    assert_eq!(told(WaitFor::AckedAll, true, &[("one", "ACKED"), ("two", "GONE")]), 0);
    assert_eq!(told(WaitFor::Emitted, true, &[("one", "UNHEARD")]), 1);
    assert_eq!(receipts.not_gone(["one".to_owned(), "two".to_owned()]), ["two"]);
}
