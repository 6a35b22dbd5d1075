//! The file with the API keys.
//!
//! ```json
//! {"keys": [{
//!   "name": "orders",
//!   "hashes": ["sha256:…"],
//!   "rpcs": ["SendNotice", "BatchSendNotices"],
//!   "users": ["customer-"],
//!   "events": ["order"]
//! }]}
//! ```
//!
//! `rpcs` names rpcs, or is `["*"]`. `users` are beginnings of user ids, `events` names of events;
//! without them all are meant. `certificates`, beside or in place of `hashes`, are DNS names that a
//! client's certificate is for. A key has 256 random bits, so a plain hash keeps it.

use std::{
    collections::{HashMap, HashSet},
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use herald_core::EventName;
use herald_service::config::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Caller, scope::Scope};
use crate::call::Rpc;

/// Largest file.
const MAX_BYTES: u64 = 1 << 20;

/// Most keys in a file; their names are labels of figures.
const MAX_KEYS: usize = 1_000;

/// Most hashes of one key: the old one and the new one, while it is being changed.
const MAX_HASHES: usize = 8;

/// Longest name.
const MAX_NAME_BYTES: usize = 64;

/// What a key begins with, so that scanners find one that got where it should not be.
const KEY_PREFIX: &str = "herald_";

const HASH_PREFIX: &str = "sha256:";

type Hash = [u8; 32];

/// A file of API keys that was read, and is read again when it changes.
#[derive(Debug, Clone)]
pub struct ApiKeys {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) keys: Arc<Keys>,
}

impl ApiKeys {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong with it; no hash is in the error.
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, String> {
        let path = path.into();
        let text = read(&path)?;
        let keys = Arc::new(Keys::parse(&text)?);
        Ok(Self { path, text, keys })
    }
}

pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    match read {
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(size) if size as u64 > MAX_BYTES => Err("is larger than 1 MiB".into()),
        Ok(_) => Ok(text),
    }
}

/// The keys of a file.
#[derive(Debug)]
pub(super) struct Keys {
    hashes: Vec<(Hash, Caller)>,
    /// By the DNS name of a certificate.
    certificates: HashMap<String, Caller>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    keys: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<String>,
    rpcs: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    users: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    events: Option<Vec<String>>,
}

impl Keys {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let document: Document =
            serde_json::from_str(text).map_err(|error| format!("is no file of keys: {error}"))?;
        if document.keys.len() > MAX_KEYS {
            return Err(format!("has {} keys, more than {MAX_KEYS}", document.keys.len()));
        }
        let mut names = HashSet::new();
        let (mut hashes, mut certificates) = (Vec::new(), HashMap::new());
        for entry in document.keys {
            if !names.insert(entry.name.clone()) {
                return Err(format!("has the key {:?} twice", entry.name));
            }
            let at = |wrong: String| format!("has a key {:?} that is wrong: {wrong}", entry.name);
            let (caller, own) = entry.check().map_err(at)?;
            hashes.extend(own.into_iter().map(|hash| (hash, caller.clone())));
            for name in &entry.certificates {
                if certificates.insert(name.clone(), caller.clone()).is_some() {
                    return Err(format!("has the certificate {name:?} twice"));
                }
            }
        }
        Ok(Self { hashes, certificates })
    }

    /// Whose key it is. All are compared, each in constant time.
    pub(super) fn find(&self, key: &[u8]) -> Option<Caller> {
        let hash: Hash = Sha256::digest(key).into();
        let mut found = None;
        for (known, caller) in &self.hashes {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(caller);
            }
        }
        found.cloned()
    }

    /// Whose certificate it is that is for these names.
    pub(super) fn certified(&self, names: &[String]) -> Option<Caller> {
        names.iter().find_map(|name| self.certificates.get(name)).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len() + self.certificates.len()
    }
}

