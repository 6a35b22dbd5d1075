//! Nothing accepted is lost, doubled or out of order: not on a restless network, not under racing
//! senders, not when the channel is cut, a socket stops reading, or Redis loses what it had.
//!
//! The long versions are left out of `make test`: `make jitter` and `make soak` run them.

mod channel;
mod jitter;
mod order;
mod reset;
mod slow;

use std::time::Duration;

use herald_e2e::Notifier;
use herald_proto::api::{self, ListNoticesRequest};

use crate::support::api;

/// All that a user's inbox keeps, oldest first.
async fn whole_inbox(notifier: &Notifier, user: &str) -> Vec<api::Notice> {
    let mut request =
        ListNoticesRequest { user_id: user.to_owned(), page_size: 100, ..Default::default() };
    let mut notices = Vec::new();
    loop {
        let answer = api(notifier).list_notices(request.clone()).await.unwrap().into_inner();
        notices.extend(answer.notices);
        if answer.next_page_token.is_empty() {
            return notices;
        }
        request.page_token = answer.next_page_token;
    }
}

/// The time that this share of the samples does not exceed; zero without samples.
pub(crate) fn quantile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    samples.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}
