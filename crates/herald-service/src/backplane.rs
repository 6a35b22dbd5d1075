//! The options of the backplane: declared once, the same for every service that shares it.

use std::time::Duration;

use herald_backplane::BackplaneOptions;
use herald_core::InboxLimits;

use crate::config::{ByteSize, Reader};

/// A prefix is repeated in every key and channel name.
const MAX_PREFIX_BYTES: usize = 64;

/// Declares and reads how the backplane is opened and what it keeps. All services of one Herald
/// have to agree on these; declaring them in two services of one process is one declaration.
pub fn backplane_options(r: &mut Reader) -> BackplaneOptions {
    r.group("Backplane (the same for all services)");
    let url = r
        .option("HERALD_BACKPLANE", "Where registry, inboxes and channels are kept")
        .describe(
            "URL",
            "`redis://[user:password@]host:port/db`, `redis-sentinel://host:port,host:port/master/db`, \
             `redis-cluster://host:port,host:port` (`rediss…` with TLS), or `memory:` for one process \
             alone",
            "redis://127.0.0.1:6379/0",
        )
        .or_file()
        .ensure(|url: &String| check_url(url))
        .required();
    let key_prefix = r
        .option("HERALD_KEY_PREFIX", "First part of every key and channel name")
        .example("herald")
        .ensure(|prefix: &String| check_prefix(prefix))
        .default("herald");
    let call_deadline = r
        .option("HERALD_BACKPLANE_DEADLINE", "How long one call to the backplane may take")
        .within(Duration::from_millis(50)..=Duration::from_secs(60))
        .default("2s");
    let channel_silence = r
        .option(
            "HERALD_CHANNEL_SILENCE",
            "How long a channel may be silent to whom publishes to it every second; then it is \
             connected anew",
        )
        .within(Duration::from_millis(500)..=Duration::from_secs(60))
        .default("2s");
    let connections = r
        .option("HERALD_BACKPLANE_CONNECTIONS", "Shared connections that carry the hot path")
        .unit("connections")
        .within(1..=64)
        .default("4");
    let wait_replicas = r
        .option(
            "HERALD_REDIS_WAIT_REPLICAS",
            "Replicas of Redis that must have a notice before it is accepted (WAIT); 0 waits for none",
        )
        .unit("replicas")
        .within(0..=16)
        .default("0");
    r.check(&["HERALD_BACKPLANE", "HERALD_REDIS_WAIT_REPLICAS"], || {
        if wait_replicas == 0 || url != "memory:" {
            return Ok(());
        }
        Err("`memory:` has no replicas to wait for".to_owned())
    });
    let inline_bytes: ByteSize = r
        .option(
            "HERALD_INLINE_BYTES",
            "Largest notice that travels on a channel whole; larger ones are read from the inbox",
        )
        .within(ByteSize::new(0)..=ByteSize::new(1 << 20))
        .default("4KiB");
    let channel_capacity = r
        .option(
            "HERALD_CHANNEL_CAPACITY",
            "Messages that may wait for a gateway before they are dropped and read instead",
        )
        .unit("messages")
        .within(16..=1 << 24)
        .default("16384");

    let key_age = r
        .option("HERALD_IDEMPOTENCY_AGE", "How long an idempotency key is kept")
        .within(Duration::from_secs(1)..=days(30))
        .default("24h");

    r.group("Leases (the same for all services)");
    let lease = r
        .option("HERALD_LEASE", "How long a silent gateway is believed alive")
        .within(Duration::from_secs(1)..=Duration::from_secs(300))
        .default("10s");
    let renew_every = r
        .option("HERALD_LEASE_RENEWAL", "How often a gateway renews its lease")
        .within(Duration::from_millis(100)..=Duration::from_secs(100))
        .default("3s");
    r.check(&["HERALD_LEASE", "HERALD_LEASE_RENEWAL"], || {
        if renew_every.saturating_mul(3) <= lease {
            return Ok(());
        }
        Err(format!("a lease must hold three renewals, but {lease:?} is less than three times {renew_every:?}"))
    });

    BackplaneOptions {
        url,
        key_prefix,
        inbox: inbox_limits(r),
        key_age,
        lease,
        renew_every,
        call_deadline,
        channel_silence,
        connections,
        wait_replicas,
        inline_bytes: inline_bytes.as_usize(),
        channel_capacity,
    }
}

