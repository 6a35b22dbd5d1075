//! The checker finds what is wrong, and nothing else.

use std::time::{Duration, Instant};

use super::*;

fn notice(id: &str, payload: &str) -> Notice {
    Notice {
        event: "notice".to_owned(),
        payload: payload.into(),
        id: id.to_owned(),
        cursor: String::new(),
        sent_at: 0,
        replayed: false,
        ack: None,
        received: Instant::now(),
    }
}

/// A checker with three notices for `a` and one for `b`.
fn checker() -> Checker {
    let checker = Checker::new();
    for (user, id) in [("a", "1"), ("b", "x"), ("a", "2"), ("a", "3")] {
        checker.accepted(user, id, id);
    }
    checker
}

fn found(checker: &Checker) -> Vec<Finding> {
    checker.report().findings
}

#[test]
fn all_in_order_is_clean_also_when_it_came_before_the_answer_to_its_sender() {
    let checker = Checker::new();
    let reader = checker.reader("a", "r", Start::Now);
    reader.received(&notice("1", "p"));
    checker.accepted("a", "1", "p");
    checker.accepted("a", "2", "q");
    assert_eq!(checker.missing(), 1);
    reader.received(&notice("2", "q"));
    assert_eq!(checker.missing(), 0);
    checker.report().assert_clean();
}

#[test]
fn a_lost_notice_is_found_and_one_before_or_after_the_reader_is_not_owed() {
    let checker = checker();
    let late = checker.reader("a", "late", Start::Now);
    late.end();
    checker.accepted("a", "4", "4");
    let reader = checker.reader("a", "r", Start::Beginning);
    for id in ["1", "2", "4"] {
        reader.received(&notice(id, id));
    }
    assert!(matches!(&found(&checker)[..], [Finding::Lost { id, .. }] if id == "3"));
}

#[test]
fn a_duplicate_in_one_session_is_found_and_one_in_the_next_session_is_not() {
    let checker = checker();
    let reader = checker.reader("a", "r", Start::Beginning);
    reader.begin("s1");
    reader.received(&notice("1", "1"));
    reader.received(&notice("2", "2"));
    reader.begin("s2");
    reader.received(&notice("2", "2"));
    reader.received(&notice("3", "3"));
    checker.report().assert_clean();
    reader.received(&notice("3", "3"));
    assert!(matches!(&found(&checker)[..], [Finding::Duplicated { id, .. }] if id == "3"));
}

#[test]
fn an_older_notice_after_a_newer_one_is_out_of_order() {
    let checker = checker();
    let reader = checker.reader("a", "r", Start::Beginning);
    for id in ["1", "3", "2"] {
        reader.received(&notice(id, id));
    }
    assert!(matches!(
        &found(&checker)[..],
        [Finding::OutOfOrder { id, after, .. }] if id == "2" && after == "3"
    ));
}

#[test]
fn another_users_notice_changed_bytes_and_strangers_are_found() {
    let checker = checker();
    let reader = checker.reader("a", "r", Start::FirstReceived);
    reader.received(&notice("x", "x"));
    reader.received(&notice("3", "3 "));
    reader.received(&notice("9", "9"));
    let kinds: Vec<_> = found(&checker).iter().map(Finding::kind).collect();
    assert_eq!(kinds, ["wrong user", "changed", "never sent"]);
}

#[test]
fn an_unknown_notice_may_come_once_and_need_not() {
    let checker = Checker::new();
    let silent = checker.reader("a", "silent", Start::Now);
    let reader = checker.reader("a", "r", Start::Now);
    checker.unknown("a", "p");
    reader.received(&notice("1", "p"));
    checker.report().assert_clean();
    reader.received(&notice("2", "p"));
    assert_eq!(checker.report().found(), 1);
    assert_eq!((silent.count(), reader.count()), (0, 2));
}

