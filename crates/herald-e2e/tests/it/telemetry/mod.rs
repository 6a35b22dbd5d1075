//! What operators see: traces, and what is logged.

mod alerts;
mod collector;
mod dashboard;
mod log;
mod metrics;
mod prometheus;
mod traces;
