//! Integration tests of the gateway, over real TCP on ports of their own.

mod edge;
mod sessions;
mod support;
