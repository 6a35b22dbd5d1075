//! The token of a further page of an inbox.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use herald_core::{Cursor, UserId};

const VERSION: u8 = 1;

/// A token that is not one of ours, or not one for this question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not the token of a page of this user's inbox, read from this cursor")]
pub(crate) struct TokenError;

/// The token for what comes after `place`, of a reading that began at the cursor `from` (as the
/// caller gave it).
///
/// Opaque to callers: base64url of a version byte, a digest of `from`, and the place as a cursor,
/// whose own check covers the user.
pub(crate) fn encode(place: Cursor, user: &UserId, from: &str) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&digest(from));
    bytes.extend_from_slice(place.encode(user).as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that a token stands for.
///
/// # Errors
/// [`TokenError`] unless it was made for the same user and cursor.
pub(crate) fn decode(token: &str, user: &UserId, from: &str) -> Result<Cursor, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| TokenError)?;
    let rest = bytes.strip_prefix(&[VERSION]).ok_or(TokenError)?;
    let place = rest.strip_prefix(&digest(from)).ok_or(TokenError)?;
    let place = std::str::from_utf8(place).map_err(|_| TokenError)?;
    Cursor::decode(place, user).map_err(|_| TokenError)
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>): it finds mistakes, and protects nothing.
fn digest(from: &str) -> [u8; 8] {
    let hash = from.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use herald_core::{Epoch, Place, Position};

    use super::*;

    #[test]
    fn a_token_is_good_for_its_user_and_cursor_only() {
        let user = |id: &str| UserId::new(id).unwrap();
        let position = Position { ms: 5, seq: 1 };
        let place = Cursor { epoch: Epoch(7), place: Place { position, random: 9 } };
        let token = encode(place, &user("alice"), "from");
        assert_eq!(decode(&token, &user("alice"), "from"), Ok(place));
        assert_eq!(decode(&token, &user("bob"), "from"), Err(TokenError));
        assert_eq!(decode(&token, &user("alice"), ""), Err(TokenError));
        for bad in ["", "é", "AAAA", &token[1..], &place.encode(&user("alice"))] {
            assert_eq!(decode(bad, &user("alice"), "from"), Err(TokenError), "{bad}");
        }
    }
}
