//! The promises of `herald_backplane::port`, one test each. A check takes a
//! fixture and knows nothing of what is behind it; [`conformance`] makes all of
//! them tests of one implementation.

pub(crate) mod auditing;
pub(crate) mod channels;
pub(crate) mod cursors;
pub(crate) mod dispatching;
pub(crate) mod ending;
pub(crate) mod expiry;
pub(crate) mod leases;
pub(crate) mod limits;
pub(crate) mod pages;
pub(crate) mod places;
pub(crate) mod reaping;
pub(crate) mod receipts;
pub(crate) mod retries;
pub(crate) mod sessions;
pub(crate) mod volatile;

use std::time::Duration;

use crate::support::Fixture;

/// Runs one check; none may take longer than this.
pub(crate) async fn run(fixture: Fixture, check: impl AsyncFnOnce(&Fixture)) {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, check(&fixture)).await.expect("the check comes to an end");
}

/// Makes every check a test on the storages that `$fixture` opens.
macro_rules! conformance {
    ($fixture:path) => {
        $crate::conformance::conformance! { @tests $fixture;
            auditing:
                an_audit_finds_who_is_not_registered_here,
                what_is_registered_under_a_lease_is_told_if_it_is_more_than_is_known,
                an_audit_finds_who_is_not_at_the_tip,
                an_audit_of_many_takes_few_round_trips,
                who_is_connected_and_audited_is_not_forgotten,
                an_audit_under_a_lost_lease_is_refused;
            channels:
                who_falls_behind_is_told_to_doubt,
                what_is_too_large_for_a_channel_is_announced_and_read,
                payload_bytes_and_trace_context_survive;
            cursors:
                the_start_is_all_that_is_kept_without_a_gap,
                a_cursor_that_names_a_kept_notice_goes_on_after_it,
                a_cursor_at_the_floor_misses_nothing,
                a_cursor_below_the_floor_is_expired,
                a_cursor_that_names_nothing_there_is_reset,
                an_inbox_that_never_had_a_notice_has_a_beginning,
                a_user_without_an_inbox_has_an_empty_page,
                the_beginning_of_nobodys_inbox_goes_on_in_any,
                the_tip_is_where_to_go_on_from;
            dispatching:
                all_gateways_see_one_order_and_it_is_the_inboxs,
                a_racing_connect_finds_the_notice_or_is_told,
                only_owners_are_told,
                a_gateway_is_told_once_for_all_sessions_of_a_user,
                targets_are_the_sessions_of_that_moment,
                who_does_not_listen_is_a_target_unheard,
                user_ids_of_any_kind_do_not_mix,
                many_users_at_once;
            ending:
                ended_sessions_are_told_of_and_refused_from_then_on,
                who_was_let_in_since_registers,
                named_sessions_end_alone,
                old_tokens_are_refused_when_asked_for,
                what_became_of_an_ended_session_is_known,
                a_purge_leaves_nothing_but_what_keeps_sessions_out;
            expiry:
                a_notice_expires_its_ttl_after_it_was_accepted,
                reading_goes_over_what_has_expired,
                what_expired_before_it_was_taken_is_not_given;
            leases:
                a_name_is_held_by_one_at_a_time,
                of_many_at_once_one_gets_the_name,
                a_restart_takes_over_what_its_name_left,
                who_stopped_listening_is_taken_over_and_refused,
                who_dropped_its_lease_hears_the_end,
                a_released_lease_leaves_nothing,
                who_lost_its_lease_hears_it_and_is_refused,
                a_session_of_a_lost_lease_does_not_stay;
            limits:
                count_removes_the_oldest,
                count_keeps_what_was_promised_and_little_more,
                bytes_remove_the_oldest,
                a_notice_over_the_limit_is_kept_alone,
                age_removes_and_the_floor_remembers,
                a_user_long_silent_is_forgotten;
            pages:
                pages_are_bounded_by_count,
                pages_are_bounded_by_bytes_but_never_empty,
                the_first_page_of_a_connect_is_a_page_like_any,
                the_notifier_may_ask_for_less;
            places:
                a_notice_is_found_where_it_stands,
                what_is_found_of_nobody_is_nothing,
                what_a_limit_removed_is_below_the_floor,
                gateways_are_asked_for_places_and_answer;
            reaping:
                a_lapsed_gateway_is_left_out_of_presence_in_time,
                only_what_lapsed_is_reaped_and_once,
                nobody_reaps_before_a_whole_healthy_lease,
                a_session_that_moved_on_is_not_reaped;
            receipts:
                what_is_wanted_goes_with_the_notice_and_stays_with_it,
                a_retry_wants_for_itself,
                a_report_is_heard_by_who_wants_it_alone,
                a_report_that_nobody_hears_is_counted,
                reports_come_in_the_order_they_were_made,
                who_misses_reports_is_told_to_doubt,
                what_is_kept_is_found_by_the_notice,
                targets_are_kept_with_what_names_them_and_who_listened,
                nothing_is_kept_unless_acks_are_wanted,
                the_newest_receipts_are_kept,
                receipts_are_kept_for_their_time,
                what_comes_after_a_purge_is_not_kept;
            retries:
                a_retry_answers_with_the_first_one_and_tells_again,
                a_key_is_of_one_notice_one_user_and_one_caller,
                of_many_at_once_one_is_appended,
                a_key_outlives_its_notice_until_it_lapses,
                the_newest_keys_are_kept;
            sessions:
                presence_is_in_the_order_asked_and_oldest_first,
                a_disconnect_takes_that_session_alone,
                a_disconnect_takes_only_its_own,
                registering_again_replaces,
                a_session_moves_to_the_lease_that_registered_it_last;
            volatile:
                a_volatile_notice_goes_to_the_owners_and_to_no_inbox,
                a_volatile_notice_to_nobody_is_gone,
                a_volatile_notice_travels_whole_whatever_its_size,
                volatile_notices_that_nobody_takes_put_nothing_in_doubt,
                who_does_not_listen_misses_a_volatile_notice,
                a_broadcast_is_heard_by_every_gateway_that_is_alive;
        }
    };
    (@tests $fixture:path; $($module:ident: $($check:ident),+;)+) => {$(
        mod $module {
            #[allow(unused_imports, reason = "the path may be absolute")]
            use super::*;

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $check() {
                    $crate::conformance::run($fixture(), $crate::conformance::$module::$check).await;
                }
            )+
        }
    )+};
}
pub(crate) use conformance;
