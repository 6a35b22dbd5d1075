//! Who may: clients with their tokens, callers with their keys.

pub(crate) mod api_keys;
mod certificates;
mod company;
mod jwks;
pub(crate) mod keys;
mod kicked;
mod secrets;
mod tls;
mod tokens;
mod webhook;
