//! Who may: clients with their tokens, callers with their keys.

mod api_keys;
mod certificates;
mod company;
mod jwks;
mod keys;
mod kicked;
mod secrets;
mod tls;
mod tokens;
mod webhook;
