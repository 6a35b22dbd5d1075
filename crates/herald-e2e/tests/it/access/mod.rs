//! Who may: clients with their tokens.

mod keys;
mod tokens;
