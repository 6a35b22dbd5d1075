//! A place as it is handed to clients: opaque, and checked when it comes back.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{Epoch, Place, Position, UserId};

/// A place in one user's inbox, as clients carry it.
///
/// The text form is base64url of a version byte, the epoch, the place and a
/// check over all of that and the user: it finds mangled cursors and those of
/// another user. It is no signature: a cursor gives no access, it only says
/// where in one's own inbox to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The life of the inbox that the place belongs to.
    pub epoch: Epoch,
    /// The place.
    pub place: Place,
}

/// A text that is no cursor of this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor that Herald gave to this user")]
pub struct CursorError;

const VERSION: u8 = 1;
const BODY: usize = 1 + 8 + 8 + 4 + 4;
const LENGTH: usize = BODY + 4;

impl Cursor {
    /// The text to hand to a client of `user`; printable ASCII, 39 bytes.
    #[must_use]
    pub fn encode(&self, user: &UserId) -> String {
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.place.position.ms.to_be_bytes());
        bytes[17..21].copy_from_slice(&self.place.position.seq.to_be_bytes());
        bytes[21..25].copy_from_slice(&self.place.random.to_be_bytes());
        let check = checksum(user, &bytes[..BODY]);
        bytes[BODY..].copy_from_slice(&check);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads what a client of `user` handed in.
    ///
    /// # Errors
    /// [`CursorError`] when it is not one that [`Cursor::encode`] made for this
    /// user. It never refuses a connection; see [`crate::GapReason::Malformed`].
    pub fn decode(text: &str, user: &UserId) -> Result<Self, CursorError> {
        let mut bytes = [0; LENGTH];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).map_err(|_| CursorError)?;
        if length != LENGTH
            || bytes[0] != VERSION
            || bytes[BODY..] != checksum(user, &bytes[..BODY])
        {
            return Err(CursorError);
        }
        Ok(Self {
            epoch: Epoch(u64::from_be_bytes(part(&bytes, 1))),
            place: Place {
                position: Position {
                    ms: u64::from_be_bytes(part(&bytes, 9)),
                    seq: u32::from_be_bytes(part(&bytes, 17)),
                },
                random: u32::from_be_bytes(part(&bytes, 21)),
            },
        })
    }
}

fn part<const N: usize>(bytes: &[u8; LENGTH], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

/// FNV-1a, 64 bits folded to 32 (<http://www.isthe.com/chongo/tech/comp/fnv/>).
fn checksum(user: &UserId, body: &[u8]) -> [u8; 4] {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in user.as_str().bytes().chain(body.iter().copied()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
    [a ^ e, b ^ f, c ^ g, d ^ h]
}

impl fmt::Display for Cursor {
    /// For logs only; clients get [`Cursor::encode`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{:08x}", self.epoch, self.place.position, self.place.random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn user(id: &str) -> UserId {
        UserId::new(id).unwrap()
    }

    proptest! {
        #[test]
        fn what_was_given_comes_back(epoch: u64, ms: u64, seq: u32, random: u32) {
            let cursor = Cursor {
                epoch: Epoch(epoch),
                place: Place { position: Position { ms, seq }, random },
            };
            let text = cursor.encode(&user("alice"));
            prop_assert_eq!(text.len(), 39);
            prop_assert_eq!(Cursor::decode(&text, &user("alice")), Ok(cursor));
            prop_assert_eq!(Cursor::decode(&text, &user("bob")), Err(CursorError));
        }

        #[test]
        fn any_text_is_read_without_panic(text: String) {
            let _ = Cursor::decode(&text, &user("alice"));
        }

        #[test]
        fn one_changed_character_is_noticed(at in 0usize..38, with in "[A-Za-z0-9_-]") {
            let cursor = Cursor { epoch: Epoch(7), place: Place::ZERO };
            let text = cursor.encode(&user("alice"));
            let mut changed = text.clone();
            changed.replace_range(at..=at, &with);
            prop_assume!(changed != text);
            prop_assert_eq!(Cursor::decode(&changed, &user("alice")), Err(CursorError));
        }
    }
}
