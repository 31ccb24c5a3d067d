//! The real binary over real HTTP, started, stopped and killed as operators and fate do.
//!
//! Nothing here sleeps and hopes: every wait is for a condition, with a deadline that fails the test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod bench_and_demo;
mod broker;
mod catch_up;
mod client;
mod command;
mod configuration;
mod consumers;
mod crash;
mod dead_letters;
mod deliveries;
mod events;
mod export_folder;
mod hook;
mod kill;
mod lifecycle;
mod log;
mod numbers;
mod pause;
mod proxy;
mod pull;
mod raw_tcp;
mod replay;
mod replays;
mod segments;
mod wait;
