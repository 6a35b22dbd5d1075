//! Questions: for an inbox, for one notice, for who is there.

use herald_backplane::Since;
use herald_core::{Cursor, NoticeId, Place, UserId};
use herald_proto::api;

use super::Limits;
use crate::{
    error::Error,
    field::{Path, Violations},
    page_token,
};

/// Most users in one question about presence.
const PRESENCE_USERS: usize = 1_000;

/// What to read of an inbox.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) user: UserId,
    /// From where; `None` when the cursor is not readable, which is reported and not refused.
    pub(crate) since: Option<Since>,
    /// The cursor as it was given, which the next page's token is bound to.
    pub(crate) cursor: String,
    /// Most notices on the page.
    pub(crate) notices: u32,
}

/// Checks a question for an inbox.
pub(crate) fn listing(
    request: api::ListNoticesRequest,
    at: &Path<'_>,
    limits: &Limits,
) -> Result<Listing, Error> {
    let api::ListNoticesRequest { user_id, cursor, page_size, page_token } = request;
    let mut violations = Violations::default();
    let limit = limits.inbox.page_notices;
    if page_size > limit {
        let wrong = format_args!("must be at most {limit}, got {page_size}");
        violations.add(at.field("page_size"), wrong);
    }
    let user = violations.check(at.field("user_id"), UserId::new(&user_id));
    // Neither can be read without knowing whose it is.
    let since = user.as_ref().and_then(|user| match (page_token.as_str(), cursor.as_str()) {
        ("", "") => Some(Since::Start),
        ("", cursor) => Cursor::decode(cursor, user).ok().map(Since::After),
        (token, cursor) => {
            let place = page_token::decode(token, user, cursor);
            violations.check(at.field("page_token"), place).map(Since::After)
        }
    });
    violations.finish()?;
    let user = user.ok_or(Error::Internal)?;
    let notices = if page_size == 0 { limit } else { page_size };
    Ok(Listing { user, since, cursor, notices })
}

/// Checks a question for what became of a notice.
pub(crate) fn explanation(
    request: &api::ExplainNoticeRequest,
    at: &Path<'_>,
) -> Result<(UserId, Place), Error> {
    let mut violations = Violations::default();
    let user = violations.check(at.field("user_id"), UserId::new(&request.user_id));
    let wrong = "must be the id of a notice that was accepted, as in `1764000000000-0-89abcdef`; \
                 a volatile notice has another one, and leaves no trace";
    let id = request.notice_id.parse::<NoticeId>().map_err(|_| wrong);
    let id = violations.check(at.field("notice_id"), id);
    violations.finish()?;
    // Each absence was noted as a violation.
    user.zip(id).map(|(user, NoticeId(place))| (user, place)).ok_or(Error::Internal)
}

/// Checks a question for presence.
pub(crate) fn presence(
    request: &api::BatchGetPresenceRequest,
    at: &Path<'_>,
) -> Result<Vec<UserId>, Error> {
    let mut violations = Violations::default();
    let at = at.field("user_ids");
    let asked = request.user_ids.len();
    if !(1..=PRESENCE_USERS).contains(&asked) {
        violations.add(at, format_args!("must hold 1 to {PRESENCE_USERS} ids, got {asked}"));
    }
    let users = request
        .user_ids
        .iter()
        .take(PRESENCE_USERS)
        .enumerate()
        .filter_map(|(index, id)| violations.check(at.item(index), UserId::new(id)))
        .collect();
    violations.finish()?;
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::{
        super::samples::{limits, violations},
        *,
    };
    use crate::field::Names;

    #[test]
    fn an_unreadable_cursor_is_no_fault_but_a_foreign_page_token_is() {
        let root = Path::root(Names::Proto);
        let ask = |cursor: &str, token: &str| api::ListNoticesRequest {
            user_id: "alice".into(),
            cursor: cursor.into(),
            page_token: token.into(),
            ..Default::default()
        };
        let listing = |request| listing(request, &root, &limits());
        assert_eq!(listing(ask("", "")).unwrap().since, Some(Since::Start));
        assert_eq!(listing(ask("nonsense", "")).unwrap().since, None);
        let listed = violations(listing(ask("", "nonsense")).unwrap_err());
        assert_eq!(listed[0].0, "page_token");
        let many = api::ListNoticesRequest { page_size: 101, ..ask("", "") };
        let listed = violations(listing(many).unwrap_err());
        assert_eq!(listed, [("page_size".into(), "must be at most 100, got 101".into())]);
    }

    #[test]
    fn presence_names_every_bad_id_and_its_own_limit() {
        let root = Path::root(Names::Json);
        let ask = |ids: &[&str]| api::BatchGetPresenceRequest {
            user_ids: ids.iter().map(|&id| id.to_owned()).collect(),
        };
        assert_eq!(presence(&ask(&["a", "b", "a"]), &root).unwrap().len(), 3);
        let fields: Vec<String> = violations(presence(&ask(&["a", "", "\n"]), &root).unwrap_err())
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(fields, ["userIds[1]", "userIds[2]"]);
        for count in [0, 1_001] {
            let listed = violations(presence(&ask(&vec!["a"; count]), &root).unwrap_err());
            assert_eq!(listed[0].1, format!("must hold 1 to 1000 ids, got {count}"));
        }
    }
}