impl Entry {
    fn check(&self) -> Result<(Caller, Vec<Hash>), String> {
        check_name(&self.name)?;
        if self.hashes.len() > MAX_HASHES || self.certificates.len() > MAX_HASHES {
            return Err(format!("`hashes` and `certificates` must have at most {MAX_HASHES}"));
        }
        if self.hashes.is_empty() && self.certificates.is_empty() {
            return Err("it has neither `hashes` nor `certificates`".into());
        }
        let hashes = self.hashes.iter().map(|hash| parse_hash(hash));
        let hashes = hashes.collect::<Option<Vec<_>>>();
        let hashes = hashes.ok_or("a hash is not `sha256:` and 64 hexadecimal digits")?;
        Ok((Caller::named(self.name.clone(), self.scope()?), hashes))
    }

    fn scope(&self) -> Result<Scope, String> {
        let some = |name: &str, list: &[String]| match list {
            [] => {
                Err(format!("`{name}` is empty, which would allow nothing; leave it out for all"))
            }
            _ => Ok(()),
        };
        some("rpcs", &self.rpcs)?;
        let rpcs = if self.rpcs == ["*"] {
            None
        } else {
            let rpc = |name: &String| {
                let known = Rpc::ALL.into_iter().find(|rpc| rpc.name() == name);
                known.ok_or_else(|| {
                    let names: Vec<_> = Rpc::ALL.iter().map(|rpc| rpc.name()).collect();
                    format!("{name:?} is no rpc; there are {}, or * alone", names.join(", "))
                })
            };
            Some(self.rpcs.iter().map(rpc).collect::<Result<_, _>>()?)
        };
        if let Some(users) = &self.users {
            some("users", users)?;
            if users.iter().any(String::is_empty) {
                return Err("a beginning in `users` is empty, which would allow all".into());
            }
        }
        let events = match &self.events {
            None => None,
            Some(names) => {
                some("events", names)?;
                let event = |name: &String| {
                    EventName::new(name).map_err(|error| format!("the event {name:?} {error}"))
                };
                Some(names.iter().map(event).collect::<Result<_, _>>()?)
            }
        };
        Ok(Scope { rpcs, users: self.users.clone(), events })
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(plain) {
        return Err(format!(
            "its name must have 1 to {MAX_NAME_BYTES} letters, digits and any of - _ . /"
        ));
    }
    Ok(())
}

fn parse_hash(text: &str) -> Option<Hash> {
    let digits = text.strip_prefix(HASH_PREFIX)?.as_bytes();
    let mut hash = Hash::default();
    if digits.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |byte: u8| char::from(byte).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(hash)
}

/// What a new key is to be.
#[derive(Debug, Clone, Default)]
pub struct KeyRequest {
    /// The caller's name.
    pub name: String,
    /// Rpcs that it may call; `*` for all.
    pub rpcs: Vec<String>,
    /// Beginnings of the ids of users that it may reach; empty for all.
    pub users: Vec<String>,
    /// Events that it may send; empty for all.
    pub events: Vec<String>,
}

/// A key that was made.
#[derive(Debug)]
pub struct NewKey {
    /// For the caller; it is kept nowhere.
    pub key: Secret,
    /// For the list `keys` in the file, as JSON.
    pub entry: String,
}

/// Makes a key.
///
/// # Errors
/// What is wrong with the request.
pub fn new_key(request: KeyRequest) -> Result<NewKey, String> {
    let random: [u8; 32] = rand::random();
    let key = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let hash = Sha256::digest(&key);
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let entry = Entry {
        name: request.name,
        hashes: vec![format!("{HASH_PREFIX}{digits}")],
        certificates: Vec::new(),
        rpcs: request.rpcs,
        users: some(request.users),
        events: some(request.events),
    };
    entry.check()?;
    let entry = serde_json::to_string(&entry).map_err(|error| error.to_string())?;
    Ok(NewKey { key: Secret::new(key), entry })
}

#[cfg(test)]
mod tests {
    use herald_core::UserId;

    use super::*;

