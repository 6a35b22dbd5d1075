//! End-to-end tests, by theme. Each has processes of its own; see `herald_e2e::Sandbox`.

mod abuse;
mod access;
mod bad_input;
mod bench;
mod chaos;
mod cursor;
mod delivery;
mod explain;
mod interop;
mod lifecycle;
mod loadgen;
mod lossless;
mod official_clients;
mod outage;
mod page;
mod probe;
mod proxy;
mod readme;
mod receipts;
mod sandbox;
mod servers;
mod sessions;
mod support;
mod survival;
mod telemetry;
mod wire;
