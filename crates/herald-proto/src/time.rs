//! `google.protobuf.Duration` and `Timestamp`: as the standard library's types, as milliseconds, and
//! as the strings of protobuf's JSON mapping (`"3.5s"`, RFC 3339).

use std::time::Duration as StdDuration;

use prost_types::{Duration, Timestamp};

/// The longest duration that protobuf allows, in seconds: 10,000 years.
const MAX_SECONDS: i64 = 315_576_000_000;

/// Why a duration cannot be used. The messages are meant for the caller of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Below zero.
    #[error("a negative duration")]
    Negative,
    /// Beyond the ±10,000 years of protobuf, or with fractions of another sign or above one second.
    #[error("not a valid google.protobuf.Duration")]
    Invalid,
    /// Not a number of seconds with at most nine decimals and the suffix `s`.
    #[error("not a duration: write seconds with the suffix s, as in \"3.5s\"")]
    Syntax,
}

/// A duration of the API as the standard library's.
///
/// # Errors
///
/// [`DurationError::Negative`] and [`DurationError::Invalid`].
pub fn duration_to_std(duration: &Duration) -> Result<StdDuration, DurationError> {
    check(duration)?;
    match (u64::try_from(duration.seconds), u32::try_from(duration.nanos)) {
        (Ok(seconds), Ok(nanos)) => Ok(StdDuration::new(seconds, nanos)),
        _ => Err(DurationError::Negative),
    }
}

/// The standard library's duration as one of the API, cut to the 10,000 years that protobuf allows.
#[must_use]
pub fn duration_from_std(duration: StdDuration) -> Duration {
    match i64::try_from(duration.as_secs()) {
        Ok(seconds) if seconds < MAX_SECONDS => {
            Duration { seconds, nanos: duration.subsec_nanos().cast_signed() }
        }
        _ => Duration { seconds: MAX_SECONDS, nanos: 0 },
    }
}

/// The duration's string in JSON: seconds with 0, 3, 6 or 9 decimals and the suffix `s`.
///
/// # Errors
///
/// [`DurationError::Invalid`].
pub fn duration_to_string(duration: &Duration) -> Result<String, DurationError> {
    check(duration)?;
    Ok(duration.to_string())
}

/// Reads a duration's string in JSON: `"5s"`, `"0.250s"`, `"-1s"`.
///
/// # Errors
///
/// [`DurationError::Syntax`] and [`DurationError::Invalid`].
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let decimals = text.split_once('.').map_or(0, |(_, rest)| rest.len());
    if decimals > "123456789s".len() {
        return Err(DurationError::Syntax);
    }
    let duration = text.parse().map_err(|_| DurationError::Syntax)?;
    check(&duration)?;
    Ok(duration)
}

fn check(duration: &Duration) -> Result<(), DurationError> {
    let Duration { seconds, nanos } = *duration;
    let in_range = (-MAX_SECONDS..=MAX_SECONDS).contains(&seconds)
        && (-999_999_999..=999_999_999).contains(&nanos);
    let one_sign = (seconds <= 0 || nanos >= 0) && (seconds >= 0 || nanos <= 0);
    if in_range && one_sign { Ok(()) } else { Err(DurationError::Invalid) }
}

/// The time that lies so many milliseconds after the Unix epoch.
#[must_use]
pub fn timestamp_from_unix_ms(ms: u64) -> Timestamp {
    // Neither cast can wrap: the quotient is below 2^55, the remainder below 10^9.
    Timestamp { seconds: (ms / 1_000).cast_signed(), nanos: ((ms % 1_000) as i32) * 1_000_000 }
}

/// Milliseconds since the Unix epoch, rounded down; `None` before it or beyond what fits.
#[must_use]
pub fn timestamp_to_unix_ms(time: &Timestamp) -> Option<u64> {
    let seconds = u64::try_from(time.seconds).ok()?;
    let nanos = u64::try_from(time.nanos).ok()?;
    seconds.checked_mul(1_000)?.checked_add(nanos / 1_000_000)
}