#[test]
fn an_id_that_is_given_twice_and_a_gap_are_found() {
    let checker = checker();
    checker.accepted("b", "1", "other");
    let reader = checker.reader("c", "r", Start::Now);
    reader.gap(Gap { reason: "reset".to_owned(), after: None, floor: None });
    let report = checker.report();
    assert_eq!(report.found(), 2);
    assert!(report.to_string().contains("gap: 1; reused id: 1"), "{report}");
}

/// A gap up to the notice of this number.
fn gap(reason: &str, floor: u64) -> Gap {
    let floor = Some(position::cursor((floor, 0)));
    Gap { reason: reason.to_owned(), after: None, floor }
}

fn receive(reader: &Reader, ids: &[&str]) {
    for id in ids {
        reader.received(&notice(id, id));
    }
}

fn kinds(checker: &Checker) -> Vec<&'static str> {
    found(checker).iter().map(Finding::kind).collect()
}

#[test]
fn a_gap_excuses_what_it_tells_of_and_nothing_else() {
    let checker = checker().allowing_gaps();
    checker.accepted("a", "4", "4");
    let reader = checker.reader("a", "r", Start::Beginning);
    receive(&reader, &["1"]);
    reader.begin("next");
    reader.gap(gap("expired", 2));
    receive(&reader, &["4"]);
    assert_eq!(checker.missing(), 1);
    assert!(matches!(&found(&checker)[..], [Finding::Lost { id, .. }] if id == "3"));
    assert_eq!(checker.report().told, 1);
}

#[test]
fn a_gap_does_not_excuse_what_was_passed_over_before_it() {
    let checker = checker().allowing_gaps();
    checker.accepted("a", "4", "4");
    let reader = checker.reader("a", "r", Start::Beginning);
    receive(&reader, &["2"]);
    reader.gap(gap("expired", 3));
    receive(&reader, &["4"]);
    assert!(matches!(&found(&checker)[..], [Finding::Lost { id, .. }] if id == "1"));
}

#[test]
fn a_gap_without_a_loss_or_for_another_reason_is_found() {
    for (reason, floor) in [("expired", 2), ("reset", 3), ("malformed", 3)] {
        let checker = checker().allowing_gaps();
        let reader = checker.reader("a", "r", Start::Beginning);
        receive(&reader, &["1", "2"]);
        reader.gap(gap(reason, floor));
        receive(&reader, &["3"]);
        assert_eq!(kinds(&checker), ["gap"], "{reason}");
    }
}

#[test]
fn what_a_gap_has_told_to_be_missing_must_not_come_after_it() {
    let checker = checker().allowing_gaps();
    let reader = checker.reader("a", "r", Start::Beginning);
    reader.gap(gap("expired", 2));
    receive(&reader, &["2", "3"]);
    assert_eq!(kinds(&checker), ["out of order"]);
}

#[test]
fn an_expired_notice_need_not_come_and_another_one_must() {
    let checker = checker();
    let reader = checker.reader("a", "r", Start::Now);
    checker.accepted_until("a", "4", "4", Some(Instant::now()));
    checker.accepted_until("a", "5", "5", Some(Instant::now() + Duration::from_secs(600)));
    assert_eq!(checker.missing(), 1);
    assert!(matches!(&found(&checker)[..], [Finding::Lost { id, .. }] if id == "5"));
    assert_eq!(checker.report().expired, 1);
    receive(&reader, &["4", "5"]);
    checker.report().assert_clean();
}

#[test]
fn a_refused_notice_that_comes_is_found() {
    let checker = Checker::new();
    let reader = checker.reader("a", "r", Start::Now);
    checker.refused("a", "1");
    checker.report().assert_clean();
    receive(&reader, &["1"]);
    assert_eq!(kinds(&checker), ["refused"]);
}

#[test]
fn a_volatile_notice_may_come_once_over_all_sessions_and_in_any_order() {
    let checker = checker();
    let reader = checker.reader("a", "r", Start::Now);
    checker.volatile("a", "v");
    checker.volatile("a", "w");
    reader.received(&notice("00ab", "w"));
    reader.received(&notice("00cd", "v"));
    checker.report().assert_clean();
    reader.begin("next");
    reader.received(&notice("00ab", "w"));
    assert_eq!(kinds(&checker), ["duplicated"]);
}

