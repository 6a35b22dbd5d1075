//! `herald api-key`: makes a key for a caller of the notifier.

use std::ffi::OsString;

use clap::Parser;
use herald_notifier::{KeyRequest, NewKey, new_key};
use herald_service::Exit;

use crate::words;

/// Make an API key for a caller of the notifier
///
/// The key is printed once and kept nowhere: give it to the caller, who sends it as
/// `authorization: Bearer <key>`. Put the entry, which holds only its hash, into the list `keys` of the
/// file HERALD_API_KEYS_FILE: {"keys": [ … ]}. Notifiers see the change within a second or two. To
/// change a key, make another one of the same name, put both hashes into one entry, and take the old
/// one out later.
#[derive(Debug, Parser)]
#[command(name = "herald api-key")]
struct Arguments {
    /// What the caller is called in logs, figures and idempotency keys
    name: String,
    /// An rpc that it may call, such as SendNotice; repeat it, or * for all
    #[arg(long = "rpc", value_name = "RPC", required = true)]
    rpcs: Vec<String>,
    /// What the ids of users begin with that it may reach; repeat it; without it all users
    #[arg(long = "user-prefix", value_name = "PREFIX")]
    users: Vec<String>,
    /// An event that it may send; repeat it; without it all events
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
}

pub(crate) fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let Arguments { name, rpcs, users, events } = match words::parse("herald api-key", arguments) {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    match new_key(KeyRequest { name, rpcs, users, events }) {
        Ok(NewKey { key, entry }) => {
            println!("key    {}\nentry  {entry}", key.expose());
            Exit::Clean
        }
        Err(wrong) => {
            eprintln!("herald api-key: {wrong}");
            Exit::BadConfiguration
        }
    }
}
