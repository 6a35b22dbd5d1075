//! Reading inboxes, and registering a session in the same step.

use bytes::Bytes;
use herald_core::{Cursor, Epoch, GapReason, Place, SessionId, UserId};
use redis::{Cmd, FromRedisValue, Value};

use super::{Redis, error::unexpected, eval, lives::Lives, millis};
use crate::{
    BackplaneError, InboxNotice, Mark, Page, Since,
    wire::{self, Stored},
};

/// What `read.lua` gives for a user with a state record.
type Answer = (u64, String, String, String, String, String, String, String, bool, Vec<Vec<u8>>);

impl Redis {
    pub(crate) async fn tip(&self, user: &UserId) -> Result<Option<Cursor>, BackplaneError> {
        let mut get = Cmd::new();
        let key = self.inner.keys.state(user);
        get.arg("HMGET").arg(&key).arg(&["e", "l", "r"]);
        type Fields = (Option<String>, Option<String>, Option<String>);
        let fields: Fields = self.inner.servers.command(&key, get).await?;
        let (Some(epoch), Some(position), Some(random)) = fields else {
            return Ok(None);
        };
        Ok(Some(Cursor { epoch: parse(&epoch)?, place: place(&position, &random)? }))
    }

    pub(crate) async fn read(
        &self,
        user: &UserId,
        since: Since,
        max_notices: u32,
    ) -> Result<Page, BackplaneError> {
        self.read_and_register(user, since, max_notices, None).await
    }

    /// One page, with `registers` put into the user's registry in the same step.
    pub(super) async fn read_and_register(
        &self,
        user: &UserId,
        since: Since,
        max_notices: u32,
        registers: Option<(SessionId, &[u8], Mark)>,
    ) -> Result<Page, BackplaneError> {
        let inner = &*self.inner;
        let limits = &inner.options.inbox;
        let keys = inner.keys.user(user);
        let (id, session, mark) = registers
            .map_or((String::new(), &[][..], Mark::default()), |(id, value, mark)| {
                (id.to_string(), value, mark)
            });
        let call = |deadline: i64| {
            let mut call = eval(&inner.scripts.read, &keys);
            call.arg(deadline);
            match since {
                Since::Start => call.arg("start").arg("").arg("").arg(""),
                Since::After(cursor) => call
                    .arg("after")
                    .arg(cursor.epoch.to_string())
                    .arg(cursor.place.position.to_string())
                    .arg(format!("{:08x}", cursor.place.random)),
            };
            call.arg(max_notices.clamp(1, limits.page_notices))
                .arg(limits.page_bytes)
                .arg(millis(limits.age))
                .arg(Lives::of(&inner.options.inbox).state)
                .arg(Epoch::random().to_string())
                .arg(&id)
                .arg(session)
                .arg(mark.0);
            call
        };
        let answer: Vec<Value> = inner.servers.script(&keys[0], &inner.scripts.read, call).await?;
        if answer.len() == 1 {
            return Ok(Page::of_nobody(since));
        }
        page(
            Answer::from_redis_value(Value::Array(answer))
                .map_err(|error| unexpected("read", error))?,
        )
    }
}

fn page(answer: Answer) -> Result<Page, BackplaneError> {
    let (now, epoch, tip, tip_random, floor, gap, start, start_random, more, entries) = answer;
    let tip = place(&tip, &tip_random)?;
    let mut last = None;
    let mut notices = Vec::with_capacity(entries.len() / 3);
    let mut entries = entries.into_iter();
    while let (Some(position), Some(random), Some(stored)) =
        (entries.next(), entries.next(), entries.next())
    {
        let place = place(text(&position)?, text(&random)?)?;
        let Stored { notice, expires_at_ms, receipts } = wire::decode_notice(Bytes::from(stored))?;
        last = Some(place);
        if expires_at_ms == 0 || expires_at_ms > now {
            notices.push(InboxNotice { place, notice, expires_at_ms, receipts });
        }
    }
    let start = place(&start, &start_random)?;
    Ok(Page {
        epoch: parse(&epoch)?,
        start,
        gap: match gap.as_str() {
            "" => None,
            "expired" => Some(GapReason::Expired),
            "reset" => Some(GapReason::Reset),
            other => return Err(unexpected("read", format!("unknown gap `{other}`"))),
        },
        notices,
        reached: if more { last.unwrap_or(start) } else { tip },
        tip,
        floor: parse(&floor)?,
    })
}

fn text(bytes: &[u8]) -> Result<&str, BackplaneError> {
    std::str::from_utf8(bytes).map_err(|error| unexpected("read", error))
}

pub(super) fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: &str,
) -> Result<T, BackplaneError> {
    text.parse().map_err(|error| unexpected("read", format!("`{text}`: {error}")))
}

pub(super) fn place(position: &str, random: &str) -> Result<Place, BackplaneError> {
    let random = u32::from_str_radix(random, 16).map_err(|error| unexpected("read", error))?;
    Ok(Place { position: parse(position)?, random })
}