#[test]
fn a_retry_that_was_accepted_as_another_notice_is_found() {
    let checker = checker();
    let reader = checker.reader("a", "r", Start::Beginning);
    receive(&reader, &["1", "2", "3"]);
    reader.received(&notice("4", "3"));
    assert_eq!(kinds(&checker), ["accepted twice"]);
}

#[test]
fn what_is_received_again_after_its_cursor_is_counted() {
    let checker = checker();
    let reader = checker.reader("a", "r", Start::Beginning);
    receive(&reader, &["1", "2"]);
    reader.begin("next");
    receive(&reader, &["2", "3"]);
    assert_eq!((checker.report().repeated, checker.report().found()), (1, 0));
}

fn kept(ids: &[&str]) -> Vec<(String, String)> {
    ids.iter().map(|id| ((*id).to_owned(), (*id).to_owned())).collect()
}

#[test]
fn the_inbox_settles_what_was_unknown() {
    let checker = Checker::new();
    let [has, lacks] = ["has", "lacks"].map(|name| checker.reader("a", name, Start::Now));
    checker.accepted("a", "1", "1");
    // It came into the inbox before the one that was answered.
    checker.unknown("a", "2");
    checker.unknown("a", "9");
    checker.accepted("a", "3", "3");
    receive(&has, &["1", "2", "3"]);
    receive(&lacks, &["1", "3"]);
    checker.report().assert_clean();
    checker.kept("a", &kept(&["1", "2", "3"]), &position::cursor((0, 0)));
    assert!(matches!(&found(&checker)[..], [Finding::Lost { id, .. }] if id == "2"));
    receive(&lacks, &["2"]);
    assert!(matches!(
        &found(&checker)[..],
        [Finding::OutOfOrder { id, after, .. }] if id == "2" && after == "3"
    ));
    // Not in the inbox: it was not accepted.
    receive(&has, &["9"]);
    assert_eq!(kinds(&checker), ["refused", "out of order"]);
}

#[test]
fn what_the_inbox_lacks_without_reason_and_what_it_should_not_hold_is_found() {
    let checker = checker();
    checker.refused("a", "4");
    checker.accepted_until("a", "5", "5", Some(Instant::now()));
    checker.kept("a", &kept(&["2", "4", "6"]), &position::cursor((1, 0)));
    assert!(matches!(
        &found(&checker)[..],
        [
            Finding::NotKept { id: lacks, .. },
            Finding::Refused { id: refused, .. },
            Finding::NeverSent { id: strange, .. },
        ] if lacks == "3" && refused == "4" && strange == "6"
    ));
    checker.kept("b", &[], "");
    assert_eq!(checker.report().counts["not kept"], 2);
}

#[test]
fn after_a_reset_what_is_kept_comes_again_and_what_was_lost_may_have_come() {
    let checker = checker().allowing_resets();
    checker.unknown("a", "7");
    let reader = checker.reader("a", "r", Start::Beginning);
    // The last one was not told to be accepted, and the first try of the one after it neither.
    receive(&reader, &["1", "2", "7"]);
    reader.received(&notice("8", "9"));
    reader.gap(gap("reset", 0));
    receive(&reader, &["1", "2", "3"]);
    checker.accepted("a", "9", "9");
    receive(&reader, &["9"]);
    checker.kept("a", &kept(&["1", "2", "3", "9"]), &position::cursor((0, 0)));
    checker.report().assert_clean();
    assert_eq!((checker.report().resets, checker.report().repeated), (1, 0));

    receive(&reader, &["3"]);
    assert_eq!(kinds(&checker), ["duplicated"]);
    checker.kept("a", &kept(&["1", "2", "9"]), &position::cursor((0, 0)));
    assert_eq!(kinds(&checker), ["not kept", "duplicated"]);
}
