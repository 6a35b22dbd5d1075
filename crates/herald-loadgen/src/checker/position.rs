//! What is inside of ids and cursors. To clients both are opaque; a checker that is to tell a loss
//! that was told from one that was not has to look.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// A place in an inbox: milliseconds, and the notice's number within them.
pub(super) type Position = (u64, u32);

/// Before every notice.
pub(super) const ZERO: Position = (0, 0);

/// Of a notice's id: `<milliseconds>-<number>-<random>`.
pub(super) fn of_id(id: &str) -> Option<Position> {
    let mut parts = id.split('-');
    let ms = parts.next()?.parse().ok()?;
    Some((ms, parts.next().map_or(Ok(0), str::parse).ok()?))
}

/// Of a cursor: base64url of a version byte, eight bytes of an epoch, the position, and more.
pub(super) fn of_cursor(cursor: &str) -> Option<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let ms = bytes.get(9..17)?.try_into().ok()?;
    let number = bytes.get(17..21)?.try_into().ok()?;
    Some((u64::from_be_bytes(ms), u32::from_be_bytes(number)))
}

#[cfg(test)]
pub(super) fn cursor(position: Position) -> String {
    let mut bytes = vec![0; 29];
    bytes[9..17].copy_from_slice(&position.0.to_be_bytes());
    bytes[17..21].copy_from_slice(&position.1.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_from_ids_and_cursors() {
        assert_eq!(of_id("1795420800000-2-000000ab"), Some((1_795_420_800_000, 2)));
        assert_eq!(of_id("volatile"), None);
        assert_eq!(of_cursor(&cursor((7, 3))), Some((7, 3)));
        assert_eq!(of_cursor("AAAA"), None);
    }
}
