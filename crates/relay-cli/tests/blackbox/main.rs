//! The real binary over real HTTP, started, stopped and killed as operators and fate do.
//!
//! Nothing here sleeps and hopes: every wait is for a condition, with a deadline that fails the test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bench_and_demo;
mod broker;
mod client;
mod configuration;
mod crash;
mod dead_letters;
mod deliveries;
mod hook;
mod kill;
mod lifecycle;
mod log;
mod pause;
mod pull;
mod raw_tcp;
mod replays;
mod segments;
mod wait;
