//! What operators see: traces, and what is logged.

mod collector;
mod log;
mod traces;
