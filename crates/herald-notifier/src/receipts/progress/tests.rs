use herald_backplane::{KeptTarget, KeptTargets};
use herald_core::{SessionRecord, Transport};

use super::*;

const HERE: GatewayId = GatewayId(1);
const THERE: GatewayId = GatewayId(2);

fn device(name: &str) -> Option<Device> {
    Device::new(name).ok()
}

fn target_of(id: u128, gateway: GatewayId, heard: bool, name: &str) -> Target {
    let session = SessionRecord {
        id: SessionId(id),
        gateway,
        gateway_name: GatewayName::new("gw:1").unwrap(),
        namespace: Namespace::new("/notice").unwrap(),
        socket_id: "s".into(),
        connected_at_ms: 10 + u64::try_from(id).unwrap(),
        transport: Transport::WebSocket,
        user_agent: None,
        device: device(name),
    };
    Target { session, heard }
}

fn target(id: u128) -> Target {
    target_of(id, HERE, true, "")
}

fn receipt(id: u128, state: ReceiptState, name: &str) -> Receipt {
    Receipt {
        session: SessionId(id),
        namespace: Namespace::new("/notice").unwrap(),
        device: device(name),
        connected_at_ms: 10 + u64::try_from(id).unwrap(),
        state,
        at_ms: 500,
        replayed: false,
        gone: None,
    }
}

fn report(roll_call: Option<GatewayId>, receipts: &[(u128, ReceiptState)]) -> Report {
    let receipts = receipts.iter().map(|(id, state)| receipt(*id, *state, "")).collect();
    Report { gateway_name: GatewayName::new("gw:9").unwrap(), roll_call, receipts }
}

fn of_device(id: u128, state: ReceiptState, name: &str) -> Report {
    Report { receipts: vec![receipt(id, state, name)], ..report(None, &[]) }
}

fn began(goal: Goal, targets: Vec<Target>) -> Progress {
    let mut progress = Progress::new(goal);
    progress.dispatched(targets, 100);
    progress
}

fn states(progress: &Progress, at_the_end: bool) -> Vec<(u128, SessionState)> {
    progress.sessions().iter().map(|seen| (seen.session.0, seen.state(at_the_end))).collect()
}

use ReceiptState::{Accepted, Acked, Emitted, Gone, Lagging};

#[test]
fn nobody_there_is_over_at_once_and_never_satisfied() {
    for goal in [Goal::Emitted, Goal::AckedAny, Goal::AckedAll] {
        let mut progress = Progress::new(goal);
        assert!(!progress.is_over(), "nothing is known yet");
        progress.dispatched(vec![], 100);
        assert!(progress.is_over() && !progress.is_satisfied());
        assert_eq!(progress.outcome(), Outcome::Offline);
    }
}

#[test]
fn one_that_was_handed_it_satisfies_emitted() {
    let mut progress = began(Goal::Emitted, vec![target(1), target(2)]);
    assert_eq!(progress.outcome(), Outcome::Accepted);
    progress.report(report(Some(HERE), &[(1, Lagging), (2, Accepted)]));
    assert!(!progress.is_over());
    progress.report(report(None, &[(1, Emitted)]));
    assert!(progress.is_over() && progress.is_satisfied());
    assert_eq!(progress.outcome(), Outcome::Emitted);
    let expected = [(1, SessionState::Emitted), (2, SessionState::Accepted)];
    assert_eq!(states(&progress, true), expected);
}

#[test]
fn reports_before_the_answer_count_and_decide_nothing() {
    let mut progress = Progress::new(Goal::AckedAny);
    progress.report(report(Some(HERE), &[(1, Emitted)]));
    progress.report(report(None, &[(1, Acked)]));
    assert!(!progress.is_over(), "who the targets are is not known");
    progress.dispatched(vec![target(1), target(2)], 100);
    assert!(progress.is_over() && progress.is_satisfied());
    assert_eq!(states(&progress, false), [(1, SessionState::Acked), (2, SessionState::Gone)]);
}

#[test]
fn what_is_known_does_not_depend_on_the_order_of_reports() {
    let reports = [
        report(Some(HERE), &[(1, Emitted), (2, Lagging)]),
        report(None, &[(1, Acked)]),
        report(None, &[(2, Emitted)]),
        report(None, &[(2, Gone)]),
        report(None, &[(1, Gone)]),
    ];
    let expected = [(1, SessionState::Acked), (2, SessionState::Gone), (3, SessionState::Gone)];
    // Each of them first, then the others in either direction; the answer at any place.
    for first in 0..reports.len() {
        for answer in 0..=reports.len() {
            for backwards in [false, true] {
                let mut order: Vec<usize> = (0..reports.len()).filter(|n| *n != first).collect();
                if backwards {
                    order.reverse();
                }
                order.insert(0, first);
                let mut progress = Progress::new(Goal::AckedAll);
                for (nth, which) in order.iter().enumerate() {
                    if nth == answer {
                        progress.dispatched(vec![target(1), target(2), target(3)], 100);
                    }
                    progress.report(reports[*which].clone());
                }
                if answer == reports.len() {
                    progress.dispatched(vec![target(1), target(2), target(3)], 100);
                }
                assert_eq!(states(&progress, true), expected, "{order:?} {answer}");
                assert_eq!(progress.outcome(), Outcome::Acked);
            }
        }
    }
}

