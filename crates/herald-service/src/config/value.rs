//! Types an option can have.

use std::{
    fmt,
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use super::secret::Secret;

/// A type that an option can have. Implement it for an enum of choices; for a type of another
/// crate use [`Reader::parsed`](super::Reader::parsed).
pub trait Value: Sized + 'static {
    /// The placeholder in `--help`, upper case: `ADDRESS:PORT`.
    const PLACEHOLDER: &'static str;
    /// What a fault says is expected: `an address and a port`.
    const EXPECTED: &'static str;
    /// A valid value, shown in faults.
    const EXAMPLE: &'static str;
    /// What the flag without a value means, if that is allowed.
    const BARE: Option<&'static str> = None;

    /// Parses a value. The error says what is wrong, without repeating the value.
    fn parse(text: &str) -> Result<Self, String>;
}

macro_rules! from_str_values {
    ($($type:ty: $placeholder:literal, $expected:literal, $example:literal;)*) => {$(
        impl Value for $type {
            const PLACEHOLDER: &'static str = $placeholder;
            const EXPECTED: &'static str = $expected;
            const EXAMPLE: &'static str = $example;

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error| format!("{error}"))
            }
        }
    )*};
}

from_str_values! {
    SocketAddr: "ADDRESS:PORT", "an IP address and a port", "127.0.0.1:8013";
    u16: "NUMBER", "a whole number up to 65535", "10";
    u32: "NUMBER", "a whole number", "10";
    u64: "NUMBER", "a whole number", "10";
    usize: "NUMBER", "a whole number", "10";
    NonZeroU16: "NUMBER", "a whole number from 1 to 65535", "10";
    NonZeroU32: "NUMBER", "a whole number from 1", "10";
    NonZeroU64: "NUMBER", "a whole number from 1", "10";
    NonZeroUsize: "NUMBER", "a whole number from 1", "10";
    f64: "NUMBER", "a number", "0.5";
    PathBuf: "PATH", "a path", "/etc/herald/file";
    String: "TEXT", "text", "text";
}

impl Value for bool {
    const PLACEHOLDER: &'static str = "true|false";
    const EXPECTED: &'static str = "true or false";
    const EXAMPLE: &'static str = "true";
    const BARE: Option<&'static str> = Some("true");

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("neither true nor false".into()),
        }
    }
}

impl Value for Secret {
    const PLACEHOLDER: &'static str = "SECRET";
    const EXPECTED: &'static str = "a secret";
    const EXAMPLE: &'static str = "a-long-random-text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::new(text))
    }
}

/// Comma-separated; blanks around an item and empty items are dropped.
impl<T: Value> Value for Vec<T> {
    const PLACEHOLDER: &'static str = "A,B,…";
    const EXPECTED: &'static str = "a comma-separated list";
    const EXAMPLE: &'static str = T::EXAMPLE;

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| {
                T::parse(item)
                    .map_err(|wrong| format!("in an item: {wrong}; each is {}", T::EXPECTED))
            })
            .collect()
    }
}

/// `250ms`, `10s`, `5m`, `24h`, `30d`, also `1m30s`. A bare number is refused (but for `0`): whoever
/// writes it has a unit in mind, and it may not be ours.
impl Value for Duration {
    const PLACEHOLDER: &'static str = "DURATION";
    const EXPECTED: &'static str = "a duration with its unit (ms, s, m, h, d)";
    const EXAMPLE: &'static str = "10s";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self::ZERO);
        }
        let mut rest = text;
        let mut total = Self::ZERO;
        while !rest.is_empty() {
            let (number, tail) = split_number(rest)?;
            let unit_length = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_length);
            let millis = match unit.trim() {
                "ms" => 1,
                "s" => 1_000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "" => return Err("has no unit".into()),
                _ => return Err("has an unknown unit".into()),
            };
            total = number
                .checked_mul(millis)
                .and_then(|millis| total.checked_add(Self::from_millis(millis)))
                .ok_or("is too long")?;
            rest = tail;
        }
        if text.is_empty() { Err("is empty".into()) } else { Ok(total) }
    }
}

/// A number of bytes: `65536`, `64KiB`, `1MiB`, `2GiB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// This many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory, saturating on narrow targets.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// As `Display`: `64KiB` says more than `ByteSize(65536)`.
impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Value for ByteSize {
    const PLACEHOLDER: &'static str = "BYTES";
    const EXPECTED: &'static str = "a number of bytes, plain or in KiB, MiB or GiB";
    const EXAMPLE: &'static str = "64KiB";

    fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = split_number(text)?;
        let scale: u64 = match unit.trim() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err("has an unknown unit".into()),
        };
        number.checked_mul(scale).map(Self).ok_or_else(|| "is too large".into())
    }
}

/// The digits that a text starts with, and the rest.
fn split_number(text: &str) -> Result<(u64, &str), String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Err("does not start with a number".into());
    }
    Ok((digits.parse().map_err(|_| "is too large")?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_may_be_composed() {
        let parse = <Duration as Value>::parse;
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(parse("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        for bad in [
            "",
            "10",
            "s",
            "10 lightyears",
            "-1s",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_plain_bytes_or_binary_units() {
        let parse = |text| <ByteSize as Value>::parse(text).map(ByteSize::bytes);
        assert_eq!(parse("65536"), Ok(65_536));
        assert_eq!(parse("64KiB"), Ok(65_536));
        assert_eq!(parse("1 MiB"), Ok(1 << 20));
        for bad in ["", "KiB", "64KB", "1.5MiB", "99999999999GiB"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(ByteSize::new(65_536).to_string(), "64KiB");
        assert_eq!(ByteSize::new(1_000).to_string(), "1000B");
    }

    #[test]
    fn lists_drop_blanks_and_name_the_item_type() {
        assert_eq!(<Vec<String> as Value>::parse(" a, b,,"), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(<Vec<String> as Value>::parse(""), Ok(vec![]));
        let wrong = <Vec<SocketAddr> as Value>::parse("127.0.0.1:1,nonsense").unwrap_err();
        assert!(wrong.contains("an IP address and a port"), "{wrong}");
    }

    #[test]
    fn booleans_know_the_usual_spellings_only() {
        assert_eq!(<bool as Value>::parse("TRUE"), Ok(true));
        assert_eq!(<bool as Value>::parse("off"), Ok(false));
        assert!(<bool as Value>::parse("maybe").is_err());
    }
}
