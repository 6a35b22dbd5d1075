//! What `dispatch.lua` gives of a notice that it took. It is one text: as a list of fourteen, Redis takes
//! longer to make it, and the client library much longer to read it.

use bytes::{Buf as _, Bytes, TryGetError};
use herald_core::{Epoch, Place};
use redis::Value;

use super::{
    dispatch::{Listeners, Told, targets},
    error::unexpected,
    inbox::place,
};
use crate::{BackplaneError, Dispatched};

/// A notice that the script took.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) at_ms: u64,
    pub(super) place: Place,
    epoch: Epoch,
    duplicate: bool,
    told: Told,
    /// Ids and entries.
    sessions: Vec<(Bytes, Bytes)>,
}

impl Accepted {
    /// Reads what the script gave of it.
    pub(super) fn read(answer: Value) -> Result<Self, BackplaneError> {
        let Value::BulkString(packed) = answer else {
            return Err(unexpected("dispatch", "not a text"));
        };
        let short = |_| unexpected("dispatch", "it ends too early");
        let mut packed = Bytes::from(packed);
        let at_ms = packed.try_get_u64_le().map_err(short)?;
        let duplicate = packed.try_get_u8().map_err(short)? != 0;
        let [position, random, epoch] = [name(&mut packed), name(&mut packed), name(&mut packed)]
            .map(|name| name.map_err(short));
        let (position, random, epoch) = (position?, random?, epoch?);
        let message = long(&mut packed).map_err(short)?.into();
        let mut listeners = Listeners::new();
        for _ in 0..packed.try_get_u16_le().map_err(short)? {
            let gateway = name(&mut packed).map_err(short)?;
            let gateway = text(&gateway)?.to_owned();
            listeners.push((gateway, packed.try_get_u32_le().map_err(short)?.into()));
        }
        let mut sessions = Vec::new();
        while packed.has_remaining() {
            let id = name(&mut packed).map_err(short)?;
            sessions.push((id, long(&mut packed).map_err(short)?));
        }
        let place = place(text(&position)?, text(&random)?)?;
        let epoch = text(&epoch)?.parse().map_err(|error| unexpected("dispatch", error))?;
        Ok(Self { at_ms, place, epoch, duplicate, told: (message, listeners), sessions })
    }

    /// Who was told, where the script did that itself.
    pub(super) fn take_told(&mut self) -> Told {
        std::mem::take(&mut self.told)
    }

    /// What became of it, once the gateways were told.
    pub(super) fn dispatched(self, listeners: Listeners) -> Result<Dispatched, BackplaneError> {
        let Self { at_ms, place, epoch, duplicate, sessions, .. } = self;
        let targets = targets(&sessions, listeners)?;
        Ok(Dispatched { place, epoch, duplicate, at_ms, targets })
    }
}

/// Up to 255 bytes.
fn name(packed: &mut Bytes) -> Result<Bytes, TryGetError> {
    let size = packed.try_get_u8()?.into();
    split(packed, size)
}

/// Up to 4 GiB.
fn long(packed: &mut Bytes) -> Result<Bytes, TryGetError> {
    let size = packed.try_get_u32_le()?;
    split(packed, usize::try_from(size).unwrap_or(usize::MAX))
}

fn split(packed: &mut Bytes, size: usize) -> Result<Bytes, TryGetError> {
    if packed.remaining() < size {
        return Err(TryGetError { requested: size, available: packed.remaining() });
    }
    Ok(packed.split_to(size))
}

fn text(bytes: &Bytes) -> Result<&str, BackplaneError> {
    std::str::from_utf8(bytes).map_err(|error| unexpected("dispatch", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &[u8] = b"\x02id\x05\0\0\0entry";

    /// Of a notice with one listener and one session.
    fn packed() -> Vec<u8> {
        let head: [&[u8]; 9] = [
            &7_u64.to_le_bytes(),
            &[1],
            b"\x035-1",
            b"\x0800c0ffee",
            b"\x100123456789abcdef",
            b"\x03\0\0\0all",
            &1_u16.to_le_bytes(),
            b"\x02g1",
            &2_u32.to_le_bytes(),
        ];
        [&head.concat(), SESSION].concat()
    }

    fn read(packed: &[u8]) -> Result<Accepted, BackplaneError> {
        Accepted::read(Value::BulkString(packed.to_vec()))
    }

    #[test]
    fn all_of_it_is_read() {
        let accepted = read(&packed()).unwrap();
        assert_eq!((accepted.at_ms, accepted.duplicate), (7, true));
        assert_eq!((accepted.place.position.ms, accepted.place.position.seq), (5, 1));
        assert_eq!((accepted.place.random, accepted.epoch.0), (0xc0_ffee, 0x0123_4567_89ab_cdef));
        assert_eq!(accepted.told, (b"all".to_vec(), vec![("g1".to_owned(), 2)]));
        assert_eq!(accepted.sessions, [(Bytes::from("id"), Bytes::from("entry"))]);
    }

    #[test]
    fn what_ends_too_early_is_an_error() {
        let packed = packed();
        let whole = packed.len() - SESSION.len();
        for size in (0..packed.len()).filter(|size| *size != whole) {
            assert!(read(&packed[..size]).is_err(), "the first {size} bytes");
        }
        assert!(read(&packed[..whole]).unwrap().sessions.is_empty());
        assert!(Accepted::read(Value::Nil).is_err());
    }
}
