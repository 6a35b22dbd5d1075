//! A page of a user's inbox.

use herald_backplane::{InboxNotice, Page, Since};
use herald_core::{Cursor, Epoch, GapReason, NoticeId, Place, UserId};
use herald_proto::{api, time::timestamp_from_unix_ms};

use crate::{
    call::{Call, Context},
    error::{Error, Work},
    field::Path,
    page_token,
    validate::{self, Listing},
};

/// Serves ListNotices.
pub(crate) async fn list_notices(
    context: &Context,
    call: &Call,
    request: api::ListNoticesRequest,
) -> Result<api::ListNoticesResponse, Error> {
    let listing = validate::listing(request, &Path::root(call.names()), &context.limits)?;
    call.caller().may_reach(&listing.user)?;
    // Like everywhere, a cursor that cannot be read is answered with all that is kept.
    let since = listing.since.unwrap_or(Since::Start);
    let read = context.port.read(&listing.user, since, listing.notices);
    let mut page = call.backplane(Work::Read, read).await?;
    if listing.since.is_none() {
        page.gap = Some(GapReason::Malformed);
    }
    Ok(response(&listing, page))
}

fn response(Listing { user, cursor, .. }: &Listing, page: Page) -> api::ListNoticesResponse {
    let at = |place: Place| Cursor { epoch: page.epoch, place }.encode(user);
    let gap = match page.gap {
        None => api::GapReason::None,
        Some(GapReason::Expired) => api::GapReason::Expired,
        Some(GapReason::Reset) => api::GapReason::Reset,
        Some(GapReason::Malformed) => api::GapReason::Malformed,
    };
    let next_page_token =
        if page.more() { page_token::encode(page.cursor(), user, cursor) } else { String::new() };
    api::ListNoticesResponse {
        next_page_token,
        cursor: at(page.reached),
        tip_cursor: at(page.tip),
        // The notice that stood at the floor is gone, its random part with it.
        floor_cursor: at(Place { position: page.floor, random: 0 }),
        complete: page.gap.is_none(),
        gap_reason: gap.into(),
        notices: page
            .notices
            .into_iter()
            .map(|notice| self::notice(notice, page.epoch, user))
            .collect(),
    }
}

fn notice(
    InboxNotice { place, notice, expires_at_ms, .. }: InboxNotice,
    epoch: Epoch,
    user: &UserId,
) -> api::Notice {
    api::Notice {
        id: NoticeId(place).to_string(),
        event: notice.event.to_string(),
        json: notice.payload.bytes().clone(),
        create_time: Some(timestamp_from_unix_ms(place.position.ms)),
        expire_time: (expires_at_ms != 0).then(|| timestamp_from_unix_ms(expires_at_ms)),
        cursor: Cursor { epoch, place }.encode(user),
    }
}

#[cfg(test)]
mod tests {
    use herald_core::{EventName, Notice, Payload, Position};

    use super::*;

    fn place(ms: u64) -> Place {
        Place { position: Position { ms, seq: 0 }, random: 7 }
    }

    fn page(gap: Option<GapReason>, reached: Place) -> Page {
        let notice = Notice {
            event: EventName::notice(),
            payload: Payload::new("{ }", 10).unwrap(),
            traceparent: None,
        };
        Page {
            epoch: Epoch(1),
            start: place(1),
            gap,
            notices: vec![InboxNotice {
                place: place(2),
                notice,
                expires_at_ms: 0,
                receipts: None,
            }],
            reached,
            tip: place(9),
            floor: Position { ms: 1, seq: 0 },
        }
    }

    fn listing() -> Listing {
        let user = UserId::new("alice").unwrap();
        Listing { user, since: Some(Since::Start), cursor: String::new(), notices: 100 }
    }

    #[test]
    fn every_place_is_a_cursor_of_that_user() {
        let answer = response(&listing(), page(None, place(5)));
        let place_of = |text: &str| Cursor::decode(text, &listing().user).unwrap().place;
        assert_eq!(place_of(&answer.cursor), place(5));
        assert_eq!(place_of(&answer.tip_cursor), place(9));
        assert_eq!(place_of(&answer.floor_cursor).position.ms, 1);
        assert_eq!(place_of(&answer.notices[0].cursor), place(2));
        assert_eq!(answer.notices[0].json, "{ }");
        assert_eq!(answer.notices[0].expire_time, None);
    }

    #[test]
    fn there_is_a_next_page_until_the_tip_is_reached() {
        let answer = response(&listing(), page(None, place(5)));
        let next = page_token::decode(&answer.next_page_token, &listing().user, "").unwrap();
        assert_eq!(next.place, place(5));
        let answer = response(&listing(), page(None, place(9)));
        assert_eq!(answer.next_page_token, "");
    }

    #[test]
    fn complete_is_when_there_is_no_gap() {
        for (gap, reason) in [
            (None, api::GapReason::None),
            (Some(GapReason::Expired), api::GapReason::Expired),
            (Some(GapReason::Reset), api::GapReason::Reset),
            (Some(GapReason::Malformed), api::GapReason::Malformed),
        ] {
            let answer = response(&listing(), page(gap, place(9)));
            assert_eq!((answer.complete, answer.gap_reason()), (gap.is_none(), reason));
        }
    }
}
