//! Whether a process can do its work, and if not, why.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tokio::sync::watch;

use crate::shutdown::Shutdown;

/// The conditions that a process needs to be ready; a cheap handle on one registry.
///
/// Ready means that there is at least one condition and that all are met: a process that has not
/// declared any is still starting.
#[derive(Debug, Clone)]
pub struct Readiness {
    conditions: Arc<watch::Sender<Conditions>>,
    shutdown: Shutdown,
}

/// Why a condition is not met that nobody has said anything about yet.
const STARTING: &str = "starting";

/// Met conditions have no reason.
type Conditions = BTreeMap<Arc<str>, Option<String>>;

/// One condition of a [`Readiness`]. Handles of the same name are the same condition. Dropping it
/// changes nothing: a component that died without a word must not make the process ready.
#[derive(Debug, Clone)]
pub struct Condition {
    name: Arc<str>,
    conditions: Arc<watch::Sender<Conditions>>,
    shutdown: Shutdown,
}

/// An answer to "ready?", as served at `/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether all conditions are met.
    pub ready: bool,
    /// Those that are not, sorted by name.
    pub reasons: Vec<Reason>,
}

/// A condition that is not met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The condition's name.
    pub check: String,
    /// Why it is not met.
    pub reason: String,
}

impl Readiness {
    /// A registry without conditions: not ready.
    pub fn new() -> Self {
        Self::until(Shutdown::new())
    }

    /// The same; never ready again once `shutdown` is requested.
    pub fn until(shutdown: Shutdown) -> Self {
        Self { conditions: Arc::new(watch::Sender::new(Conditions::new())), shutdown }
    }

    /// The condition of this name; not met, with the reason `starting`, when it is new. Declare
    /// all conditions before the admin port is served, else the process is ready too early.
    pub fn condition(&self, name: &str) -> Condition {
        let name: Arc<str> = name.into();
        self.conditions.send_if_modified(|conditions| {
            let new = !conditions.contains_key(&name);
            if new {
                conditions.insert(Arc::clone(&name), Some(STARTING.into()));
            }
            new
        });
        let (conditions, shutdown) = (Arc::clone(&self.conditions), self.shutdown.clone());
        Condition { name, conditions, shutdown }
    }

    /// Whether the process is ready.
    pub fn is_ready(&self) -> bool {
        !self.shutdown.is_requested() && all_met(&self.conditions.borrow())
    }

    /// Whether the process is ready, and every reason why not.
    pub fn report(&self) -> Report {
        let conditions = self.conditions.borrow();
        let mut reasons: Vec<Reason> = conditions
            .iter()
            .filter_map(|(name, reason)| {
                let reason = reason.clone()?;
                Some(Reason { check: name.to_string(), reason })
            })
            .collect();
        if self.shutdown.is_requested() {
            reasons.push(Reason { check: "shutdown".into(), reason: "shutting down".into() });
        } else if conditions.is_empty() {
            reasons.push(Reason { check: "startup".into(), reason: STARTING.into() });
        }
        Report { ready: reasons.is_empty(), reasons }
    }

    /// The same as figures, in Prometheus' text format.
    pub fn exposition(&self) -> String {
        let mut text = String::from(
            "# HELP herald_ready Whether the service is ready, as its admin port says: 1 or 0\n\
             # TYPE herald_ready gauge\n",
        );
        text += &format!("herald_ready {}\n\n", u8::from(self.is_ready()));
        text += "# HELP herald_check_met Whether a condition of readiness is met: 1 or 0\n\
                 # TYPE herald_check_met gauge\n";
        for (name, reason) in &*self.conditions.borrow() {
            let met = u8::from(reason.is_none());
            text += &format!("herald_check_met{{check=\"{name}\"}} {met}\n");
        }
        text
    }

    /// Waits until the process is ready. Wrap it in a deadline.
    pub async fn until_ready(&self) {
        self.wait_for(|conditions| all_met(conditions) && !self.shutdown.is_requested()).await;
    }

    /// Waits until the process is not ready. Wrap it in a deadline.
    pub async fn until_not_ready(&self) {
        self.shutdown.or(self.wait_for(|conditions| !all_met(conditions))).await;
    }