/// The time as RFC 3339 in UTC, with 0, 3, 6 or 9 decimals: `2026-11-23T07:44:05.250Z`.
#[must_use]
pub fn timestamp_to_rfc3339(time: &Timestamp) -> String {
    time.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn duration(seconds: i64, nanos: i32) -> Duration {
        Duration { seconds, nanos }
    }

    #[test]
    fn durations_print_as_protobuf_json_does() {
        let printed = |s, n| duration_to_string(&duration(s, n)).expect("valid");
        assert_eq!(printed(0, 0), "0s");
        assert_eq!(printed(3, 500_000_000), "3.500s");
        assert_eq!(printed(0, 1_000), "0.000001s");
        assert_eq!(printed(-1, -1), "-1.000000001s");
    }

    #[test]
    fn durations_are_read_as_protobuf_json_writes_them() {
        assert_eq!(parse_duration("5s"), Ok(duration(5, 0)));
        assert_eq!(parse_duration("3.5s"), Ok(duration(3, 500_000_000)));
        assert_eq!(parse_duration("0.000000001s"), Ok(duration(0, 1)));
        assert_eq!(parse_duration("-0.5s"), Ok(duration(0, -500_000_000)));
        assert_eq!(parse_duration("315576000000s"), Ok(duration(MAX_SECONDS, 0)));
    }

    #[test]
    fn other_strings_are_not_durations() {
        for bad in [
            "",
            "s",
            "5",
            "5 s",
            "5m",
            "+5s",
            ".5s",
            "5.s",
            "1e3s",
            "0x1s",
            "5s5s",
            "٣s",
            "0.1234567891s",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration(bad), Err(DurationError::Syntax), "{bad:?}");
        }
        assert_eq!(parse_duration("315576000001s"), Err(DurationError::Invalid));
    }

    #[test]
    fn malformed_durations_are_refused_without_overflow() {
        for (seconds, nanos) in [
            (i64::MIN, 0),
            (i64::MAX, i32::MAX),
            (0, i32::MIN),
            (0, 1_000_000_000),
            (1, -1),
            (-1, 1),
        ] {
            let bad = duration(seconds, nanos);
            assert_eq!(duration_to_std(&bad), Err(DurationError::Invalid));
            assert_eq!(duration_to_string(&bad), Err(DurationError::Invalid));
        }
    }

    #[test]
    fn negative_durations_are_named_so() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (-1, -1)] {
            assert_eq!(duration_to_std(&duration(seconds, nanos)), Err(DurationError::Negative));
        }
    }

    #[test]
    fn an_endless_duration_is_cut_to_what_protobuf_allows() {
        let cut = duration_from_std(StdDuration::MAX);
        assert_eq!(cut, duration(MAX_SECONDS, 0));
        assert!(duration_to_std(&cut).is_ok());
    }

    #[test]
    fn times_print_as_rfc_3339_in_utc() {
        let at = timestamp_from_unix_ms(1_795_419_845_250);
        assert_eq!(timestamp_to_rfc3339(&at), "2026-11-23T07:44:05.250Z");
        assert_eq!(timestamp_to_rfc3339(&timestamp_from_unix_ms(0)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn times_before_the_epoch_have_no_milliseconds_since_it() {
        let before = Timestamp { seconds: -1, nanos: 0 };
        assert_eq!(timestamp_to_unix_ms(&before), None);
    }

    proptest! {
        #[test]
        fn every_duration_comes_back_from_its_string(
            seconds in 0..MAX_SECONDS, nanos in 0..1_000_000_000, negative: bool,
        ) {
            let sign = if negative { -1 } else { 1 };
            let d = duration(seconds * i64::from(sign), nanos * sign);
            let text = duration_to_string(&d).expect("valid");
            prop_assert_eq!(parse_duration(&text), Ok(d));
        }

        #[test]
        fn every_std_duration_within_range_comes_back(
            seconds in 0..MAX_SECONDS.cast_unsigned(), nanos in 0..1_000_000_000u32,
        ) {
            let d = StdDuration::new(seconds, nanos);
            prop_assert_eq!(duration_to_std(&duration_from_std(d)), Ok(d));
        }

        #[test]
        fn no_string_makes_the_parser_panic(text in "-?[0-9]{0,20}\\.?[0-9]{0,12}s?") {
            let _ = parse_duration(&text);
        }

        #[test]
        fn every_millisecond_comes_back(ms: u64) {
            prop_assert_eq!(timestamp_to_unix_ms(&timestamp_from_unix_ms(ms)), Some(ms));
        }

        #[test]
        fn every_printed_time_reads_back(ms in 0..253_402_300_800_000u64) {
            let at = timestamp_from_unix_ms(ms);
            prop_assert_eq!(timestamp_to_rfc3339(&at).parse(), Ok(at));
        }
    }
}
