//! Who may: clients with their tokens.

mod keys;
mod kicked;
mod secrets;
mod tokens;
