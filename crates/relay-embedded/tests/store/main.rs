//! The store, from outside: the contract of the ports, and what a folder survives.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests panic")]

mod backlogs;
mod conformance;
mod folders;
mod full;
mod segments;
mod world;