    fn made(name: &str, rpcs: &[&str], users: &[&str], events: &[&str]) -> NewKey {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (rpcs, users, events) = (list(rpcs), list(users), list(events));
        new_key(KeyRequest { name: name.to_owned(), rpcs, users, events }).unwrap()
    }

    fn fault(text: &str) -> String {
        Keys::parse(text).unwrap_err()
    }

    #[test]
    fn a_key_that_was_made_is_found_with_its_scope_and_no_other_is() {
        let orders = made("orders", &["SendNotice"], &["customer-"], &["order"]);
        let all = made("all", &["*"], &[], &[]);
        let file = format!("{{\"keys\": [{}, {}]}}", orders.entry, all.entry);
        assert!(!file.contains(orders.key.expose()));
        let keys = Keys::parse(&file).unwrap();

        let caller = keys.find(orders.key.expose().as_bytes()).unwrap();
        assert_eq!(caller.name(), "orders");
        assert!(caller.may_call(Rpc::SendNotice).is_ok());
        let refused = caller.may_call(Rpc::Broadcast).unwrap_err().to_string();
        assert_eq!(refused, "the caller orders lacks the scope rpc Broadcast");
        let user = |id: &str| UserId::new(id).unwrap();
        assert!(caller.may_reach(&user("customer-7")).is_ok());
        let refused = caller.may_reach(&user("Customer-7")).unwrap_err().to_string();
        assert_eq!(refused, "the caller orders lacks the scope user \"Customer-7\"");
        assert!(caller.may_reach_everybody().is_err());
        assert!(caller.may_send(&EventName::new("order").unwrap()).is_ok());
        assert!(caller.may_send(&EventName::notice()).is_err());

        let caller = keys.find(all.key.expose().as_bytes()).unwrap();
        assert!(Rpc::ALL.into_iter().all(|rpc| caller.may_call(rpc).is_ok()));
        assert!(caller.may_reach_everybody().is_ok());
        for wrong in ["", "herald_", &all.key.expose()[1..], &format!("{}x", all.key.expose())] {
            assert!(keys.find(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_file_that_is_wrong_says_what_is() {
        let entry = |change: &str| {
            let hash = format!("sha256:{}", "0".repeat(64));
            let whole = format!(r#""name": "a", "hashes": ["{hash}"], "rpcs": ["*"]"#);
            format!(r#"{{"keys": [{{{}}}]}}"#, change.replace('$', &whole))
        };
        assert!(Keys::parse(&entry("$")).is_ok());
        for (text, reason) in [
            (String::new(), "is no file of keys"),
            ("[]".into(), "is no file of keys"),
            (entry(r#"$, "user": ["a"]"#), "unknown field `user`"),
            (entry("$}, {$"), "has the key \"a\" twice"),
            (entry("$").replace("\"a\"", "\"a b\""), "its name must have"),
            (entry("$").replace("sha256:0", "sha256:x"), "a hash is not"),
            (entry("$").replace("sha256:0", "sha256:"), "a hash is not"),
            (entry("$").replace("\"*\"", ""), "`rpcs` is empty"),
            (entry("$").replace("\"*\"", "\"Send\""), "\"Send\" is no rpc"),
            (entry("$").replace("\"*\"", "\"*\", \"SendNotice\""), "\"*\" is no rpc"),
            (
                entry("$")
                    .replace("hashes", "certificates")
                    .replace("[\"sha", "[\"a\", \"a\", \"sha"),
                "twice",
            ),
            (entry(r#""name": "a", "rpcs": ["*"]"#), "neither `hashes` nor `certificates`"),
            (entry(r#"$, "users": []"#), "`users` is empty"),
            (entry(r#"$, "users": [""]"#), "is empty, which would allow all"),
            (entry(r#"$, "events": ["herald:x"]"#), "the event \"herald:x\""),
        ] {
            let found = fault(&text);
            assert!(found.contains(reason), "{found}");
        }
    }
}
