//! What the adapters make of what AWS may answer, each by name; with a stub in place of the network.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod log;
mod objects;
mod queue;
mod stub;
mod table;
