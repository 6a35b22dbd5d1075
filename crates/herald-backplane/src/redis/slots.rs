//! Which slot a key is in, and who has which slots.

use std::collections::BTreeMap;

use redis::{FromRedisValue, Value};

/// Slots of a Redis Cluster.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key or of a sharded channel: of its hash tag, if it has one.
pub(super) fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let hashed = match tag {
        Some((tag, _)) if !tag.is_empty() => tag,
        _ => key,
    };
    crc16::State::<crc16::XMODEM>::calculate(hashed.as_bytes()) % SLOTS
}

/// A server's host and port.
pub(super) type HostPort = (String, u16);

/// Which master has which slots, as one server sees it: by the first slot of each range its last
/// one, and the master.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct View(pub(super) BTreeMap<u16, (u16, HostPort)>);

impl View {
    /// From the answer to CLUSTER SLOTS. A server that does not know its own name leaves the host
    /// out, and is then the `asked` one's.
    pub(super) fn read(answer: Value, asked: &str) -> Result<Self, String> {
        let wrong =
            |why: &dyn std::fmt::Display| format!("unexpected answer to CLUSTER SLOTS: {why}");
        let Value::Array(ranges) = answer else { return Err(wrong(&"no array")) };
        let mut view = BTreeMap::new();
        for range in ranges {
            let Value::Array(mut range) = range else { return Err(wrong(&"no range")) };
            // Replicas follow, of which some have none and some have many.
            range.truncate(3);
            let (first, last, master): (u16, u16, Vec<Value>) =
                FromRedisValue::from_redis_value(Value::Array(range)).map_err(|e| wrong(&e))?;
            let [host, port, ..] = &master[..] else { return Err(wrong(&"no master")) };
            let host: Option<String> =
                FromRedisValue::from_redis_value_ref(host).map_err(|e| wrong(&e))?;
            let host = host.filter(|host| !host.is_empty() && host != "?");
            let port = FromRedisValue::from_redis_value_ref(port).map_err(|e| wrong(&e))?;
            if first > last || last >= SLOTS {
                return Err(wrong(&format!("slots {first} to {last}")));
            }
            let host = host.unwrap_or_else(|| asked.to_owned());
            view.insert(first, (last, (host, port)));
        }
        Ok(Self(view))
    }

    /// How many slots nobody has.
    pub(super) fn missing(&self) -> u16 {
        SLOTS - self.0.iter().map(|(first, (last, _))| last - first + 1).sum::<u16>()
    }
}

/// The view that most share; of several the one that was given first.
pub(super) fn most_shared(views: &[View]) -> Option<&View> {
    let votes = |view: &View| views.iter().filter(|other| *other == view).count();
    // The last maximum is the one that is found: go backwards.
    views.iter().rev().max_by_key(|view| votes(view))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot_of("123456789"), 0x31C3);
        assert_eq!(slot_of("{user1000}.following"), slot_of("{user1000}.followers"));
        assert_eq!(slot_of("foo{}{bar}"), slot_of("foo{}{bar}"));
        assert_ne!(slot_of("foo{}{bar}"), slot_of("bar"));
        assert_eq!(slot_of("foo{{bar}}zap"), slot_of("{bar"));
        assert_eq!(slot_of("foo{bar}{zap}"), slot_of("bar"));
        assert_ne!(slot_of("foo{bar"), slot_of("bar"));
    }

    fn answer(ranges: &[(i64, i64, Value, i64)]) -> Value {
        let range = |(first, last, host, port): &(i64, i64, Value, i64)| {
            let server = |port: i64| {
                let id = Value::BulkString(b"id".to_vec());
                Value::Array(vec![host.clone(), Value::Int(port), id, Value::Array(Vec::new())])
            };
            let (first, last) = (Value::Int(*first), Value::Int(*last));
            Value::Array(vec![first, last, server(*port), server(port + 1), server(port + 2)])
        };
        Value::Array(ranges.iter().map(range).collect())
    }

    fn host(name: &str) -> Value {
        Value::BulkString(name.into())
    }

    #[test]
    fn masters_are_read_and_a_host_that_is_left_out_is_the_asked_ones() {
        let ranges = [(0, 99, host("a"), 1), (100, 199, Value::Nil, 2), (300, 300, host(""), 3)];
        let view = View::read(answer(&ranges), "z").unwrap();
        let read: Vec<_> = view.0.iter().map(|(f, (l, (h, p)))| (*f, *l, h.as_str(), *p)).collect();
        assert_eq!(read, [(0, 99, "a", 1), (100, 199, "z", 2), (300, 300, "z", 3)]);
        assert_eq!(view.missing(), SLOTS - 201);
        assert!(View::read(answer(&[(5, 4, host("a"), 1)]), "z").is_err());
        assert!(View::read(answer(&[(0, 16_384, host("a"), 1)]), "z").is_err());
        assert!(View::read(Value::Okay, "z").is_err());
    }

    #[test]
    fn a_server_that_sees_it_differently_is_outvoted() {
        let view = |name| View::read(answer(&[(0, 16_383, host(name), 1)]), "z").unwrap();
        assert_eq!(most_shared(&[view("old"), view("new"), view("new")]), Some(&view("new")));
        assert_eq!(most_shared(&[view("first"), view("second")]), Some(&view("first")));
        assert_eq!(most_shared(&[]), None);
    }
}