    async fn wait_for(&self, wanted: impl FnMut(&Conditions) -> bool) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.conditions.subscribe().wait_for(wanted).await;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

impl Condition {
    /// The condition is met.
    pub fn set_ready(&self) {
        self.set(None);
    }

    /// The condition is not met; `reason` says why, for an operator.
    pub fn set_not_ready(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, reason: Option<String>) {
        let mut starting = false;
        let changed = self.conditions.send_if_modified(|conditions| {
            let slot = conditions.entry(Arc::clone(&self.name)).or_default();
            starting = slot.as_deref() == Some(STARTING);
            let changed = *slot != reason;
            slot.clone_from(&reason);
            changed
        });
        if changed {
            // Every start and every end passes through this: no reason to warn.
            let ordinary = starting || self.shutdown.is_requested();
            match reason {
                None => tracing::info!(check = &*self.name, "condition met"),
                Some(reason) if ordinary => {
                    tracing::info!(check = &*self.name, reason, "condition not met");
                }
                Some(reason) => tracing::warn!(check = &*self.name, reason, "condition not met"),
            }
        }
    }
}

fn all_met(conditions: &Conditions) -> bool {
    !conditions.is_empty() && conditions.values().all(Option::is_none)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[test]
    fn nothing_declared_is_not_ready() {
        let report = Readiness::new().report();
        assert!(!report.ready);
        assert_eq!(report.reasons[0].check, "startup");
    }

    #[test]
    fn ready_is_when_all_conditions_are_met_and_falls_again() {
        let readiness = Readiness::new();
        let backplane = readiness.condition("backplane");
        let lease = readiness.condition("lease");
        assert_eq!(readiness.report().reasons.len(), 2);
        backplane.set_ready();
        assert!(!readiness.is_ready());
        lease.set_ready();
        assert!(readiness.is_ready());
        assert!(readiness.report().ready);

        backplane.set_not_ready("connection refused");
        let expected = Reason { check: "backplane".into(), reason: "connection refused".into() };
        assert_eq!(readiness.report().reasons, [expected]);
    }

    #[test]
    fn a_name_is_one_condition_and_outlives_its_handles() {
        let readiness = Readiness::new();
        readiness.condition("lease").set_ready();
        assert!(readiness.is_ready(), "the dropped handle left its state");
        let again = readiness.condition("lease");
        assert!(readiness.is_ready(), "asking again does not reset it");
        again.set_not_ready("fenced");
        assert!(!readiness.is_ready());
    }

    #[test]
    fn figures_say_which_condition_is_not_met() {
        let readiness = Readiness::new();
        readiness.condition("lease").set_ready();
        readiness.condition("client keys");
        let text = readiness.exposition();
        assert!(text.contains("\nherald_ready 0\n"), "{text}");
        assert!(text.contains("\nherald_check_met{check=\"lease\"} 1\n"), "{text}");
        assert!(text.contains("\nherald_check_met{check=\"client keys\"} 0\n"), "{text}");
    }

    #[tokio::test]
    async fn waiting_sees_both_changes() {
        let readiness = Readiness::new();
        let condition = readiness.condition("backplane");
        let limit = Duration::from_secs(5);
        let (seen, ()) = tokio::join!(timeout(limit, readiness.until_ready()), async {
            condition.set_ready();
        });
        seen.unwrap();
        let (seen, ()) = tokio::join!(timeout(limit, readiness.until_not_ready()), async {
            condition.set_not_ready("gone");
        });
        seen.unwrap();
    }

    #[tokio::test]
    async fn shutting_down_is_not_ready_whatever_the_conditions() {
        let shutdown = Shutdown::new();
        let readiness = Readiness::until(shutdown.clone());
        readiness.condition("backplane").set_ready();
        assert!(readiness.is_ready());
        shutdown.request();
        timeout(Duration::from_secs(5), readiness.until_not_ready()).await.unwrap();
        assert!(!readiness.is_ready());
        assert_eq!(readiness.report().reasons[0].check, "shutdown");
    }
}