#[test]
fn who_says_nothing_is_unknown_at_the_end_and_unheard_if_nobody_listened() {
    let targets = || vec![target(1), target_of(2, THERE, false, "")];
    let mut progress = began(Goal::Emitted, targets());
    let accepted = [(1, SessionState::Accepted), (2, SessionState::Unheard)];
    assert_eq!(states(&progress, false), accepted);
    let unknown = [(1, SessionState::Unknown), (2, SessionState::Unheard)];
    assert_eq!(states(&progress, true), unknown);
    assert_eq!(progress.outcome(), Outcome::Accepted);
    // It listens again, and reads.
    progress.report(report(None, &[(2, Emitted)]));
    assert!(progress.is_satisfied());
    assert_eq!(states(&progress, true)[1], (2, SessionState::Emitted));
}

#[test]
fn a_roll_call_is_of_its_own_lease_alone() {
    let targets = vec![target(1), target(2), target_of(3, THERE, true, "")];
    let mut progress = began(Goal::AckedAll, targets);
    progress.report(report(Some(HERE), &[(1, Emitted)]));
    let expected =
        [(1, SessionState::Emitted), (2, SessionState::Gone), (3, SessionState::Unknown)];
    assert_eq!(states(&progress, true), expected);
}

#[test]
fn who_is_gone_was_handed_it_all_the_same() {
    let mut progress = began(Goal::AckedAny, vec![target(1)]);
    progress.report(report(Some(HERE), &[(1, Emitted)]));
    assert!(progress.awaits_acks());
    progress.report(report(None, &[(1, Gone)]));
    assert!(!progress.awaits_acks());
    assert_eq!(states(&progress, true), [(1, SessionState::Gone)]);
    assert_eq!(progress.outcome(), Outcome::Emitted, "the furthest that was seen");
    assert!(!progress.is_over(), "the device may come back");
    progress.report(report(None, &[(7, Emitted)]));
    progress.report(report(None, &[(7, Acked)]));
    assert!(progress.is_satisfied());
    assert_eq!(states(&progress, true), [(1, SessionState::Gone), (7, SessionState::Acked)]);
}

#[test]
fn all_means_each_target() {
    let mut progress = began(Goal::AckedAll, vec![target(1), target(2)]);
    progress.report(report(Some(HERE), &[(1, Emitted), (2, Emitted)]));
    progress.report(report(None, &[(1, Acked)]));
    assert!(!progress.is_over());
    // Somebody else's acknowledgement makes good for nobody who is still there.
    progress.report(report(None, &[(7, Emitted)]));
    progress.report(report(None, &[(7, Acked)]));
    assert!(!progress.is_over());
    progress.report(report(None, &[(2, Acked)]));
    assert!(progress.is_satisfied());
}

#[test]
fn one_that_returned_makes_good_for_one_that_is_gone_on_the_same_device() {
    let targets = || {
        vec![
            target_of(1, HERE, true, "phone"),
            target_of(2, HERE, true, ""),
            target_of(3, HERE, true, "phone"),
        ]
    };
    let all_gone = |returned: &[(u128, &str)]| {
        let mut progress = began(Goal::AckedAll, targets());
        progress.report(report(Some(HERE), &[]));
        for (id, name) in returned {
            progress.report(of_device(*id, Emitted, name));
            assert!(!progress.is_satisfied(), "handed over is not acknowledged");
            progress.report(of_device(*id, Acked, name));
        }
        progress.is_satisfied()
    };
    assert!(all_gone(&[(7, "phone"), (8, "phone"), (9, "laptop")]));
    assert!(all_gone(&[(7, ""), (8, "phone"), (9, "phone")]));
    assert!(!all_gone(&[(7, "phone"), (8, "phone")]), "one for each");
    assert!(!all_gone(&[(7, "phone"), (8, "laptop"), (9, "laptop")]), "of the same device");
}

#[test]
fn what_is_kept_answers_a_retry() {
    let kept = |targets: &[u128]| {
        let of = |id: &u128| KeptTarget { session: target(*id).session, heard: Some(true) };
        let reports =
            [report(Some(HERE), &[(1, Emitted), (2, Emitted)]), report(None, &[(1, Acked)])];
        Kept {
            targets: Some(KeptTargets { at_ms: 100, sessions: targets.iter().map(of).collect() }),
            retries: Vec::new(),
            reports: reports.map(|report| KeptReport { at_ms: 500, report }).into(),
        }
    };
    // A new session since, which is a target now.
    let mut progress = began(Goal::AckedAll, vec![target(1), target(3)]);
    progress.kept(kept(&[1, 2]));
    assert!(!progress.is_satisfied(), "2 did not acknowledge then, 3 does not now");
    let expected =
        [(1, SessionState::Acked), (2, SessionState::Emitted), (3, SessionState::Unknown)];
    assert_eq!(states(&progress, true), expected, "3 was not called then and is not gone");
    let mut progress = began(Goal::AckedAll, vec![target(3)]);
    progress.kept(kept(&[1]));
    assert!(progress.is_satisfied(), "all that it was meant for acknowledged it");
    let mut progress = began(Goal::AckedAny, vec![]);
    progress.kept(kept(&[1]));
    assert!(progress.is_satisfied() && progress.outcome() == Outcome::Acked);
}

#[test]
fn who_never_got_it_and_was_not_meant_to_is_not_told_of() {
    let mut progress = began(Goal::Emitted, vec![target(1)]);
    progress.report(report(Some(HERE), &[(1, Accepted), (2, Accepted)]));
    assert_eq!(states(&progress, true), [(1, SessionState::Accepted)]);
}

#[test]
fn sessions_are_bounded() {
    let mut progress = Progress::new(Goal::Emitted);
    for id in 0..5_000 {
        progress.report(report(None, &[(id, Emitted)]));
    }
    assert_eq!(progress.sessions.len(), SESSIONS);
}