fn inbox_limits(r: &mut Reader) -> InboxLimits {
    r.group("Inboxes (the same for all services)");
    let notices = r
        .option("HERALD_INBOX_NOTICES", "Notices kept for each user; the oldest go first")
        .unit("notices")
        .within(1..=1_000_000)
        .default("1000");
    let bytes: ByteSize = r
        .option("HERALD_INBOX_BYTES", "Bytes kept for each user, envelopes included")
        .within(ByteSize::new(1 << 10)..=ByteSize::new(1 << 30))
        .default("1MiB");
    let age = r
        .option("HERALD_INBOX_AGE", "How long a notice is kept")
        .within(Duration::from_secs(1)..=days(365))
        .default("24h");
    let memory = r
        .option(
            "HERALD_INBOX_MEMORY",
            "How long after its last notice an inbox remembers where it was",
        )
        .within(Duration::from_secs(1)..=days(3_650))
        .default("30d");
    r.check(&["HERALD_INBOX_AGE", "HERALD_INBOX_MEMORY"], || {
        if age <= memory {
            return Ok(());
        }
        Err(format!("an inbox must remember at least as long as it keeps notices, but {memory:?} is less than {age:?}"))
    });
    let page_notices = r
        .option("HERALD_PAGE_NOTICES", "Notices that are read from an inbox at a time")
        .unit("notices")
        .within(1..=10_000)
        .default("100");
    let page_bytes: ByteSize = r
        .option(
            "HERALD_PAGE_BYTES",
            "Bytes that are read from an inbox at a time, unless one notice is larger",
        )
        .within(ByteSize::new(1 << 10)..=ByteSize::new(64 << 20))
        .default("256KiB");
    InboxLimits {
        notices,
        bytes: bytes.bytes(),
        age,
        memory,
        page_notices,
        page_bytes: u32::try_from(page_bytes.bytes()).unwrap_or(u32::MAX),
    }
}

const fn days(days: u64) -> Duration {
    Duration::from_hours(24 * days)
}

/// What is wrong is said without the address, which may hold a password.
fn check_url(url: &str) -> Result<(), String> {
    BackplaneOptions::check_url(url).map_err(|error| error.to_string())
}

/// A brace would move all keys into one cluster slot; the rest makes names hard to read and grep.
fn check_prefix(prefix: &str) -> Result<(), String> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    if prefix.len() > MAX_PREFIX_BYTES {
        return Err(format!("is longer than {MAX_PREFIX_BYTES} bytes"));
    }
    if prefix.bytes().all(plain) {
        Ok(())
    } else {
        Err("holds something else than letters, digits and -_.:".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Faults, Source};

    fn read(env: &[(&str, &str)]) -> Result<BackplaneOptions, Faults> {
        let mut r = Reader::new(Source::new([""; 0], env.iter().copied()));
        let options = backplane_options(&mut r);
        r.finish().map(|_| options)
    }

    #[test]
    fn the_defaults_are_those_of_the_types() {
        let read = read(&[("HERALD_BACKPLANE", "memory:")]).unwrap();
        let expected = BackplaneOptions::default();
        assert_eq!(format!("{read:?}"), format!("{expected:?}"));
    }

    #[test]
    fn the_address_is_required_and_its_password_never_shown() {
        let faults = read(&[]).unwrap_err();
        assert!(faults.to_string().contains("HERALD_BACKPLANE: is required"), "{faults}");
        for url in [
            "http://u:hunter2@h/0",
            "redis://u:hunter2@h:port/0",
            "redis-sentinel://u:hunter2@h",
            "redis-sentinel://h/m?sentinel-pasword=hunter2",
            "6379",
        ] {
            let faults = read(&[("HERALD_BACKPLANE", url)]).unwrap_err().to_string();
            assert!(faults.contains("HERALD_BACKPLANE") && !faults.contains("hunter2"), "{faults}");
        }
    }

    #[test]
    fn memory_has_no_replicas() {
        let variables = [("HERALD_BACKPLANE", "memory:"), ("HERALD_REDIS_WAIT_REPLICAS", "1")];
        let faults = read(&variables).unwrap_err().to_string();
        assert!(faults.contains("no replicas"), "{faults}");
    }

    #[test]
    fn every_fault_is_listed_at_once() {
        let faults = read(&[
            ("HERALD_BACKPLANE", "redis://127.0.0.1"),
            ("HERALD_KEY_PREFIX", "{a}"),
            ("HERALD_LEASE_RENEWAL", "4s"),
            ("HERALD_INBOX_NOTICES", "0"),
            ("HERALD_INBOX_MEMORY", "1h"),
        ])
        .unwrap_err();
        assert_eq!(faults.iter().count(), 4, "{faults}");
        let text = faults.to_string();
        assert!(text.contains("three renewals") && text.contains("at least as long"), "{text}");
    }
}
