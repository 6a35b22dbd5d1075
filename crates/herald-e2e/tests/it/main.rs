//! End-to-end tests, by theme. Each has processes of its own; see `herald_e2e::Sandbox`.

mod interop;
